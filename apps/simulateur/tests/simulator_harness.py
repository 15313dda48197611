"""A small PKI, communes and a client of the platform."""

from __future__ import annotations

import datetime
import html
import io
import ipaddress
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from reportlab.pdfgen.canvas import Canvas
from tdt_simulator.testing import TdtServer, serve

SIREN, OTHER_SIREN = "215902669", "215900358"
RGS_POLICY = "1.3.6.1.4.1.59999.59.1.1"
AUTHORITIES = [
    {"siren": SIREN, "nom": "Commune de Gondecourt", "departement": "059", "arrondissement": "5"},
    {
        "siren": OTHER_SIREN,
        "nom": "Commune d'Avesnes-les-Aubert",
        "departement": "059",
        "arrondissement": "3",
    },
]
DELAY = 0.05
XSD = Path(__file__).parents[4] / "shared" / "protocol" / "actes" / "actesv1_1.xsd"
_DAY = datetime.timedelta(days=1)


def make_pdf(text: str = "Délibération", pages: int = 1) -> bytes:
    """Return a small PDF."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(595, 842), invariant=True)
    for page in range(1, pages + 1):
        canvas.drawString(72, 700, f"{text}, page {page}")
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


PDF = make_pdf()


@dataclass
class Pki:
    """One certification authority; every certificate is a pair of files."""

    folder: Path
    name: str = "ca"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    serials: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"AC de test {self.name}")])
        certificate = (
            self._builder(subject, subject, self.key.public_key(), 365)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=False,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=True,
                    crl_sign=True,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        self.subject = subject
        self.certificate = self.folder / f"{self.name}.pem"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def _builder(
        subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now + days * _DAY)
        )

    def issue(
        self, name: str, *, siren: str | None = None, days: int = 30, policy: str | None = RGS_POLICY
    ) -> tuple[str, str]:
        """Issue a certificate (a client's with ``siren``, else the server's); return its files."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if siren:
            attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"0002 {siren}"))
        builder = self._builder(x509.Name(attributes), self.subject, key.public_key(), days)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        if siren is None:
            names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("tdt.creatic.test")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if siren is not None and policy:
            info = x509.PolicyInformation(x509.ObjectIdentifier(policy), None)
            builder = builder.add_extension(x509.CertificatePolicies([info]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        self.serials[name] = certificate.serial_number
        cert_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(cert_file), str(key_file)

    def crl(self, *revoked: str) -> Path:
        """Write a CRL with these certificates."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.subject)
            .last_update(now - _DAY)
            .next_update(now + _DAY)
        )
        for name in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(self.serials[name]).revocation_date(now)
            builder = builder.add_revoked_certificate(entry.build())
        path = self.folder / f"{self.name}.crl.pem"
        signed = builder.sign(self.key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return path


class Clock:
    """The platform's time, standing still until the test advances it."""

    def __init__(self, server: TdtServer) -> None:
        self.now = time.time()
        server.store.clock = lambda: self.now

    def advance(self, seconds: float) -> None:
        """Let time pass, and a millisecond more: floating-point seconds are not exact."""
        self.now += seconds + 0.001


@dataclass
class Client:
    """A client of the platform, with a certificate."""

    server: TdtServer
    session: requests.Session

    def get(self, path: str, **options: object) -> requests.Response:
        """Send a GET, redirections left alone."""
        return self.session.get(self.server.url + path, allow_redirects=False, timeout=120, **options)  # type: ignore[arg-type] # requests types its options one by one

    def post(self, path: str, **options: object) -> requests.Response:
        """Send a POST."""
        return self.session.post(self.server.url + path, allow_redirects=False, timeout=120, **options)  # type: ignore[arg-type] # requests types its options one by one

    @staticmethod
    def pdf() -> list[tuple[str, tuple[str, bytes, str]]]:
        """Return the files of a plain act."""
        return [("acte_pdf_file", ("acte.pdf", PDF, "application/pdf"))]

    @staticmethod
    def form(number: str, **changes: object) -> dict[str, object]:
        """Return the fields of an act; ``changes`` replaces some, None removes one."""
        fields: dict[str, object] = {
            "api": "1",
            "nature_code": "1",
            "number": number,
            "subject": "Subvention à l'école d'été".encode("latin-1"),
            "decision_date": "2025-01-15",
            "classif1": "7",
            "classif2": "5",
            "type_acte": "99_DE",
            "en_attente": "0",
            "document_papier": "0",
        }
        return {name: value for name, value in (fields | changes).items() if value is not None}

    def deposit(self, number: str = "2025_001", **changes: object) -> requests.Response:
        """Deposit an act (changes: see form; ``files`` replaces the files)."""
        files = changes.pop("files", self.pdf())
        form = self.form(number, **changes)
        return self.post("/modules/actes/actes_transac_create.php", data=form, files=files)

    def deposited(self, number: str = "2025_001", **changes: object) -> int:
        """Deposit an act which must be accepted; return its transaction."""
        answer = self.deposit(number, **changes)
        verdict, identifier = answer.text.split("\n")[:2]
        assert verdict == "OK", answer.text
        return int(identifier)

    def acknowledged(self, number: str = "2025_001", **changes: object) -> int:
        """Deposit an act and wait for its receipt."""
        identifier = self.deposited(number, **changes)
        self.server.wait_status(identifier, 4)
        return identifier

    def status(self, identifier: int) -> tuple[int, str]:
        """Return the status of a transaction, and what follows it."""
        answer = self.get(f"/modules/actes/actes_transac_get_status.php?transaction={identifier}")
        verdict, status, rest = answer.content.decode("latin-1").split("\n", 2)
        assert verdict == "OK", answer.text
        return int(status), rest

    def cancel(self, identifier: int) -> str:
        """Ask for a cancellation; return the answer, unescaped."""
        form = {"api": (None, "1"), "id": (None, str(identifier))}
        answer = self.post("/modules/actes/actes_transac_cancel.php", files=form)
        return html.unescape(answer.content.decode("latin-1"))

    def listed(self, status: int, more: str = "") -> list[str]:
        """Return the numbers of the acts of a status."""
        answer = self.get(f"/modules/actes/api/list_actes.php?status_id={status}{more}").json()
        return [row["number"] for row in answer["transactions"] if row["type"] == "1"]


def serving(pki: Pki, folder: Path, **options: Any) -> AbstractContextManager[TdtServer]:
    """A platform that shows the authority's certificate ``serveur``; `options` as `serve` takes them."""
    cert, key = pki.folder / "serveur.pem", pki.folder / "serveur.key"
    return serve(folder, ca=pki.certificate, cert=cert, key=key, authorities=AUTHORITIES, **options)
