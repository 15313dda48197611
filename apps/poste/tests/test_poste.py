"""The program itself against a real door: as Linux runs it, and as Wine runs what Windows would.

What it left is read by others: reg, openssl, what the door saw.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import http.server
import json
import os
import pty
import secrets
import select
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from creatic_agent.enrolment import Refused, check_renewal, read_csr
from creatic_agent.proof import signed_by
from testbed.patience import wait_for
from testbed.poste import LONG
from testbed.wine import GO, MODULE, MY, QUIET, RUN, Registry, dos, server

SIREN, OTHER_SIREN = "215902495", "130001229"
TDT = "https://tdt.example.test"
HOLDER, PROVIDED = "Jeanne Lefèvre", "Paul Carré"
CHROME = r"HKLM\Software\Policies\Google\Chrome"
EDGE = r"HKLM\Software\Policies\Microsoft\Edge"

pytestmark = [
    pytest.mark.skipif(shutil.which("go") is None, reason="needs Go (package golang-go)"),
    pytest.mark.skipif(
        not Path("/usr/share/gocode/src/software.sslmate.com/src/go-pkcs12").is_dir(),
        reason="needs the package golang-sslmate-src-go-pkcs12-dev",
    ),
]


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def name(common: str, organization: str = "", siren: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COUNTRY_NAME, "FR")]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    if siren:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"0002 {siren}"))
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def sha256(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


class Authority:
    """A root, and an authority under it that issues."""

    def __init__(self, label: str) -> None:
        self.root_key, self.key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self.root = self._sign(
            name(f"Racine {label}"), self.root_key.public_key(), name(f"Racine {label}"), self.root_key
        )
        self.issuing = self._sign(
            name(f"Émettrice {label}"), self.key.public_key(), self.root.subject, self.root_key, days=1800
        )

    @staticmethod
    def _sign(
        subject: x509.Name,
        key: Any,
        issuer: x509.Name,
        by: ec.EllipticCurvePrivateKey,
        days: float = 3650,
        since: float = -400,
        host: str = "",
        leaf: bool = False,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() + dt.timedelta(days=since))
            .not_valid_after(now() + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=not leaf, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        )
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        elif leaf:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        return builder.sign(by, hashes.SHA256())

    def issue(
        self, subject: x509.Name, key: Any, days: float = 365, since: float = -1, host: str = ""
    ) -> x509.Certificate:
        return self._sign(subject, key, self.issuing.subject, self.key, days, since, host, leaf=True)


@dataclass
class Door:
    """The groupement's door, as the program's API describes it, and what it saw."""

    authority: Authority
    folder: Path
    signs: bool = True
    days: float = 365  # of what it issues
    shift: dt.timedelta = dt.timedelta()  # its clock, from this machine's
    tokens: dict[str, str] = field(default_factory=dict)  # the computer's name, by token
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    shown: list[tuple[str, str, str]] = field(default_factory=list)  # path, fingerprint, TLS version
    came: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    revoked: str = ""  # what nginx's page says of the certificate that is shown

    def context(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
        file = self.folder / f"{sha256(certificate)}.pem"
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        file.write_text(text + pem(certificate) + pem(self.authority.issuing))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.load_verify_locations(cadata=pem(self.authority.root))
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def one(self, csr: str, known: str, place: str) -> dict[str, Any]:
        """Keep a request; the same key again is the same one."""
        request = x509.load_pem_x509_csr(csr.encode())
        assert request.is_signature_valid
        spki = request.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for identifier, other in self.requests.items():
            if other["for"] == (known, place):
                if other["spki"] != spki:
                    return {"refused": (409, "jeton_utilise", "ce jeton a déjà servi.")}
                return {"demande": identifier, "etat": "signee" if "certificate" in other else "attente"}
        identifier = secrets.token_hex(8)
        self.requests[identifier] = {"for": (known, place), "spki": spki, "csr": csr}
        return {"demande": identifier, "etat": "attente"}

    def answer(self, identifier: str) -> dict[str, Any]:
        found = self.requests[identifier]
        if self.signs and "certificate" not in found:
            csr = x509.load_pem_x509_csr(found["csr"].encode())
            found["certificate"] = self.authority.issue(csr.subject, csr.public_key(), self.days)
        if "certificate" not in found:
            return {"etat": "attente"}
        return {"etat": "signee", "certificat": pem(found["certificate"]), "chaine": [pem(self.authority.issuing)]}

    @property
    def issued(self) -> list[x509.Certificate]:
        return [one["certificate"] for one in self.requests.values() if "certificate" in one]


def handler(door: Door) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        connection: ssl.SSLSocket

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(now() + door.shift, usegmt=True)

        def tell(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def page(self) -> None:
            """As nginx does before its application is asked (tests/unit/postes/test_behind_nginx.py)."""
            body = f"<!DOCTYPE html><p>{door.revoked}</p>".encode()
            self.send_response(400)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def peer(self) -> bytes | None:
            der = self.connection.getpeercert(binary_form=True)
            if der:
                version = self.connection.version() or ""
                door.shown.append((self.path, sha256(x509.load_der_x509_certificate(der)), version))
            return der

        def do_HEAD(self) -> None:
            self.tell(200, {})

        def do_GET(self) -> None:
            der = self.peer()
            if self.path == "/identite":
                return self.tell(200 if der else 403, {"message": "vu", "cause": "sans_certificat"})
            folder, identifier = self.path.strip("/").split("/")
            known = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if identifier not in door.requests or (folder == "demandes" and known not in door.tokens):
                return self.tell(403, {"message": "inconnu.", "cause": "jeton_inconnu"})
            return self.tell(200, door.answer(identifier))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            door.posts.append((self.path, body))
            der = self.peer()
            if der and door.revoked:
                return self.page()
            if self.path == "/constats":
                return self.tell(200 if der else 403, {"etat": "garde", "message": "", "cause": "sans_certificat"})
            if self.path == "/renouvellements":
                if not der:
                    return self.tell(403, {"message": "sans certificat.", "cause": "sans_certificat"})
                shown = x509.load_der_x509_certificate(der)
                try:
                    check_renewal(shown, read_csr(body["csr"], shown.subject), body.get("preuve"))
                except Refused as refused:
                    return self.tell(400, {"message": refused.message, "cause": "preuve"})
                known = sha256(shown)
            else:
                known = body["jeton"]
                if known not in door.tokens:
                    return self.tell(403, {"message": "ce jeton est inconnu.", "cause": "jeton_inconnu"})
                if door.tokens[known].lower() != body["nom"].lower():
                    return self.tell(409, {"message": "un autre poste.", "cause": "autre_poste"})
            answer = door.one(body["csr"], known, body.get("certificat", ""))
            if "refused" in answer:
                status, cause, message = answer["refused"]
                return self.tell(status, {"cause": cause, "message": message})
            self.tell(202, answer)
            door.came.set()

    return Handler


@contextlib.contextmanager
def serving(
    door: Door, by: Authority | None = None, since: float = -1, days: float = 90, host: str = "localhost"
) -> Iterator[Door]:
    """Open the door, with a certificate of an authority, valid from a number of days on."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (by or door.authority).issue(name(host), key.public_key(), days, since, host=host)
    context = door.context(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(door))
    server.daemon_threads = True
    server.handle_error = lambda *args: None  # type: ignore[method-assign] # handshakes that fail are what is asked
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    door.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield door
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def built(folder: Path, system: str) -> Path:
    program = folder / ("creatic-poste.exe" if system == "windows" else "creatic-poste")
    subprocess.run(
        ["nice", "-n", "19", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "."],
        cwd=MODULE, env=os.environ | GO | {"GOOS": system, "GOARCH": "amd64"}, check=True, timeout=LONG,
    )  # fmt: skip # a command on a line
    return program


