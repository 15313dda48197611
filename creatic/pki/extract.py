# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a machine that nobody reaches has of the authority: its public part, and what concerns that machine.

It stands for the authority in role pki_client there (``<authority_dir>/extrait.json``). It cannot issue: a certificate
to renew, or of a kind that its roles ask for since a version, is asked for (``demandes.json``, which the machine's
report brings to the control node), and comes with the next version; the present one serves meanwhile.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    Request,
    fingerprint,
    load_certificate,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import PERSON, kind_of
from cryptography import x509

from creatic.pki.authority import Authority
from creatic.pki.registry import Owner
from creatic_agent.proof import signed_by

FILE, ASKED = "extrait.json", "demandes.json"
CERTIFICATE = "flotte"
"""Name of the certificate by which a machine comes to the door (role flotte); its key signs what it asks for."""


def extract(authority: Authority, host: str) -> dict[str, Any]:
    """What a machine is given of the authority."""
    return {
        "publie": authority.published(),
        "racines": authority.roots(),
        "connus": authority.known_to(host),
        "delivres": {row["nom"]: row["pem"] for row in _held_certificates(authority, host)},
    }


# Certificates that roles ask for, of machines that nobody reaches: by their names, which the project gives.
_OF_ROLES = {"connector": re.compile("(tdt|sae)(-.+)?"), "machine": re.compile("flotte")}


def _asked_before(name: str, asked: Mapping[str, Any]) -> Request:
    """The request of a certificate that is held. Those of before tell no holder: its name does, for a role's."""
    kind = kind_of(str(asked.get("common_name", "")))
    form = _OF_ROLES.get(kind)
    return Request.from_dict({"holder": kind if form and form.fullmatch(name) else PERSON, **asked})


def renew(
    authority: Authority, host: str, asked: Mapping[str, str], wanted: Mapping[str, tuple[Request, str]] | None = None
) -> list[str]:
    """Issue what a machine asks for: what it holds, with the same subject, and what its roles ask; gives their names.

    Args:
        authority: that of the groupement.
        host: the machine.
        wanted: certificates that the inventory gives it, each with its commune: those that it lacks are its to ask
            for, with that subject and no other.
        asked: by name of certificate, the CSR (PEM) and its signature by the key of the machine (see
            creatic_flotte.run.asked), as its report brought them. A CSR only brings a key, and the door, which carries
            reports, would bring its own: what the machine did not sign is refused.

    Raises:
        PkiError: a CSR is refused, or a name that was certified before is not any more; the others were issued.
    """
    held, given = {row["nom"]: row for row in _own_certificates(authority, host)}, wanted or {}
    done, wrong = list[str](), list[str]()
    for name in sorted(asked.keys() & {*held, *given}):
        try:
            row = held.get(name)
            csr = _verified_csr(authority, host, name, asked[name], str(row["commune"]) if row else given[name][1])
            if row and _key_of(csr) == fingerprint(load_certificate(row["pem"]).public_key()):
                continue
            request, commune = (_asked_before(name, row["demande"]), str(row["commune"])) if row else given[name]
            authority.issue(csr, request, Owner(host, commune))
        except PkiError as error:  # its own affair: the certificate by which the machine comes may wait for renewal too
            wrong.append(str(error))
        else:
            done.append(name)
    if wrong:
        raise PkiError(" ; ".join(wrong))
    return done


def missing_certificates(authority: Authority, host: str, asked: Mapping[str, str]) -> set[str]:
    """Names of the certificates that a machine asks for and does not hold."""
    return {*asked} - {row["nom"] for row in _own_certificates(authority, host)}


def _held_certificates(authority: Authority, host: str) -> list[dict[str, Any]]:
    return [row for row in authority.listing(status="valide") if row["hote"] == host]


def _own_certificates(authority: Authority, host: str) -> list[dict[str, Any]]:
    """What a machine holds, of the commune of the certificate by which it comes.

    Its name may have been that of another commune's machine, whose certificates nobody revoked: renewed for this one,
    they would make it the other commune's connector.
    """
    held = _held_certificates(authority, host)
    communes = {row["commune"] for row in held if row["nom"] == CERTIFICATE}
    return [row for row in held if row["commune"] in communes]


def _verified_csr(authority: Authority, host: str, name: str, asked: str, commune: str) -> str:
    """The CSR that a machine asks with, once a key of its own, certified to that commune, has signed it."""
    try:
        found = json.loads(asked)
        csr, signature = str(found["csr"]), base64.b64decode(found["signature"], validate=True)
        text = f"creatic-flotte demande\n{host}\n{name}\n{csr}".encode()  # half a character is no text
    except (ValueError, KeyError, TypeError, RecursionError):
        raise PkiError(f"demande de certificat « {name} » illisible, ou que la machine n'a pas signée") from None
    wanted = host, CERTIFICATE, commune
    for row in authority.listing():
        known = (row["hote"], row["nom"], row["commune"]) == wanted and row["statut"] in ("valide", "remplace")
        if known and signed_by(load_certificate(row["pem"]).public_key(), signature, text):
            return csr
    raise PkiError(
        f"demande de certificat « {name} » que la clé de la machine n'a pas signée : le guichet est-il sûr ?"
    )


def _key_of(csr: str) -> str:
    try:
        return fingerprint(x509.load_pem_x509_csr(csr.encode()).public_key())
    except Exception:  # noqa: BLE001 # untrusted CSR: no common base error
        raise PkiError("demande de certificat illisible") from None


class Extract:
    """The extract, read as `Authority` is by action certificates."""

    exists = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            self._found = json.loads((directory / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise PkiError(f"{directory / FILE} est illisible : la prochaine version le remplacera") from None

    @staticmethod
    def there(directory: Path) -> bool:
        """Whether a folder holds an extract, and no authority."""
        return (directory / FILE).is_file()

    def refresh_crl(self) -> None:
        """Lists come with each version."""

    def published(self) -> dict[str, str]:
        """See `Authority.published`."""
        found: dict[str, str] = self._found["publie"]
        return found

    def roots(self) -> dict[str, str]:
        """See `Authority.roots`."""
        found: dict[str, str] = self._found["racines"]
        return found

    def known_to(self, _host: str) -> dict[str, dict[str, list[str]]]:
        """See `Authority.known_to`."""
        found: dict[str, dict[str, list[str]]] = self._found["connus"]
        return found

    def issued(self, asking: Mapping[str, str]) -> dict[str, str]:
        """Certificates that came for these keys, by name; the others are asked for.

        Args:
            asking: CSR (PEM) by name of certificate.
        """
        came = {
            name: pem
            for name, pem in self._found["delivres"].items()
            if name in asking and fingerprint(load_certificate(pem).public_key()) == _key_of(asking[name])
        }
        file = self.directory / ASKED
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        waiting = {name: csr for name, csr in {**known, **asking}.items() if name not in came}
        write(file, json.dumps(waiting).encode(), 0o600)
        return came
