"""Authorities made with cryptography (not with our PKI code), a token in SoftHSM2, documents."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pkcs11
import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pkcs11.util.x509 import decode_x509_certificate
from pyhanko.sign import signers
from reportlab.pdfgen import canvas
from signature_actes.token import TokenKey
from signature_actes.trust import Trust

PEM = serialization.Encoding.PEM
SIREN = "215902669"
LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Pair = tuple[x509.Certificate, Key]
NOW = dt.datetime.now(dt.UTC)


def name(common_name: str, siren: str = "") -> x509.Name:
    parts = [(NameOID.COUNTRY_NAME, "FR"), (NameOID.ORGANIZATION_NAME, "Commune de Gondecourt")]
    parts += [(NameOID.ORGANIZATIONAL_UNIT_NAME, f"0002 {siren}")] if siren else []
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in [*parts, (NameOID.COMMON_NAME, common_name)]])


@cache
def rsa_key(_folder: str, _rank: int) -> rsa.RSAPrivateKey:
    """Keys of persons, by their authority's folder and rank: made once for all tests, none twice in a test."""
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Issuer:
    """A root and the authority below it."""

    label: str
    folder: Path
    revoked: list[x509.Certificate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self._ranks = itertools.count()
        self.root = self._make(name(f"Racine {self.label}"), None, ca=True)
        self.issuing = self._make(name(f"Émettrice {self.label}"), self.root, ca=True)
        certificates = self.root[0].public_bytes(PEM) + self.issuing[0].public_bytes(PEM)
        (self.folder / "ca.pem").write_bytes(certificates)
        (self.folder / "root.pem").write_bytes(self.root[0].public_bytes(PEM))
        self.write_crls()

    def _make(
        self,
        subject: x509.Name,
        issuer: Pair | None,
        *,
        ca: bool = False,
        key: Key | None = None,
        start: dt.datetime = NOW - dt.timedelta(days=1),
        end: dt.datetime = NOW + dt.timedelta(days=365),
        tsa: bool = False,
        signing: bool = True,
    ) -> Pair:
        own = key or ec.generate_private_key(ec.SECP256R1())
        above = issuer or (None, own)
        usage = {
            "digital_signature": not ca,
            "content_commitment": not ca and signing,
            "key_cert_sign": ca,
            "crl_sign": ca,
        }
        absent = ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only")
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(above[0].subject if above[0] else subject)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage, **dict.fromkeys(absent, False)), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above[1].public_key()), critical=False)
        )
        if tsa:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        return builder.sign(above[1], hashes.SHA256()), own

    def person(self, common_name: str = "Claire Dubois", siren: str = SIREN, **options: object) -> Pair:
        """A person's certificate, RSA as in real tokens."""
        options.setdefault("key", rsa_key(self.folder.name, next(self._ranks)))
        return self._make(name(common_name, siren), self.issuing, **options)  # type: ignore[arg-type] # options are of several types

    def tsa(self) -> Path:
        """A timestamping unit, laid out as by role pki_client."""
        certificate, key = self._make(name("Horodatage"), self.issuing, tsa=True)
        folder = self.folder / "tsa"
        folder.mkdir(exist_ok=True)
        (folder / "cert.pem").write_bytes(certificate.public_bytes(PEM))
        (folder / "chain.pem").write_bytes(self.issuing[0].public_bytes(PEM))
        (folder / "key.pem").write_bytes(private_pem(key))
        return folder

    def write_crls(self, next_update: dt.datetime = NOW + dt.timedelta(days=30)) -> None:
        lists = b""
        for issuer, revoked in ((self.root, []), (self.issuing, self.revoked)):
            builder = (
                x509.CertificateRevocationListBuilder()
                .issuer_name(issuer[0].subject)
                .last_update(NOW - dt.timedelta(days=40))
                .next_update(next_update)
                .add_extension(x509.CRLNumber(1), critical=False)
                .add_extension(
                    x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key()), critical=False
                )
            )
            for one in revoked:
                entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(NOW)
                builder = builder.add_revoked_certificate(entry.build())
            lists += builder.sign(issuer[1], hashes.SHA256()).public_bytes(PEM)
        (self.folder / "crl.pem").write_bytes(lists)

    @property
    def trust(self) -> Trust:
        return Trust.read([self.folder / "ca.pem"], [self.folder / "crl.pem"])


def private_pem(key: Key) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def software(issuer: Issuer, pair: Pair) -> signers.SimpleSigner:
    """What signs with a key of a file: for what a test says of documents rather than of tokens."""
    from asn1crypto import keys
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    store = SimpleCertificateStore()
    store.register(asn1_x509.Certificate.load(issuer.issuing[0].public_bytes(serialization.Encoding.DER)))
    der = pair[1].private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return signers.SimpleSigner(
        signing_cert=asn1_x509.Certificate.load(pair[0].public_bytes(serialization.Encoding.DER)),
        signing_key=keys.PrivateKeyInfo.load(der),
        cert_registry=store,
    )


@dataclass
class Tokens:
    """SoftHSM2 in a folder."""

    folder: Path

    def make(self, label: str, pair: Pair, pin: str = "271828") -> TokenKey:
        """A token with a key that asks for the PIN, and its certificate, readable without."""
        options = ["--token", label, "--pin", pin]
        run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "0000")
        (self.folder / "key.pem").write_bytes(private_pem(pair[1]))
        run("softhsm2-util", "--import", self.folder / "key.pem", "--label", "cle", "--id", "01", *options)
        (self.folder / "key.pem").unlink()
        library = pkcs11.lib(str(LIBRARY))
        library.reinitialize()
        with library.get_token(token_label=label).open(rw=True, user_pin=pin) as session:
            template = decode_x509_certificate(pair[0].public_bytes(serialization.Encoding.DER))
            template |= {pkcs11.Attribute.TOKEN: True, pkcs11.Attribute.ID: b"\x01", pkcs11.Attribute.LABEL: "cert"}
            session.create_object(template | {pkcs11.Attribute.PRIVATE: False})
        return TokenKey(LIBRARY, label)


def run(*command: str | Path) -> str:
    """Run a public tool; its output, or what it complained of."""
    done = subprocess.run(
        [str(one) for one in command], capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer("du prestataire", tmp_path / "prestataire")


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tokens]:
    folder = tmp_path / "softhsm"
    (folder / "tokens").mkdir(parents=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n", encoding="ascii")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    yield Tokens(folder)


@pytest.fixture
def act(tmp_path: Path) -> Path:
    """A deliberation, as a word processor exports it."""
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer)
    page.drawString(100, 700, "Délibération 2026-11-05 : budget primitif")
    page.save()
    path = tmp_path / "deliberation.pdf"
    path.write_bytes(buffer.getvalue())
    return path