class PC:
    """A PC that runs the program: as Linux does."""

    system = "linux"

    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.environment = os.environ | {"XDG_DATA_HOME": str(folder / "data"), "HOME": str(folder)}
        self.command: tuple[str, ...] = (str(program),)
        self.config = folder / "poste.json"

    def argument(self, path: Path) -> str:
        return str(path)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, *arguments, "--poste", self.argument(self.config)],
            env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip # a command on a line

    def run(self, *arguments: str, code: int = 0, typed: str = "") -> str:
        """What it said; its exit code is asserted, but never alone."""
        process = self.start(*arguments)
        said, wrong = process.communicate(typed, timeout=LONG)
        assert process.returncode == code, f"{process.returncode} : {said}{wrong}"
        return said + wrong

    def json(self, *arguments: str, code: int = 0) -> Any:
        process = self.start(*arguments, "--json")
        said, wrong = process.communicate("", timeout=LONG)
        assert process.returncode == code, f"{process.returncode} : {said}{wrong}"
        return json.loads(said)

    def certificates(self) -> list[x509.Certificate]:
        """What its store has, read without the program."""
        return [x509.load_pem_x509_certificate(path.read_bytes()) for path in self.folder.glob("data/**/*.pem")]

    def containers(self) -> list[str]:
        """Names of its keys, read without the program."""
        paths = [*self.folder.glob("data/**/*.key")]
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in paths)
        return [path.stem for path in paths]

    def folders(self) -> list[Path]:
        """What is left of the account's own."""
        return [*self.folder.glob("data/*")]

    def clean(self) -> None:
        pass


def wined(prefix: Path) -> dict[str, str]:
    """Settings of a program that Wine runs in a prefix, without a screen nor a language."""
    return os.environ | QUIET | {"WINEPREFIX": str(prefix)}


