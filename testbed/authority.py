"""Authorities made with cryptography (not with our own PKI code): timestamping units, agents."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asn1crypto import cms, crl, pem
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

_PEM = serialization.Encoding.PEM
Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificate(
    name: str,
    issuer: Pair | None,
    *,
    ca: bool = False,
    usage: ObjectIdentifier | None = None,
    days: int = 3650,
    subject: x509.Name | None = None,
    extensions: Iterable[x509.ExtensionType] = (),
) -> Pair:
    """Issue a certificate; self-signed without issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = subject or x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Groupement d'essai"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if ca:
        usages = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usages, critical=True)
    if usage:
        critical = usage == ExtendedKeyUsageOID.TIME_STAMPING
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=critical)
    for one in extensions:
        builder = builder.add_extension(one, critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


@dataclass
class Authority:
    """A root and the CA below it, in a folder; certificates as role pki_client lays them out."""

    folder: Path
    name: str

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self._root = certificate(f"Racine {self.name}", None, ca=True)
        self._issuing = certificate(f"Emettrice {self.name}", self._root, ca=True)
        self.root.write_bytes(self._root[0].public_bytes(_PEM))

    @property
    def root(self) -> Path:
        """PEM of the root."""
        return self.folder / "racine.pem"

    def issue(
        self,
        name: str,
        usage: ObjectIdentifier = ExtendedKeyUsageOID.TIME_STAMPING,
        days: int = 365,
        subject: x509.Name | None = None,
    ) -> Path:
        """A certificate in its own folder: cert.pem, key.pem, chain.pem, fullchain.pem; `subject` if not the usual."""
        pair = certificate(name, self._issuing, usage=usage, days=days, subject=subject)
        folder = self.folder / name.replace(" ", "_").replace("/", "_")
        folder.mkdir()
        chain, own = self._issuing[0].public_bytes(_PEM), pair[0].public_bytes(_PEM)
        for file, content in (("cert.pem", own), ("chain.pem", chain), ("fullchain.pem", own + chain)):
            (folder / file).write_bytes(content)
        key = pair[1].private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / "key.pem").write_bytes(key)
        return folder

    def revoke(self, *folders: Path) -> Path:
        """CRLs of both authorities, with these certificates revoked."""
        now = dt.datetime.now(dt.UTC)
        crls = b""
        for issuer, revoked in ((self._root, ()), (self._issuing, folders)):
            builder = (
                x509.CertificateRevocationListBuilder()
                .issuer_name(issuer[0].subject)
                .last_update(now - dt.timedelta(hours=1))
                .next_update(now + dt.timedelta(days=30))
            )
            for folder in revoked:
                serial = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()).serial_number
                entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
                builder = builder.add_revoked_certificate(entry.build())
            crls += builder.sign(issuer[1], hashes.SHA256()).public_bytes(_PEM)
        path = self.folder / "crl.pem"
        path.write_bytes(crls)
        return path


def carrying(signature: bytes, lists: bytes) -> bytes:
    """A CMS signature (DER) that carries these revocation lists (PEM), which are not signed."""
    whole = cms.ContentInfo.load(signature)
    found = [crl.CertificateList.load(der) for _kind, _headers, der in pem.unarmor(lists, multiple=True)]
    whole["content"]["crls"] = cms.RevocationInfoChoices([cms.RevocationInfoChoice("crl", one) for one in found])
    return bytes(whole.dump())
