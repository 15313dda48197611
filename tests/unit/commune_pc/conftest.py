"""Certificates of a small authority, made once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ISSUED = {"titulaire": "Secrétariat général", "usage": "authentification", "source": "groupement"}
TOKEN = {
    "titulaire": "Finances",
    "usage": "authentification",
    "source": "jeton",
    "jeton": "finances",
    "bibliotheque": "/usr/lib/lecteur.so",
}


@dataclass
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()


class Maker:
    """Makes certificates, and the CRLs which revoke them."""

    def __init__(self, name: str = "Racine d'essai") -> None:
        self.root = self.make(name, ca=True)

    def make(self, name: str, *, days: int = 300, ca: bool = False, client: bool = True, unit: str = "") -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), *units])
        issuer = subject if ca else self.root.certificate.subject
        now = dt.datetime.now(dt.UTC)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.EMAIL_PROTECTION
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=400))
            .not_valid_after(now + dt.timedelta(days=days, minutes=5))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return Pair(builder.sign(key if ca else self.root.key, hashes.SHA256()), key)

    def crl(self, *revoked: x509.Certificate) -> bytes:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.root.certificate.subject)
            .last_update(now)
            .next_update(now + dt.timedelta(days=30))
        )
        for certificate in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(dt.datetime(2026, 3, 9, tzinfo=dt.UTC))
                .build()
            )
        return builder.sign(self.root.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="session")
def maker() -> Maker:
    return Maker()