class Wine(Registry, PC):
    """And as Windows does, as far as Wine is one."""

    system = "windows"

    def __init__(self, program: Path, prefix: Path, folder: Path) -> None:
        super().__init__(program, folder)
        self.prefix = prefix
        self.environment = wined(prefix)
        self.command = ("wine", str(program))

    def argument(self, path: Path) -> str:
        return dos(path)

    def wine(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            ["wine", *command],
            env=self.environment,
            capture_output=True,
            check=check,
            timeout=LONG,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout.decode("cp437")  # as reg writes to a pipe, in a session of no language

    def folders(self) -> list[Path]:
        return [*self.prefix.glob("drive_c/users/*/AppData/Local/Creatic")]

    def clean(self) -> None:
        self.run("retirer")
        assert self.containers() == []
        for key in (MY, CHROME, EDGE):
            self.wine("reg", "delete", key, "/f", check=False)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("poste")
    return {system: built(folder, system) for system in ("linux", "windows")}


@pytest.fixture(scope="session")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Windows that is Wine's, new."""
    if shutil.which("wine") is None:
        pytest.skip("needs Wine (packages wine, wine64)")
    yield from made(tmp_path_factory.mktemp("wine"))


def made(folder: Path) -> Iterator[Path]:
    environment = wined(folder)
    subprocess.run(["wineboot", "-i"], env=environment, check=True, capture_output=True, timeout=LONG)
    # Else Windows starts at each program; and its services, by the first, whose pipes they would hold.
    for command in ([server(), "-p"], ["wine", "cmd", "/c", "exit"]):
        subprocess.run(
            command, env=environment, check=False, timeout=LONG, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    yield folder
    subprocess.run([server(), "-k"], env=environment, check=False, timeout=LONG)
    shutil.rmtree(folder)


@pytest.fixture
def windows(programs: dict[str, Path], prefix: Path, tmp_path: Path) -> Iterator[Wine]:
    pc = Wine(programs["windows"], prefix, tmp_path)
    yield pc
    pc.clean()


SYSTEMS = ["linux", pytest.param("windows", marks=pytest.mark.wine)]


@pytest.fixture(params=SYSTEMS)
def pc(request: pytest.FixtureRequest, programs: dict[str, Path], tmp_path: Path) -> PC:
    if request.param == "windows":
        found: Wine = request.getfixturevalue("windows")
        return found
    return PC(programs["linux"], tmp_path)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("du test")


@pytest.fixture
def door(authority: Authority, tmp_path: Path) -> Iterator[Door]:
    with serving(Door(authority, tmp_path)) as found:
        yield found


ISSUED = {
    "nom": "secretaire", "titulaire": HOLDER, "organisation": "Commune de Gondecourt", "siren": SIREN,
    "usage": "authentification", "source": "groupement",
}  # fmt: skip # as the file has it
FILE = ISSUED | {"nom": "prestataire", "titulaire": PROVIDED, "source": "fichier"}


def prepare(pc: PC, door: Door, *certificates: dict[str, str], **changes: Any) -> dict[str, Any]:
    """Write the PC's file; its token is the door's."""
    token = base64.b32encode(secrets.token_bytes(32)).decode().rstrip("=")
    door.tokens[token] = socket.gethostname()
    content = {
        "groupement": "Groupement du test", "commune": "Gondecourt", "siren": SIREN,
        "poste": "gondecourt-pc-secretariat", "nom": socket.gethostname(), "enrolement": f"https://localhost:{door.port}",
        "jeton": token, "jeton_fin": (now() + dt.timedelta(days=14)).isoformat(timespec="seconds"),
        "racines": [pem(door.authority.root)], "autorites": [pem(door.authority.issuing)], "tdt_autorites": [],
        "tdt": TDT, "sites": [], "certificats": [*certificates] or [ISSUED],
    } | changes  # fmt: skip # as the file is
    pc.config.write_text(json.dumps(content, ensure_ascii=False))
    return content


def judged(door: Door, csr: str, certificate: x509.Certificate) -> None:
    """openssl's word on what was asked and on what came."""
    request, leaf, above = (door.folder / one for one in ("csr.pem", "leaf.pem", "above.pem"))
    request.write_text(csr)
    leaf.write_text(pem(certificate))
    above.write_text(pem(door.authority.issuing))
    (door.folder / "root.pem").write_text(pem(door.authority.root))
    asked = subprocess.run(
        ["openssl", "req", "-in", request, "-verify", "-noout", "-subject", "-text"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip # a command on a line
    assert "verify OK" in asked.stderr + asked.stdout
    assert "3072 bit" in asked.stdout
    subprocess.run(
        ["openssl", "verify", "-CAfile", door.folder / "root.pem", "-untrusted", above, "-purpose", "sslclient", leaf],
        capture_output=True, check=True,
    )  # fmt: skip # a command on a line


def test_a_certificate_whose_key_was_born_here_is_shown_to_the_door(pc: PC, door: Door) -> None:
    prepare(pc, door)
    said = pc.run("session")
    [leaf] = door.issued
    judged(door, door.posts[0][1]["csr"], leaf)
    assert leaf.subject == name(HOLDER, "Commune de Gondecourt", SIREN)
    assert sha256(leaf) in said and TDT in said
    assert [(path, shown) for path, shown, _ in door.shown] == [("/identite", sha256(leaf))]
    assert pc.certificates() == [leaf]
    assert len(pc.containers()) == 1
    if isinstance(pc, Wine):
        [blob] = pc.blobs(MY)
        assert pc.containers()[0].encode("utf-16-le") in blob[2]  # CERT_KEY_PROV_INFO_PROP_ID
        assert HOLDER in blob[11].decode("utf-16-le")  # CERT_FRIENDLY_NAME_PROP_ID
        assert door.shown[0][2] == "TLSv1.2"  # CryptoAPI has no PSS
    # Again: nothing is asked, nothing changes.
    assert pc.json("session")["certificats"][0]["etat"] == "inchange"
    assert len(door.posts) == 1
    [seen] = pc.json("verifier", code=1)["certificats"]  # the machine's part is not there
    assert (seen["etat"], seen["empreinte"], seen["jours"]) == ("installe", sha256(leaf), 364)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_between_key_and_certificate_then_again_is_one_key_and_one_certificate(
    pc: PC, door: Door, when: str
) -> None:
    prepare(pc, door)
    door.signs = False
    process = pc.start("session", "--attente", "5m")
    assert door.came.wait(LONG)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    [container] = pc.containers()
    assert pc.certificates() == []
    if when == "before":
        assert "attend la signature" in pc.run("session", "--attente", "1s", code=3)
    assert pc.json("verifier", code=1)["certificats"][0]["etat"] == "attente"
    door.signs = True
    pc.run("session")
    assert pc.certificates() == door.issued
    assert pc.containers() == [container]
    assert len(door.requests) == 1


def test_renewed_by_the_key_that_it_has_and_the_former_goes(pc: PC, door: Door) -> None:
    prepare(pc, door)
    door.days = 20
    pc.run("session")
    former, container = door.issued[0], pc.containers()
    assert pc.json("verifier", code=1)["certificats"][0]["seuil"] == 30
    door.days = 365
    said = pc.run("session")  # less than a month is left: unasked
    new = door.issued[1]
    assert ("/renouvellements", sha256(former)) in [(path, shown) for path, shown, _ in door.shown]
    assert pc.certificates() == [new]
    assert len(pc.containers()) == 1 and pc.containers() != container
    assert f"empreinte {sha256(new)}" in said
    said = pc.run("renouveler", "secretaire")
    assert pc.certificates() == [door.issued[2]]


def test_a_revoked_certificate_is_told_and_renews_nothing(pc: PC, door: Door) -> None:
    prepare(pc, door)
    pc.run("session")
    held = (pc.certificates(), len(door.requests))
    door.revoked = "Ce certificat a été révoqué. Demandez-en un nouveau au groupement."
    said = pc.run("renouveler", "secretaire", code=1)
    assert "refuse le certificat de ce PC (il a été révoqué)" in said and "nouvel installateur" in said
    assert (pc.certificates(), len(door.requests)) == held


def test_a_new_certificate_that_does_not_serve_leaves_the_former(pc: PC, door: Door) -> None:
    prepare(pc, door)
    pc.run("session")
    former = door.issued[0]
    stranger = Authority("d'un autre")
    good, door.authority = door.authority, stranger  # what it signs with from now on
    assert "n'est pas celui qui était demandé" in pc.run("renouveler", code=1)
    door.authority = good
    assert pc.certificates() == [former]
    assert pc.json("verifier", code=1)["certificats"][0]["etat"] == "installe"


@pytest.mark.parametrize(
    ("change", "cause", "words"),
    [
        ({"jeton": "A" * 52}, "jeton_inconnu", "ce jeton est inconnu"),
        ({"jeton_fin": "2026-01-01T00:00:00Z"}, "jeton_expire", "Demandez-en un nouveau"),
        ({"jeton": ""}, "sans_jeton", "nouvel installateur"),
        ({"nom": "PC-ACCUEIL"}, "autre_poste", "PC-ACCUEIL"),
    ],
)
def test_a_token_that_does_not_serve_is_told_and_installs_nothing(
    pc: PC, door: Door, change: dict[str, str], cause: str, words: str
) -> None:
    prepare(pc, door, **change)
    [told] = pc.json("session", code=1)["certificats"]
    assert (told["etat"], told["cause"]) == ("refuse", cause)
    assert words in told["message"]
    assert pc.certificates() == []


def test_a_token_that_another_account_used_is_told(
    pc: PC, door: Door, programs: dict[str, Path], tmp_path: Path
) -> None:
    content = prepare(pc, door)
    (tmp_path / "autre").mkdir()
    other = PC(programs["linux"], tmp_path / "autre")  # another store, on a computer of that name
    other.config.write_text(json.dumps(content))
    other.run("session")
    [told] = pc.json("session", code=1)["certificats"]
    assert told["cause"] == "jeton_utilise"
    assert "Un autre compte de ce PC" in told["message"]
    assert (pc.certificates(), len(door.issued)) == ([], 1)


@pytest.mark.parametrize(("days", "words"), [(3, "retarde de 3 jours et 0 h"), (-200, "avance de 200 jours et 0 h")])
def test_a_wrong_clock_is_told_with_by_how_much(
    pc: PC, authority: Authority, tmp_path: Path, days: float, words: str
) -> None:
    # Seen from the PC, the door is of another day; its authority is older than both.
    door = Door(authority, tmp_path, shift=dt.timedelta(days=days))
    with serving(door, since=days - 0.5, days=days + 0.5):
        prepare(pc, door)
        said = pc.run("session", code=1)
    assert words in said and "Mettez le PC à l'heure" in said
    assert door.posts == []


def test_a_door_that_has_expired_is_not_the_clock_s_fault(pc: PC, authority: Authority, tmp_path: Path) -> None:
    with serving(Door(authority, tmp_path), since=-20, days=-10) as door:
        prepare(pc, door)
        assert "l'horloge de ce PC est juste" in pc.run("session", code=1)
    assert door.posts == []


def test_a_connection_that_is_opened_on_the_way_gets_no_token(pc: PC, authority: Authority, tmp_path: Path) -> None:
    door = Door(authority, tmp_path)
    with serving(door, by=Authority("de l'antivirus")):
        prepare(pc, door)
        said = pc.run("session", code=1)
    assert "Émettrice de l'antivirus" in said and "antivirus" in said
    assert (door.posts, door.shown, pc.certificates()) == ([], [], [])


class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy, which leads whatever it is asked for to one port of this machine, or refuses.

    Attributes:
        to: port; 0 when it wants a password.
        asked: what it was asked to open.
    """

    daemon_threads = True

    def __init__(self, to: int) -> None:
        self.to = to
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Tunnel)


class Tunnel(socketserver.StreamRequestHandler):
    """One connection through the proxy."""

    server: Proxy

    def handle(self) -> None:
        asked = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        assert asked[0] == "CONNECT"
        self.server.asked.append(asked[1])
        if not self.server.to:
            self.wfile.write(
                b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'
            )
            return
        with socket.create_connection(("127.0.0.1", self.server.to)) as far:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(far, self.connection))
            back.start()
            self._copy(self.connection, far)
            back.join()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxied(pc: PC, to: int) -> Iterator[Proxy]:
    """Have the PC go out by a proxy only. What is on the PC itself is asked without: the door has a name of outside."""
    with Proxy(to) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        pc.environment = pc.environment | {"HTTPS_PROXY": f"http://127.0.0.1:{server.server_address[1]}"}
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


OUTSIDE = "enrolement.test"


def test_a_proxy_that_leads_to_the_door_is_gone_by(pc: PC, authority: Authority, tmp_path: Path) -> None:
    with serving(Door(authority, tmp_path), host=OUTSIDE) as door, proxied(pc, door.port) as proxy:
        prepare(pc, door, enrolement=f"https://{OUTSIDE}")
        pc.run("session")
    assert {*proxy.asked} == {f"{OUTSIDE}:443"} and pc.certificates() == door.issued


def test_a_proxy_that_opens_the_connection_gets_no_token(pc: PC, authority: Authority, tmp_path: Path) -> None:
    door = Door(authority, tmp_path)
    with serving(door, by=Authority("du mandataire"), host=OUTSIDE), proxied(pc, door.port) as proxy:
        prepare(pc, door, enrolement=f"https://{OUTSIDE}")
        said = pc.run("session", code=1)
    assert "Émettrice du mandataire" in said and proxy.asked
    assert (door.posts, door.shown, pc.certificates()) == ([], [], [])


def test_a_proxy_that_wants_a_password_or_is_away_is_told(pc: PC, door: Door) -> None:
    prepare(pc, door, enrolement=f"https://{OUTSIDE}")
    with proxied(pc, 0) as proxy:
        said = pc.run("session", code=3)
    assert (
        proxy.asked and f"demande un nom et un mot de passe, que le programme n'a pas : demandez que {OUTSIDE}" in said
    )
    assert "HTTPS_PROXY) ne répond pas" in pc.run("session", code=3)


def test_without_a_network_what_is_begun_goes_on_later(pc: PC, door: Door) -> None:
    content = prepare(pc, door)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    pc.config.write_text(json.dumps(content | {"enrolement": f"https://localhost:{port}"}))
    assert "ne peut pas être joint" in pc.run("session", code=3)
    key = pc.containers()
    pc.config.write_text(json.dumps(content))
    pc.run("session")
    assert pc.containers() == key and pc.certificates() == door.issued


def test_one_bad_certificate_of_the_file_keeps_no_other(pc: PC, door: Door) -> None:
    prepare(pc, door, ISSUED | {"siren": "12"}, ISSUED | {"nom": "deux"})
    said = pc.run("session", code=1)
    assert "certificats[0]" in said and "siren" in said
    assert pc.certificates() == door.issued and len(door.issued) == 1


def test_what_is_installed_goes_with_retirer_and_comes_again(pc: PC, door: Door) -> None:
    content = prepare(pc, door)
    pc.run("session")
    pc.run("constats")
    pc.run("retirer", "--compte")
    assert (pc.certificates(), pc.containers(), pc.folders()) == ([], [], [])
    token = base64.b32encode(secrets.token_bytes(32)).decode().rstrip("=")
    door.tokens[token] = socket.gethostname()
    pc.config.write_text(json.dumps(content | {"jeton": token}))
    pc.run("session")
    assert pc.certificates() == door.issued[1:]


def provided(path: Path, by: Authority, key: Any = None, siren: str = SIREN, days: float = 365) -> x509.Certificate:
    """A provider's file, that « mot de passe » opens."""
    key = key or rsa.generate_private_key(65537, 2048)
    leaf = by.issue(name(PROVIDED, "Commune de Gondecourt", siren), key.public_key(), days, since=-40)
    content = pkcs12.serialize_key_and_certificates(
        b"x", key, leaf, [by.issuing, by.root], serialization.BestAvailableEncryption("mot de passe é".encode())
    )
    path.write_bytes(content)
    return leaf


def test_a_provider_s_file_is_installed_and_its_successor_replaces_it(pc: PC, door: Door, tmp_path: Path) -> None:
    provider = Authority("d'un prestataire")
    prepare(pc, door, FILE)
    file = tmp_path / "x.p12"
    first = provided(file, provider)
    said = pc.run("fichier", pc.argument(file), typed="mot de passe é\n")
    assert PROVIDED in said and "mot de passe é" not in said
    assert pc.certificates() == [first]
    [container] = pc.containers()
    assert pc.json("verifier", code=1)["certificats"][0]["etat"] == "installe"  # its key has signed
    assert "installé" in pc.run("fichier", pc.argument(file), typed="mot de passe é\n")
    assert pc.containers() == [container]
    second = provided(file, provider)
    pc.run("fichier", pc.argument(file), typed="mot de passe é\n")
    assert pc.certificates() == [second]
    assert len(pc.containers()) == 1


@pytest.mark.parametrize(
    ("password", "changes", "words"),
    [
        ("autre", {}, "ne s'ouvre pas avec ce mot de passe"),
        ("mot de passe é", {"siren": OTHER_SIREN}, f"est au SIREN {OTHER_SIREN}"),
        ("mot de passe é", {"days": -31}, "a expiré le"),
    ],
)
def test_a_provider_s_file_that_is_wrong_changes_nothing(
    pc: PC, door: Door, tmp_path: Path, password: str, changes: dict[str, Any], words: str
) -> None:
    provider = Authority("d'un prestataire")
    prepare(pc, door, FILE)
    good, bad = tmp_path / "bon.p12", tmp_path / "x.p12"
    kept = provided(good, provider)
    pc.run("fichier", pc.argument(good), typed="mot de passe é\n")
    keys = pc.containers()
    provided(bad, provider, **changes)
    said = pc.run("fichier", pc.argument(bad), code=1, typed=f"{password}\n")
    assert words in said and "Rien n'a été changé" in said
    assert (pc.certificates(), pc.containers()) == ([kept], keys)


def test_a_password_is_not_shown_even_to_who_types_before_it_is_asked(
    programs: dict[str, Path], door: Door, tmp_path: Path
) -> None:
    pc = PC(programs["linux"], tmp_path)
    prepare(pc, door, FILE)
    provided(tmp_path / "x.p12", Authority("d'un prestataire"))
    keyboard, terminal = pty.openpty()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"." * 4096)
    os.set_blocking(writer, True)  # full: the program waits there with its question
    process = subprocess.Popen(
        [*pc.command, "fichier", tmp_path / "x.p12", "--poste", pc.config],
        env=pc.environment, stdin=terminal, stdout=subprocess.DEVNULL, stderr=writer,
    )  # fmt: skip # a command on a line
    try:
        wait_for(lambda: not termios.tcgetattr(keyboard)[3] & termios.ECHO, "que l'écho cesse", 10)
        os.write(keyboard, "mot de passe é\n".encode())
        os.close(writer)
        while os.read(reader, 65536):
            pass
        assert process.wait(LONG) == 0
    finally:
        process.kill()
        process.wait()
    assert termios.tcgetattr(keyboard)[3] & termios.ECHO
    assert select.select([keyboard], [], [], 0)[0] == [] or b"mot" not in os.read(keyboard, 4096)
    for one in (keyboard, terminal, reader):
        os.close(one)


def test_an_elliptic_key_is_kept_or_refused_with_a_reason(pc: PC, door: Door, tmp_path: Path) -> None:
    prepare(pc, door, FILE)
    file = tmp_path / "ec.p12"
    leaf = provided(file, Authority("d'un prestataire"), key=ec.generate_private_key(ec.SECP256R1()))
    if pc.system == "linux":
        pc.run("fichier", pc.argument(file), typed="mot de passe é\n")
        assert pc.certificates() == [leaf]
        return
    said = pc.run("fichier", pc.argument(file), code=1, typed="mot de passe é\n")  # CNG alone has such keys
    assert "ECDSA" in said and "certificat à clé RSA" in said
    assert (pc.certificates(), pc.containers()) == ([], [])


@pytest.mark.wine
def test_among_forty_others_certificates_the_right_one_is_taken_and_they_stay(windows: Wine, door: Door) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    others = [
        door.authority.issue(name(HOLDER, "Commune de Gondecourt", SIREN), key.public_key(), days=rank + 1)
        for rank in range(40)
    ]
    lines = ["Windows Registry Editor Version 5.00", ""]
    for one in others:
        der = one.public_bytes(serialization.Encoding.DER)
        blob = b"".join(number.to_bytes(4, "little") for number in (32, 1, len(der))) + der
        place = MY.replace("HKCU", "HKEY_CURRENT_USER") + "\\" + one.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 # the registry's name for it
        lines += [f"[{place}]", '"Blob"=hex:' + ",".join(f"{byte:02x}" for byte in blob), ""]
    file = windows.folder / "quarante.reg"
    file.write_text("\r\n".join(lines), encoding="utf-16")
    windows.wine("reg", "import", windows.argument(file))
    assert len(windows.certificates()) == 40
    prepare(windows, door)
    windows.run("session")
    [leaf] = door.issued
    assert {sha256(one) for one in windows.certificates()} == {sha256(one) for one in (*others, leaf)}
    assert door.shown[-1][1] == sha256(leaf)
    windows.run("retirer", "--compte")
    assert {sha256(one) for one in windows.certificates()} == {sha256(one) for one in others}
    assert len(others) == 40


OTHERS = json.dumps({"pattern": "https://autre.example.test", "filter": {"ISSUER": {"CN": "Un autre"}}})
RIVAL = json.dumps({"pattern": TDT, "filter": {"SUBJECT": {"CN": "Le certificat de quelqu'un"}}})
FIREFOX = {"policies": {"Homepage": {"URL": "https://mairie.example.test"}, "Preferences": {"a.b": {"Value": 1}}}}


@pytest.fixture
def firefox(windows: Wine) -> Iterator[Path]:
    folder = windows.prefix / "drive_c/Program Files/Mozilla Firefox"
    folder.mkdir()
    (folder / "firefox.exe").touch()
    yield folder / "distribution" / "policies.json"
    shutil.rmtree(folder)


def entries(windows: Wine, browser: str) -> dict[str, Any]:
    found = windows.query(browser + r"\AutoSelectCertificateForUrls")
    return {key: json.loads(value) for values in found.values() for key, value in values.items()}


@pytest.mark.wine
def test_the_machine_s_part_is_put_and_taken_away(windows: Wine, door: Door, firefox: Path) -> None:
    before = windows.query(r"HKLM\Software\Policies") | windows.query(RUN)
    prepare(windows, door, ISSUED, FILE)
    said = windows.run("installer")
    # Wine's next program of this kind empties Root again: it is read before.
    root, issuing = (
        one.public_bytes(serialization.Encoding.DER) for one in (door.authority.root, door.authority.issuing)
    )
    assert root in windows.machine("Root")
    assert issuing in windows.machine("CA") and root not in windows.machine("CA")
    for browser in (CHROME, EDGE):
        assert [*entries(windows, browser).values()] == [
            {"pattern": TDT, "filter": {"SUBJECT": {"CN": HOLDER}, "ISSUER": {"CN": "Émettrice du test"}}},
            {"pattern": TDT, "filter": {"SUBJECT": {"CN": PROVIDED}}},
        ]
    scheme = windows.query(r"HKLM\Software\Classes\creatic")
    assert scheme[r"HKEY_LOCAL_MACHINE\Software\Classes\creatic"]["URL Protocol"] == ""
    command = windows.argument(windows.program)
    assert f'"{command}" signer "%1"' in str(scheme).replace("\\\\", "\\")
    started = windows.query(RUN)[RUN.replace("HKLM", "HKEY_LOCAL_MACHINE")]
    assert started["creatic-poste"] == f'"{command}" session'
    assert started["creatic-poste-constats"] == f'"{command}" constats --veille'
    policies = json.loads(firefox.read_text())["policies"]
    assert policies["Certificates"] == {"ImportEnterpriseRoots": True}
    assert policies["Preferences"]["security.osclientcerts.autoload"] == {"Value": True, "Status": "locked"}
    assert "posé : autorité « Émettrice du test » (CA)" in said
    windows.run("installer")
    assert len(entries(windows, CHROME)) == 2
    windows.run("retirer")
    assert issuing not in windows.machine("CA")
    assert windows.query(r"HKLM\Software\Policies") | windows.query(RUN) == before
    assert windows.query(r"HKLM\Software\Classes\creatic") == {}
    assert not firefox.parent.exists()
    assert not windows.program.with_name("manifeste.json").exists()


@pytest.mark.wine
def test_what_any_account_may_write_tells_an_administrator_nothing(windows: Wine, door: Door) -> None:
    """%ProgramData% takes anybody's files: a list of what to remove that is put there is nobody's."""
    planted = windows.prefix / "drive_c/ProgramData/Creatic/poste/manifeste.json"
    theirs, key = windows.folder / "theirs.txt", r"HKLM\Software\Policies\Autre"
    theirs.write_text("theirs")
    windows.wine("reg", "add", key, "/v", "Regle", "/d", "1", "/f")
    items = [
        {"genre": "value", "ou": r"SOFTWARE\Policies\Autre", "nom": "Regle", "contenu": "1"},
        {"genre": "text", "ou": windows.argument(theirs), "contenu": "theirs"},
    ]
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(json.dumps({"pose": items}))
    prepare(windows, door)
    for command in ("installer", "retirer"):
        windows.run(command)
        assert theirs.read_text() == "theirs"
        assert windows.query(key)[key.replace("HKLM", "HKEY_LOCAL_MACHINE")]["Regle"] == "1"
    windows.wine("reg", "delete", key, "/f")
    shutil.rmtree(planted.parents[1])


@pytest.mark.wine
def test_what_another_provider_has_set_stays_and_is_told(windows: Wine, door: Door, firefox: Path) -> None:
    for number, text in (("1", OTHERS), ("3", RIVAL)):
        windows.wine("reg", "add", CHROME + r"\AutoSelectCertificateForUrls", "/v", number, "/d", text, "/f")
    firefox.parent.mkdir()
    firefox.write_text(json.dumps(FIREFOX))
    before = windows.query(CHROME)
    prepare(windows, door)
    said = windows.run("installer")
    found = entries(windows, CHROME)
    assert (found["1"], found["3"]) == (json.loads(OTHERS), json.loads(RIVAL))
    assert found["2"]["filter"]["SUBJECT"] == {"CN": HOLDER}
    assert "la valeur 3 choisit déjà un certificat pour " + TDT in said
    assert "la valeur 1 est d'un autre" in said
    policies = json.loads(firefox.read_text())["policies"]
    assert policies["Homepage"] == FIREFOX["policies"]["Homepage"]
    assert set(policies["Preferences"]) == {"a.b", "security.default_personal_cert", "security.osclientcerts.autoload"}
    # Somebody changes what was put: it is theirs from then on.
    windows.wine("reg", "add", RUN, "/v", "creatic-poste", "/d", "autre chose", "/f")
    assert "un autre l'a changé depuis" in windows.run("retirer")
    assert windows.query(RUN)[RUN.replace("HKLM", "HKEY_LOCAL_MACHINE")]["creatic-poste"] == "autre chose"
    windows.wine("reg", "delete", RUN, "/v", "creatic-poste", "/f")
    assert windows.query(CHROME) == before
    assert json.loads(firefox.read_text()) == FIREFOX


@pytest.mark.wine
def test_policies_that_are_no_json_are_left_and_told_and_the_rest_is_put(
    windows: Wine, door: Door, firefox: Path
) -> None:
    firefox.parent.mkdir()
    firefox.write_text("{pas du JSON")
    prepare(windows, door)
    assert "policies.json" in windows.run("installer", code=1)
    assert firefox.read_text() == "{pas du JSON"
    assert len(entries(windows, EDGE)) == 1


FACTS = {
    "administrateurs", "antivirus", "autorites", "certificats", "chiffrement", "disque", "horloge", "mises_a_jour",
    "navigateurs", "pare_feu", "smb1", "systeme", "verrouillage",
}  # fmt: skip # a list of words


def sent(door: Door) -> list[dict[str, Any]]:
    """What the door was sent of facts, each verified by the certificate that was issued."""
    found = []
    for path, body in door.posts:
        if path == "/constats":
            text = body["signe"]
            assert signed_by(door.issued[-1].public_key(), base64.b64decode(body["signature"]), text.encode())
            assert len(json.dumps(body)) < 32_000
            found.append(json.loads(text))
    return found


def test_facts_are_signed_by_the_pc_s_certificate_and_their_number_grows(pc: PC, door: Door) -> None:
    prepare(pc, door)
    assert "n'a pas de certificat" in pc.run("constats", code=3)
    pc.run("session")
    door.shift = dt.timedelta(minutes=10)
    said = pc.run("constats")
    assert "sont envoyés au groupement" in said and "horloge : {" in said
    pc.run("constats", "--json")
    first, second = sent(door)
    assert {*first["constats"]} == FACTS
    assert all(len(one) == 1 and {*one} <= {"valeur", "non_lu"} for one in first["constats"].values())
    assert (first["quoi"], first["version"], first["systeme"]) == ("creatic constats", 1, pc.system)
    assert (first["poste"], first["nom"]) == ("gondecourt-pc-secretariat", socket.gethostname())
    assert first["serie"] == f"{door.issued[0].serial_number:040x}"
    assert second["numero"] == first["numero"] + 1
    assert dt.datetime.fromisoformat(first["fait"]) <= dt.datetime.fromisoformat(second["fait"])
    assert -610 < first["constats"]["horloge"]["valeur"]["ecart_s"] < -550
    [certificate] = first["constats"]["certificats"]["valeur"]
    assert (certificate["nom"], certificate["etat"]) == ("secretaire", "installe")
    assert first["constats"]["disque"]["valeur"]["total"] > first["constats"]["disque"]["valeur"]["libre"] > 0


def test_facts_that_stay_here_need_neither_certificate_nor_network(pc: PC, door: Door) -> None:
    prepare(pc, door)
    found = pc.json("constats", "--local")
    assert {*found} == FACTS and "non_lu" in found["horloge"]
    assert door.posts == []


WINDOWS_NT = r"HKLM\Software\Microsoft\Windows NT\CurrentVersion"
UPDATES = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Component Based Servicing"
DEFENDER = r"HKLM\Software\Microsoft\Windows Defender"
SERVICES = r"HKLM\System\CurrentControlSet\Services"
FIREWALL = SERVICES + r"\SharedAccess\Parameters\FirewallPolicy"
DESKTOP = r"HKCU\Control Panel\Desktop"
# 2026-11-12T03:00:00Z, as Windows counts: in 100 ns since 1601.
INSTALLED = (1_794_452_400 + 11_644_473_600) * 10_000_000


@pytest.mark.wine
def test_what_the_registry_says_is_what_is_read(windows: Wine, door: Door, prefix: Path) -> None:
    prepare(windows, door)
    before = windows.json("constats", "--local")
    assert before["autorites"]["valeur"]["posees"] == 0 and len(before["autorites"]["valeur"]["absentes"]) == 2
    assert "non_lu" in before["chiffrement"] and "non_lu" in before["mises_a_jour"]
    package = UPDATES + r"\Packages\Package_for_RollupFix~31bf3856ad364e35~amd64~~26100.1.2"
    for key, value, kind, data in (
        (WINDOWS_NT, "ProductName", "REG_SZ", "Windows 10 Pro"),
        (WINDOWS_NT, "CurrentBuildNumber", "REG_SZ", "26100"),
        (WINDOWS_NT, "DisplayVersion", "REG_SZ", "24H2"),
        (WINDOWS_NT, "EditionID", "REG_SZ", "Professional"),
        (WINDOWS_NT, "UBR", "REG_DWORD", "4061"),
        (package, "CurrentState", "REG_DWORD", "112"),
        (package, "InstallTimeHigh", "REG_DWORD", str(INSTALLED >> 32)),
        (package, "InstallTimeLow", "REG_DWORD", str(INSTALLED & 0xFFFFFFFF)),
        (package + "9", "CurrentState", "REG_DWORD", "80"),  # put down, not installed
        (package + "9", "InstallTimeHigh", "REG_DWORD", str((INSTALLED >> 32) + 9)),
        (package + "9", "InstallTimeLow", "REG_DWORD", "0"),
        (UPDATES + r"\RebootPending", "x", "REG_SZ", "1"),
        (DEFENDER + r"\Real-Time Protection", "DisableRealtimeMonitoring", "REG_DWORD", "1"),
        (r"HKLM\System\CurrentControlSet\Control\BitlockerStatus", "BootStatus", "REG_DWORD", "1"),
        (FIREWALL + r"\DomainProfile", "EnableFirewall", "REG_DWORD", "1"),
        (FIREWALL + r"\StandardProfile", "EnableFirewall", "REG_DWORD", "1"),
        (FIREWALL + r"\PublicProfile", "EnableFirewall", "REG_DWORD", "0"),
        (SERVICES + r"\LanmanWorkstation", "Start", "REG_DWORD", "2"),
        (SERVICES + r"\mrxsmb10", "Start", "REG_DWORD", "3"),
        (DESKTOP, "ScreenSaveActive", "REG_SZ", "1"),
        (DESKTOP, "ScreenSaverIsSecure", "REG_SZ", "1"),
        (DESKTOP, "ScreenSaveTimeOut", "REG_SZ", "600"),
    ):
        windows.wine("reg", "add", key, "/v", value, "/t", kind, "/d", data, "/f")
    windows.run("installer")
    found = {name: one.get("valeur") for name, one in windows.json("constats", "--local").items()}
    assert found["systeme"] == {
        "famille": "windows", "nom": "Windows 11 Pro", "edition": "Professional", "version": "24H2", "build": 26100,
        "revision": 4061,
    }  # fmt: skip # as it is told
    assert found["mises_a_jour"] == {"derniere": "2026-11-12T03:00:00Z", "redemarrage": True}
    assert (found["antivirus"]["sante"], found["antivirus"]["source"]) == ("mauvaise", "registre")
    assert found["chiffrement"] == {"systeme": True}
    assert found["pare_feu"] == {"domaine": True, "prive": True, "public": False}
    assert found["smb1"]["client"] is True
    assert found["verrouillage"] == {"apres_s": 600, "mot_de_passe": True}
    assert found["navigateurs"]["posees"] == 2 and found["navigateurs"]["absentes"] == []
    # The one of CA; Root is emptied by Wine's next program.
    assert found["autorites"]["posees"] >= 1


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_program_s_own_tests_pass(system: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    command = ["nice", "-n", "19", "go", "test", "./..."]
    environment = os.environ | GO | {"GOOS": system}
    if system == "windows":
        prefix = request.getfixturevalue("prefix")
        command[4:] = ["test", "-exec", "wine", "./internal/keys", "./internal/facts"]
        environment = wined(prefix) | GO | {"GOOS": system}
    done = subprocess.run(
        command, cwd=MODULE, env=environment, capture_output=True, text=True, check=False, timeout=LONG
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok" in done.stdout
