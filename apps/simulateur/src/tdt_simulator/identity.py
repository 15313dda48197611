"""Who is at the other end: the client certificate and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from creatic_agent.identity import Kind, identity_of

_OPENS = (Kind.PERSON, Kind.CONNECTOR)
"""What has accounts on a platform, of the SIREN that it bears."""


@dataclass(frozen=True)
class Identity:
    """What a client certificate says of its holder.

    Attributes:
        siren: nine digits of the subject's OU « 0002 … », None without one, or when it is of what has no account.
        serial: hexadecimal, upper case.
        policies: OIDs of the certificatePolicies extension.
    """

    subject: str
    issuer: str
    common_name: str
    siren: str | None
    serial: str
    not_before: datetime
    not_after: datetime
    policies: tuple[str, ...]
    fingerprint: str


def _readable(name: x509.Name) -> str:
    return ", ".join(f"{part.rfc4514_attribute_name} = {part.value!s}" for part in name)


def _common_name(name: x509.Name) -> str:
    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(values[0].value) if values else _readable(name)


def read(pem: str) -> Identity:
    """Read a certificate in PEM form.

    Raises:
        ValueError: the text is not a certificate.
    """
    certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
    who = identity_of(certificate)
    try:
        extension = certificate.extensions.get_extension_for_class(x509.CertificatePolicies)
        policies = tuple(policy.policy_identifier.dotted_string for policy in extension.value)
    except x509.ExtensionNotFound:
        policies = ()
    return Identity(
        subject=_readable(certificate.subject),
        issuer=_readable(certificate.issuer),
        common_name=_common_name(certificate.subject),
        siren=who.siren if who.kind in _OPENS else None,
        serial=f"{certificate.serial_number:X}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        policies=policies,
        fingerprint=certificate.fingerprint(SHA256()).hex(":").upper(),
    )
