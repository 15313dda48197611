"""A small PKI, communes and a running platform for the tests of the simulator."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tdt_simulator.testing import TdtServer, serve

SIREN, OTHER_SIREN, UNKNOWN_SIREN = "215902669", "215900358", "215999999"
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
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<<>>>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)
DELAY = 0.05
_DAY = datetime.timedelta(days=1)


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


@dataclass
class Client:
    """A client of the platform, with a certificate."""

    server: TdtServer
    session: requests.Session

    def get(self, path: str, **options: object) -> requests.Response:
        """Send a GET, redirections left alone."""
        return self.session.get(self.server.url + path, allow_redirects=False, timeout=20, **options)  # type: ignore[arg-type] # requests types its options one by one

    def post(self, path: str, **options: object) -> requests.Response:
        """Send a POST."""
        return self.session.post(self.server.url + path, allow_redirects=False, timeout=20, **options)  # type: ignore[arg-type] # requests types its options one by one

    def deposit(self, number: str = "2025_001", **changes: object) -> requests.Response:
        """Deposit an act; ``changes`` replaces fields, None removes one, ``files`` replaces the files."""
        files = changes.pop("files", [("acte_pdf_file", ("acte.pdf", PDF, "application/pdf"))])
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
        fields |= changes
        fields = {name: value for name, value in fields.items() if value is not None}
        return self.post("/modules/actes/actes_transac_create.php", data=fields, files=files)

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


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The groupement's certification authority."""
    made = Pki(tmp_path_factory.mktemp("pki"))
    made.issue("serveur")
    return made


@pytest.fixture
def platform(pki: Pki, tmp_path: Path) -> Iterator[TdtServer]:
    """A running platform."""
    cert, key = pki.folder / "serveur.pem", pki.folder / "serveur.key"
    accounts = [
        {"login": "gondecourt", "password": "secret-g", "siren": SIREN, "certificate_siren": "200093201"},
        {"login": "avesnes", "password": "secret-a", "siren": OTHER_SIREN, "certificate_siren": "200093201"},
    ]
    with serve(
        tmp_path / "tdt",
        ca=pki.certificate,
        cert=cert,
        key=key,
        authorities=AUTHORITIES,
        accounts=accounts,
        delay=DELAY,
    ) as server:
        yield server


@pytest.fixture
def connect(platform: TdtServer, pki: Pki) -> Callable[..., Client]:
    """Return a function that opens a client for a SIREN."""

    def opened(siren: str = SIREN, policy: str | None = RGS_POLICY) -> Client:
        name = f"client-{siren}-{policy}"
        if not (pki.folder / f"{name}.pem").exists():
            pki.issue(name, siren=siren, policy=policy)
        session = requests.Session()
        session.trust_env = False  # an environment variable would replace the CA
        session.verify = str(pki.certificate)
        session.cert = (str(pki.folder / f"{name}.pem"), str(pki.folder / f"{name}.key"))
        return Client(platform, session)

    return opened


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    """A client of Gondecourt with an RGS certificate."""
    return connect()
