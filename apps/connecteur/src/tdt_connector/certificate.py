"""The client certificate seen from here: dates, owner, authority, revocation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from creatic_agent.errors import CreaticError
from creatic_agent.reasons import reason


class CertificateError(CreaticError, cause="certificat"):
    """The certificate's files cannot be used; the text is French."""


@dataclass(frozen=True)
class ClientCertificate:
    """What the certificate folder holds. `expires` is in UTC; `revoked_on` comes from the local CRL."""

    subject: str
    issuer: str
    serial: int
    starts: datetime
    expires: datetime
    key_matches: bool
    signed_by_chain: bool
    revoked_on: datetime | None

    @property
    def days_left(self) -> int:
        return (self.expires - datetime.now(UTC)).days


def _name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def read(folder: Path, crl: Path) -> ClientCertificate:
    """Read cert.pem, key.pem and chain.pem of a folder, and look the certificate up in the CRLs.

    Raises CertificateError when a file is missing, unreadable or damaged, that of the CRLs too once it is there.
    """
    try:
        certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), password=None)
        chain = x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes())
    except OSError as error:
        raise CertificateError(f"{error.filename} : {reason(error)}") from error
    except (ValueError, TypeError) as error:
        raise CertificateError(f"fichier de certificat ou de clé endommagé dans {folder} ({error})") from error
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return ClientCertificate(
        subject=_name(certificate.subject),
        issuer=_name(certificate.issuer),
        serial=certificate.serial_number,
        starts=certificate.not_valid_before_utc,
        expires=certificate.not_valid_after_utc,
        key_matches=key.public_key().public_bytes(*spki) == certificate.public_key().public_bytes(*spki),
        signed_by_chain=any(_issued(certificate, issuer) for issuer in chain),
        revoked_on=_revoked_on(certificate, crl),
    )


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _revoked_on(certificate: x509.Certificate, path: Path) -> datetime | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    end = b"-----END X509 CRL-----"
    for block in content.split(end)[:-1]:
        try:
            crl = x509.load_pem_x509_crl(block[block.index(b"-----BEGIN") :] + end + b"\n")
        except ValueError as error:
            raise CertificateError(f"liste de révocation endommagée : {path} ({error})") from error
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if crl.issuer == certificate.issuer and entry is not None:
            return entry.revocation_date_utc
    return None
