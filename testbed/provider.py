"""What a provider of certificates delivers: a .p12 file and its password."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

_TEXTS = {"O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME, "CN": NameOID.COMMON_NAME,
          "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER}  # fmt: skip # a table
PASSWORD = "motdepasse-du-prestataire"


@cache
def packed(*subject: tuple[str, str], days: int = 300) -> bytes:
    """A .p12 whose certificate has that subject, as (O, OU, CN, organizationIdentifier; text), for so many days."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(_TEXTS[kind], text) for kind, text in subject])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Prestataire")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=400))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    secret = serialization.BestAvailableEncryption(PASSWORD.encode())
    return pkcs12.serialize_key_and_certificates(b"prestataire", key, certificate, None, secret)


def deliver(folder: Path, file: str, secret: str, siren: str) -> None:
    """Put a .p12 of that SIREN and its password where a commune's file names them."""
    (folder / file).write_bytes(packed(("CN", "Mairie"), ("OU", f"0002 {siren}")))
    (folder / secret).write_text(f"{PASSWORD}\n", encoding="utf-8")
    (folder / secret).chmod(0o600)
