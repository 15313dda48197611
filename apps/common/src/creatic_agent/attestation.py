# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The archive's own word that one archive was eliminated: who deletes its copies checks it, and believes nothing else.

The archive signs it once the archive is gone (role archive_gateway, `sae.elimination`), and lists it; the commune's
connector brings it to the passerelle. Each of them verifies it by itself, when it is told and again when it deletes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID

from creatic_agent.errors import CreaticError

from .cms import SignatureError, Signer, verify

KIND = "attestation d'élimination d'une archive"
SIGNER = "Attestations des archives"
"""Common name of the one certificate that attests (role archive_gateway asks for it, profile `signature`)."""
DELAY = timedelta(days=30)
"""How long what was eliminated at the archive waits, wherever a copy is, for somebody to take it back."""
_TEXT_MAX, _SIGNATURE_MAX = 1_000_000, 100_000  # characters
_AHEAD = timedelta(hours=1)  # of two clocks
_DIGEST = re.compile(r"[0-9a-f]{64}")
_END = b"-----END X509 CRL-----"
# Revoked for one of these, a certificate said the truth until then; for another, nothing that it signed is believed.
_HARMLESS = (
    x509.ReasonFlags.superseded, x509.ReasonFlags.cessation_of_operation, x509.ReasonFlags.affiliation_changed,
)  # fmt: skip # a list of words


class Unproven(CreaticError, cause="attestation"):
    """It proves nothing, for a reason that time does not change; the text is French."""


class NotNow(CreaticError, cause="attestation_plus_tard"):
    """It cannot be verified now (authorities or revocation lists of this machine); the text is French."""


@dataclass(frozen=True)
class Attestation:
    """What is attested.

    Attributes:
        siren: of the service versant.
        archive: the archive's identifier.
        request: of the elimination.
        message: identifier that the service versant gave to its SIP (ACTE-…, PES-…, PREUVE-…).
        digests: SHA-256 of the files that were in the archive.
        when: it was eliminated.
        visa: reference of the visa of the Archives départementales.
    """

    siren: str
    archive: str
    request: str
    message: str
    digests: frozenset[str]
    when: datetime
    visa: str


def fields(
    siren: str, archive: str, request: str, message: str, digests: Collection[str], when: str, visa: str
) -> dict[str, Any]:
    """What the archive writes, canonically, and signs."""
    return {
        "document": KIND, "format": 1, "siren": siren, "archive": archive, "demande": request, "identifiant": message,
        "sha256": sorted(set(digests)), "eliminee_le": when, "visa": visa,
    }  # fmt: skip # a table


def packed(text: bytes, signature: bytes) -> dict[str, str]:
    """As it is handed over, in JSON."""
    return {"texte": text.decode(), "signature": base64.b64encode(signature).decode()}


def check(told: Any, trust: Path, crl: Path) -> Attestation:
    """What an attestation says, once it is sure that the archive said it.

    The certificate is judged at the time of the elimination, for the word outlives it: a machine restored years later
    is told again. Whether it was revoked since is looked up in today's lists.

    Args:
        told: what `packed` gave.
        trust: PEM of the groupement's authorities.
        crl: PEM of their revocation lists.

    Raises:
        Unproven: it is not the archive's word.
        NotNow: nothing can be said of it on this machine, today.
    """
    text, signature = _parts(told)
    found = _read(text)
    for path in (trust, crl):
        if not path.is_file():
            raise NotNow(f"« {path} » manque : relancez le déploiement de cette machine.")
    try:
        signer = verify(text, signature, trust, at=int(found.when.timestamp()), purpose="smimesign")
    except SignatureError as error:
        raise Unproven(f"l'attestation des archives ne vaut rien : {error}.") from error
    except OSError as error:  # no room for a scratch folder, or no openssl
        raise NotNow(f"l'attestation des archives ne se vérifie pas maintenant ({type(error).__name__}).") from error
    organization = re.sub(r"\ACN=(?:[^,+\\]|\\.)*,", "", signer.issuer)
    if signer.subject != f"CN={SIGNER},{organization}":
        raise Unproven(f"« {signer.subject} » a signé l'attestation, et non « {SIGNER} » du groupement.")
    _check_revocation(signer, trust, crl, found.when)
    return found


def _parts(told: Any) -> tuple[bytes, bytes]:
    if not told:
        raise Unproven("l'attestation des archives manque.")
    text, signature = (told.get(key) if isinstance(told, Mapping) else None for key in ("texte", "signature"))
    if not isinstance(text, str) or not isinstance(signature, str):
        raise Unproven("l'attestation des archives n'en est pas une.")
    if len(text) > _TEXT_MAX or len(signature) > _SIGNATURE_MAX:
        raise Unproven("l'attestation des archives est trop longue pour en être une.")
    try:
        return text.encode(), base64.b64decode(signature, validate=True)
    except ValueError as error:  # binascii.Error, UnicodeEncodeError
        raise Unproven("l'attestation des archives n'en est pas une.") from error


def _read(text: bytes) -> Attestation:
    try:
        said = json.loads(text)
        values = {key: said[key] for key in ("siren", "archive", "demande", "identifiant", "eliminee_le", "visa")}
        when = datetime.fromisoformat(values["eliminee_le"])
        digests = said["sha256"]
        whole = all(isinstance(one, str) and one for one in values.values()) and isinstance(digests, list)
        if said["document"] != KIND or said["format"] != 1 or not whole or when.tzinfo is None:
            raise ValueError
        if not all(isinstance(one, str) and _DIGEST.fullmatch(one) for one in digests):
            raise ValueError
        ahead = when > datetime.now(UTC) + _AHEAD
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise Unproven(f"ce n'est pas une {KIND}.") from error
    if ahead:
        raise Unproven("l'attestation des archives est d'un jour à venir.")
    return Attestation(
        values["siren"], values["archive"], values["demande"], values["identifiant"], frozenset(digests), when,
        values["visa"],
    )  # fmt: skip # one call by its parts


def _check_revocation(signer: Signer, trust: Path, crl: Path, when: datetime) -> None:
    """Refuse a certificate that was revoked, or whose authority was. Raises Unproven, NotNow."""
    try:
        own = x509.load_pem_x509_certificate(signer.certificate.encode())
        authorities = x509.load_pem_x509_certificates(trust.read_bytes())
        lists = [
            x509.load_pem_x509_crl(block[block.index(b"-----BEGIN X509 CRL") :] + _END + b"\n")
            for block in crl.read_bytes().split(_END)[:-1]
        ]
    except (OSError, ValueError) as error:
        raise NotNow(f"« {crl} » ou « {trust} » ne se lit pas : relancez le déploiement de cette machine.") from error
    above = [one for one in authorities if one.subject == own.issuer and one.issuer != one.subject]
    for certificate in (own, *above):
        fresh = [one for one in lists if one.issuer == certificate.issuer and _current(one)]
        if not fresh:
            raise NotNow("la liste de révocation manque ou est périmée : relancez le déploiement de cette machine.")
        for one in fresh:
            entry = one.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None and not (_reason(entry) in _HARMLESS and when < entry.revocation_date_utc):
                raise Unproven(f"le certificat « {SIGNER} » qui a signé l'attestation est révoqué.")


def _current(one: x509.CertificateRevocationList) -> bool:
    return one.next_update_utc is not None and one.next_update_utc > datetime.now(UTC)


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    try:
        found = entry.extensions.get_extension_for_oid(CRLEntryExtensionOID.CRL_REASON).value
    except x509.ExtensionNotFound:
        return None
    return found.reason if isinstance(found, x509.CRLReason) else None
