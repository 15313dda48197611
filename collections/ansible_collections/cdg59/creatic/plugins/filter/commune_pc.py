# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the role commune_pc makes of a PC's certificates, as the commune's file describes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import composed, pc_organization, slug

OPENSC = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"
"""PKCS#11 module of a token whose maker has none of its own."""
PROFILES = {"authentification": "client", "signature": "signature"}


def pc_certificate_name(certificate: Mapping[str, Any]) -> str:
    """Return the name under which the browsers show a certificate."""
    holder = str(certificate["titulaire"])
    return holder if certificate["usage"] == "authentification" else f"{holder} ({certificate['usage']})"


def pc_certificate_slug(certificate: Mapping[str, Any]) -> str:
    """Return the name of a certificate in paths; the same as long as its holder and use are."""
    return slug(pc_certificate_name(certificate))


def pc_issued(certificates: Iterable[Mapping[str, Any]], organization: str, siren: str) -> list[dict[str, Any]]:
    """Return what pki_client has to issue: the certificates whose source is the groupement."""
    return [
        {
            "name": pc_certificate_slug(certificate),
            "profile": PROFILES[certificate["usage"]],
            "common_name": composed(certificate["titulaire"]),
            "organization": organization,
            "siren": siren,
        }
        for certificate in certificates
        if certificate["source"] == "groupement"
    ]


def pc_stored(
    certificates: Iterable[Mapping[str, Any]], pki_dir: str, secrets_dir: str, sirens: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what nss_store has to hold: each certificate with where it comes from.

    A token that signs documents is none of the browsers' business: they would ask for its PIN at every site.

    Args:
        certificates: of the PC.
        pki_dir: where the groupement's are.
        secrets_dir: where providers' files are.
        sirens: whose these files may be.
    """
    stored = []
    for certificate in certificates:
        if certificate["source"] == "jeton" and certificate["usage"] == "signature":
            continue
        entry: dict[str, Any] = {"name": pc_certificate_name(certificate)}
        if certificate["source"] == "groupement":
            entry["folder"] = str(PurePosixPath(pki_dir, pc_certificate_slug(certificate), "current"))
        elif certificate["source"] == "fichier":
            entry["pkcs12"] = str(PurePosixPath(secrets_dir, certificate["fichier"]))
            entry["password_file"] = str(PurePosixPath(secrets_dir, certificate["secret"]))
            entry["sirens"] = list(sirens)
        else:
            entry["token"] = certificate["jeton"]
            entry["library"] = certificate.get("bibliotheque", OPENSC)
        stored.append(entry)
    return stored


def pc_watched(
    stored: Iterable[Mapping[str, Any]], certificates: Iterable[Mapping[str, Any]], folder: str
) -> list[dict[str, str]]:
    """Return the files (for file_set) by which the expiry watch sees certificates which pki_client did not issue."""
    issued = {pc_certificate_name(one) for one in certificates if one["source"] == "groupement"}
    return [
        {"path": str(PurePosixPath(folder, f"{slug(one['name'])}.pem")), "content": one["pem"]}
        for one in stored
        if one["name"] not in issued
    ]


def pc_watched_signatures(shown: Iterable[Mapping[str, str]], folder: str) -> list[dict[str, str]]:
    """Return the files (for file_set) by which the expiry watch sees what ``signer-acte --certificats`` showed."""
    return [
        {"path": str(PurePosixPath(folder, f"{slug(one['titulaire'])}-signature.pem")), "content": one["pem"]}
        for one in shown
    ]


def pc_signing_tokens(certificates: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the keys with which people sign documents at this PC, as role signature takes them."""
    return [
        {
            "titulaire": certificate["titulaire"],
            "jeton": certificate["jeton"],
            "bibliotheque": certificate.get("bibliotheque", OPENSC),
        }
        for certificate in certificates
        if certificate["source"] == "jeton" and certificate["usage"] == "signature"
    ]


def pc_security_devices(certificates: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return Firefox's SecurityDevices: label and PKCS#11 module of each token that authenticates."""
    return {
        certificate["jeton"]: certificate.get("bibliotheque", OPENSC)
        for certificate in certificates
        if certificate["source"] == "jeton" and certificate["usage"] == "authentification"
    }


def pc_origin(url: str) -> str:
    """Return scheme, host and port of a URL: what browsers call its origin."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def pc_holders(certificates: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what `pc_auto_select` can know of certificates which nothing read: who holds them."""
    return [
        {"subject_cn": composed(certificate["titulaire"]), "client": certificate["usage"] == "authentification"}
        for certificate in certificates
    ]


def pc_auto_select(stored: Iterable[Mapping[str, Any]], url: str) -> list[str]:
    """Return Chromium's and Edge's AutoSelectCertificateForUrls: for the TdT, these certificates, no question.

    Each entry is JSON in a string, as the policy wants it. A filter names the holder, and the issuer where
    it is known, so that another certificate which the clerk may have is never shown to the TdT.
    """
    entries = []
    for one in stored:
        if one["client"]:
            issuer = {"ISSUER": {"CN": one["issuer_cn"]}} if "issuer_cn" in one else {}
            entry = {"pattern": pc_origin(url), "filter": {**issuer, "SUBJECT": {"CN": one["subject_cn"]}}}
            entries.append(json.dumps(entry, ensure_ascii=False, sort_keys=True))
    return entries


def pc_registry(auto_select: Iterable[str], url: str) -> list[dict[str, Any]]:
    """Return the policies of Edge and Chrome as values of the Windows registry, under the browser's key."""
    values: list[dict[str, Any]] = [
        {"key": "AutoSelectCertificateForUrls", "name": str(number), "data": entry, "type": "string"}
        for number, entry in enumerate(auto_select, start=1)
    ]
    values += [
        {"key": "", "name": "HomepageLocation", "data": url, "type": "string"},
        {"key": "", "name": "ShowHomeButton", "data": 1, "type": "dword"},
        {"key": "", "name": "SSLErrorOverrideAllowed", "data": 0, "type": "dword"},
    ]
    return values


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "pc_auto_select": pc_auto_select,
            "pc_holders": pc_holders,
            "pc_issued": pc_issued,
            "pc_organization": pc_organization,
            "pc_origin": pc_origin,
            "pc_registry": pc_registry,
            "pc_security_devices": pc_security_devices,
            "pc_signing_tokens": pc_signing_tokens,
            "pc_stored": pc_stored,
            "pc_watched": pc_watched,
            "pc_watched_signatures": pc_watched_signatures,
        }
