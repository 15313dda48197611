"""Lots signed by the program itself, for a site whose documents are prepared and finished as the parapheur's are; what
comes is judged by pdfsig and xmlsec1.

The person is before a terminal (Linux), or before Windows' own windows (Wine).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.server
import io
import json
import os
import pty
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from reportlab.pdfgen import canvas
from signature_actes import apart, pes
from signature_actes.check import check_pdf
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError

from apps.poste.tests.test_poste import (
    PC,
    SYSTEMS,
    TDT,
    Authority,
    Wine,
    made,
    name,
    pem,
    programs,
    pytestmark,
    windows,
    wined,
)  # fmt: skip # a list
from apps.signature.tests.conftest import LIBRARY, PEM, SIREN, Issuer, Pair, Tokens, issuer, tokens
from apps.signature.tests.test_pades import pdfsig
from apps.signature.tests.test_pes import PLACE, xmlsec1_verifies
from testbed import helios
from testbed.poste import LONG
from testbed.wine import GO, MODULE, beside, server

__all__ = ["issuer", "programs", "pytestmark", "tokens", "windows"]  # fixtures of others, and what all of it needs
PIN, PASSWORD = "271828", "mot de passe é"
CLAIRE = Person("Claire Dubois", SIREN)
TITLE = "Signature de documents"
SIGNATURE = {
    "nom": "maire", "titulaire": "Claire Dubois", "organisation": "Commune de Gondecourt", "siren": SIREN,
    "usage": "signature",
}  # fmt: skip # as the file has it
AGREE, FILE, SECRET = "Tapez « oui »", "(chemin) : ", "(?:PIN du jeton|Mot de passe de ce fichier)"


@dataclass
class Document:
    number: int
    title: str
    path: Path
    values: list[bytes] = field(default_factory=list)
    waiting: apart.PendingDocument | None = None
    state: str = "attente"

    @property
    def target(self) -> Path:
        return self.path.with_name(f"{self.path.stem}-signe{self.path.suffix}")


@dataclass
class Site:
    """The parapheur, as its API is (creatic_parapheur.poste), with its lot and what it saw."""

    authority: Authority
    folder: Path
    documents: list[Document] = field(default_factory=list)
    lot: str = ""
    secret: str = ""
    secrets: list[str] = field(default_factory=list)
    taken: bool = False
    certificates: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    fetched: threading.Event = field(default_factory=threading.Event)
    changes: Callable[[str, dict[str, Any]], None] = lambda _path, _answer: None
    signed: Callable[[int], None] = lambda _count: None
    later: set[str] = field(default_factory=set)  # bodies that it said « later » to
    port: int = 0

    @property
    def origin(self) -> str:
        return f"https://localhost:{self.port}"

    def add(self, kind: str = "pdf") -> Document:
        number = len(self.documents) + 1
        path = self.folder / f"document-{number}.{kind}"
        if kind == "xml":
            path.write_bytes(helios.flow(slips=("B1", "B2")))
        else:
            buffer = io.BytesIO()
            page = canvas.Canvas(buffer)
            page.drawString(100, 700, f"Délibération {number}")
            page.save()
            path.write_bytes(buffer.getvalue())
        self.documents.append(Document(number, f"2026_{number} : Délibération n° {number}", path))
        return self.documents[-1]

    def address(self) -> str:
        """Make a lot of what is not signed, and say what opens the program."""
        self.documents = [one for one in self.documents if one.state != "signe"]
        for one in self.documents:
            one.values, one.waiting, one.state = [], None, "attente"
        self.lot, self.secret, self.taken, self.certificates = str(uuid.uuid4()), secrets.token_urlsafe(32), False, []
        self.secrets.append(self.secret)
        self.fetched.clear()
        return "creatic:signer?" + urlencode({"site": self.origin, "lot": self.lot, "secret": self.secret})

    def answer(self, path: str, bearer: str, body: Any) -> tuple[int, dict[str, Any]]:
        known = path.startswith(f"/poste/lots/{self.lot}") and bearer == f"Bearer {self.secret}"
        what = path.removeprefix(f"/poste/lots/{self.lot}")
        if not known or self.taken != bool(what):
            return 403, {"message": "cette demande de signature n'existe pas, a déjà servi, ou a pris fin."}
        if not what:
            self.taken, self.secret = True, secrets.token_urlsafe(32)
            self.secrets.append(self.secret)
            self.fetched.set()
            return 200, {
                "site": self.origin, "personne": "Claire Dubois", "fin": "2026-12-02T12:00:00+00:00",
                "suite": self.secret, "documents": [self.told(one) for one in self.documents],
            }  # fmt: skip # as the API is
        return self.certify(body) if what == "/certificat" else self.receive(body)

    @staticmethod
    def told(one: Document) -> dict[str, Any]:
        digest = hashlib.sha256(one.path.read_bytes()).hexdigest()
        kind = "xades" if one.path.suffix == ".xml" else "pades"
        return {"dossier": one.number, "titre": one.title, "nature": "Acte", "format": kind, "sha256": digest}

    def certify(self, body: Any) -> tuple[int, dict[str, Any]]:
        if self.certificates and self.certificates != body["certificats"]:
            return 409, {"message": "un autre certificat a été choisi déjà."}
        self.certificates = body["certificats"]
        chain = apart.read_chain(self.certificates)
        waiting = [one for one in self.documents if one.waiting is None]
        for one in waiting[: max(2, len(waiting) // 2)]:  # in several answers
            one.waiting = apart.PendingDocument.load(apart.prepare(one.path, chain, PLACE).dump())
        ready = [one for one in self.documents if one.waiting]
        return 200, {
            "a_signer": [
                {"dossier": one.number, "attributs": base64.b64encode(data).decode(), "empreinte": "sha256"}
                for one in ready
                for data in (one.waiting.to_sign if one.waiting else [])
            ],
            "refus": [],
            "reste": len(self.documents) - len(ready),
        }

    def receive(self, body: Any) -> tuple[int, dict[str, Any]]:
        [one] = [one for one in self.documents if one.number == body["dossier"]]
        one.values.append(base64.b64decode(body["signature"], validate=True))
        assert one.waiting
        if len(one.values) < len(one.waiting.parts):
            return 200, {"etat": "recu", "message": ""}
        try:
            apart.finish(one.path, one.target, one.waiting, one.values)
        except DocumentRefusedError as refusal:
            one.state = "refuse"
            return 200, {"etat": "refuse", "message": str(refusal)}
        one.state = "signe"
        return 200, {"etat": "signe", "message": ""}

    @property
    def count(self) -> int:
        return sum(one.state == "signe" for one in self.documents)


def handler(site: Site) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            site.asked.append(f"{self.command} {self.path}")
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            again = content.decode() in site.later or not content
            site.later.add(content.decode())
            if again:  # each body is first told « later »
                status, told = site.answer(
                    self.path, self.headers.get("Authorization", ""), json.loads(content) if content else None
                )
                site.changes(self.path, told)
            else:
                status, told = 503, {"message": "plus tard"}
            text = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            if told.get("etat") == "signe":
                site.signed(site.count)

        do_POST = do_GET

    return Handler


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from opened(Site(Authority("du groupement"), tmp_path / "site"))


def opened(site: Site) -> Iterator[Site]:
    site.folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    leaf = site.authority.issue(name("localhost"), key.public_key(), host="localhost")
    (site.folder / "tls.pem").write_text(text + pem(leaf) + pem(site.authority.issuing))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.folder / "tls.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(site))
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def prepare(pc: PC, site: Site, *certificates: dict[str, str], **changes: Any) -> None:
    content = {
        "groupement": "Groupement du test", "commune": "Gondecourt", "siren": SIREN, "poste": "gondecourt-pc-maire",
        "nom": socket.gethostname(), "enrolement": "https://localhost:1", "jeton": "", "jeton_fin": "",
        "racines": [pem(site.authority.root)], "autorites": [], "tdt_autorites": [], "tdt": TDT, "sites": [site.origin],
        "certificats": [*certificates],
    } | changes  # fmt: skip # as the file is
    pc.config.write_text(json.dumps(content, ensure_ascii=False))


def provided(path: Path, issuer: Issuer, pair: Pair) -> Path:
    """A provider's file."""
    above = [issuer.issuing[0], issuer.root[0]]
    how = serialization.BestAvailableEncryption(PASSWORD.encode())
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"x", pair[1], pair[0], above, how))
    return path


def installed(pc: PC, site: Site, issuer: Issuer, folder: Path) -> None:
    """A PC that has the maire's key."""
    prepare(pc, site, SIGNATURE | {"source": "fichier"})
    file = provided(folder / "maire.p12", issuer, issuer.person())
    assert "installé" in pc.run("fichier", pc.argument(file), typed=f"{PASSWORD}\n")


class Clerk:
    """Who is before the PC."""

    def __init__(self, pc: PC) -> None:
        self.pc = pc

    def command(self, address: str, *more: str) -> list[str]:
        return [*self.pc.command, "signer", "--poste", self.pc.argument(self.pc.config), address, *more]

    def begin(self, address: str, *more: str) -> Any:
        """Open the program, as the browser does: in a terminal of its own."""
        ours, theirs = pty.openpty()
        environment = {key: text for key, text in self.pc.environment.items() if not key.endswith("DISPLAY")}
        process = subprocess.Popen(
            ["setsid", "--ctty", *self.command(address, *more)], env=environment, stdin=theirs, stdout=theirs,
            stderr=theirs,
        )  # fmt: skip # a command on a line
        os.close(theirs)
        return process, ours

    def go_on(self, begun: Any, *, agrees: bool = True, file: str = "", secret: str = "", shown: bool = True) -> str:
        """Answer each question once, and read all that was shown; shown is false when nothing is asked."""
        process, screen = begun
        replies = [(AGREE, "oui" if agrees else "non"), (re.escape(FILE), file), (SECRET + "[^\n]* : $", secret)]
        replies = [(pattern, reply) for pattern, reply in replies if reply and shown]
        seen, after = "", 0
        while True:
            try:
                got = os.read(screen, 1 << 16)
            except OSError:  # the program is gone
                break
            if not got:
                break
            seen += got.decode(errors="replace").replace("\r\n", "\n")
            if replies and re.search(replies[0][0], seen[after:]):
                after = len(seen)
                os.write(screen, f"{replies.pop(0)[1]}\n".encode())
        process.wait(LONG)
        os.close(screen)
        self.code = process.returncode
        return seen

    def sign(self, address: str, **how: Any) -> str:
        return self.go_on(self.begin(address), **how)


class Windows(Clerk):
    """Before Windows' own windows, which another program sees and presses."""

    def __init__(self, pc: PC, clicker: Path) -> None:
        super().__init__(pc)
        self.clicker = clicker

    def begin(self, address: str, *more: str) -> Any:
        return subprocess.Popen(
            self.command(address, *more), env=self.pc.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip # a command on a line

    def go_on(self, begun: Any, *, agrees: bool = True, file: str = "", secret: str = "", shown: bool = True) -> str:
        assert not file and not secret  # its windows for them are not driven
        steps: list[dict[str, Any]] = [{"title": TITLE, "has": 101, "press": 1 if agrees else 2}] if shown else []
        steps.append({"title": TITLE, "press": 1})
        done = subprocess.run(
            ["wine", str(self.clicker), json.dumps(steps)], env=self.pc.environment, capture_output=True, text=True,
            check=False, timeout=LONG,
        )  # fmt: skip # a command on a line
        if done.returncode:
            begun.kill()
        said = begun.communicate(timeout=LONG)[0]
        assert done.returncode == 0, done.stdout + done.stderr + said
        self.code = begun.returncode
        windows = [json.loads(line) for line in done.stdout.splitlines()]
        lines = [text for one in windows for text in (one["text"], one["label"], *(one["choices"] or ()))]
        return "\n".join(lines).replace("\r\n", "\n") + said


@pytest.fixture(scope="session")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Windows that has windows, and no screen."""
    if shutil.which("wine") is None:
        pytest.skip("needs Wine (packages wine, wine64)")
    for folder in made(tmp_path_factory.mktemp("wine")):
        key = r"HKCU\Software\Wine\Drivers"
        commands = (
            ["wine", "reg", "add", key, "/v", "Graphics", "/d", "null", "/f"],
            [server(), "-k"],
            [server(), "-p"],
        )
        for command in (*commands, ["wine", "cmd", "/c", "exit"]):
            subprocess.run(
                command,
                env=wined(folder),
                check=False,
                timeout=LONG,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        yield folder


@pytest.fixture(scope="session")
def clicker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return beside("clicker", tmp_path_factory.mktemp("clicker"))


@pytest.fixture(params=SYSTEMS)
def clerk(request: pytest.FixtureRequest, programs: dict[str, Path], tmp_path: Path) -> Clerk:
    if request.param == "windows":
        pc: Wine = request.getfixturevalue("windows")
        return Windows(pc, request.getfixturevalue("clicker"))
    return Clerk(PC(programs["linux"], tmp_path))


def judged(issuer: Issuer, *documents: Document) -> None:
    """Others' word on each signed file."""
    for one in documents:
        if one.path.suffix == ".xml":
            xmlsec1_verifies(issuer, one.target)
            assert one.target.read_bytes().count(b"<ds:SignatureValue") == 2
            told = asyncio.run(pes.check(one.target, CLAIRE, issuer.trust, one.path))
        else:
            [seen] = pdfsig(issuer, one.target)
            assert seen["Signature Validation"] == "Signature is Valid."
            assert seen["Certificate Validation"] == "Certificate is Trusted."
            told = asyncio.run(check_pdf(one.target, CLAIRE, issuer.trust, one.path))
        assert told.holder == CLAIRE.name


def kept_nothing(pc: PC, site: Site, *texts: str) -> None:
    """No secret is in what was shown, nor in a file of the account."""
    content = "\n".join(texts)
    for path in pc.folder.rglob("*"):
        if path.is_file() and site.folder not in path.parents and "softhsm" not in path.parts:
            content += path.read_text(errors="replace")
    if isinstance(pc, Wine):
        for place in ("drive_c/users", "drive_c/ProgramData"):
            for path in (pc.prefix / place).rglob("*"):
                content += path.read_text(errors="replace") if path.is_file() else ""
    for secret in (*site.secrets, PIN, PASSWORD):
        assert secret not in content


def test_a_lot_is_signed_by_the_key_of_the_pc(clerk: Clerk, site: Site, issuer: Issuer, tmp_path: Path) -> None:
    installed(clerk.pc, site, issuer, tmp_path)
    documents = [site.add(), site.add("xml"), site.add()]
    shown = clerk.sign(site.address())
    assert "3 documents signés." in shown, shown
    assert clerk.code == 0
    for one in documents:
        assert one.title in shown and hashlib.sha256(one.path.read_bytes()).hexdigest() in shown
    assert f"{site.origin} demande la signature de 3 documents, par Claire Dubois." in shown
    assert "Claire Dubois, Commune de Gondecourt, jusqu'au" in shown and "(clé de ce PC)" in shown
    judged(issuer, *documents)
    kept_nothing(clerk.pc, site, shown)


def test_a_lot_is_signed_by_a_file_that_stays_where_it_is(
    programs: dict[str, Path], site: Site, issuer: Issuer, tmp_path: Path
) -> None:
    clerk = Clerk(PC(programs["linux"], tmp_path))
    prepare(clerk.pc, site, SIGNATURE | {"source": "fichier"})
    pair = issuer.person(key=ec.generate_private_key(ec.SECP256R1()))
    file = clerk.pc.argument(provided(tmp_path / "maire.p12", issuer, pair))
    documents = [site.add(), site.add("xml")]
    shown = clerk.sign(site.address(), file=file, secret="pas celui-là")
    assert "ne s'ouvre pas avec ce mot de passe" in shown and site.count == 0
    assert not [one for one in site.asked if "certificat" in one]
    shown = clerk.sign(site.address(), file=file, secret=PASSWORD)
    assert "2 documents signés." in shown, shown
    judged(issuer, *documents)
    assert clerk.pc.certificates() == [] and clerk.pc.containers() == []
    kept_nothing(clerk.pc, site, shown)


def test_who_does_not_agree_signs_nothing_and_an_address_serves_once(
    clerk: Clerk, site: Site, issuer: Issuer, tmp_path: Path
) -> None:
    installed(clerk.pc, site, issuer, tmp_path)
    site.add()
    address = site.address()
    shown = clerk.sign(address, agrees=False)
    assert "Vous n'avez pas donné votre accord" in shown and clerk.code == 1
    assert "a déjà servi" in clerk.sign(address, shown=False)
    assert site.count == 0 and [one.rpartition("/")[2] for one in site.asked] == [site.lot, site.lot]


def test_a_page_of_another_site_asks_nothing(clerk: Clerk, site: Site, issuer: Issuer, tmp_path: Path) -> None:
    installed(clerk.pc, site, issuer, tmp_path)
    site.add()
    hostile = Site(site.authority, tmp_path / "autre")
    for other in opened(hostile):
        other.add()
        shown = clerk.sign(other.address(), shown=False)
        assert "n'est pas de votre groupement" in shown and clerk.code == 1
        assert "Rien ne suit l'adresse" in told_of(clerk, other.address(), "--poste", clerk.pc.argument(tmp_path / "x"))
        assert other.asked == []
    # A known name, but what answers is of another authority.
    prepare(clerk.pc, site, SIGNATURE | {"source": "fichier"}, racines=[pem(Authority("d'un autre").root)])
    assert "Ce n'est pas le groupement qui répond pour localhost" in clerk.sign(site.address(), shown=False)
    assert site.asked == []


def told_of(clerk: Clerk, *arguments: str) -> str:
    """What the program says, without a window."""
    done = subprocess.run(
        [*clerk.pc.command, "signer", *arguments], env=clerk.pc.environment, capture_output=True, text=True,
        check=False, timeout=LONG,
    )  # fmt: skip # a command on a line
    assert done.returncode == 2
    return done.stdout + done.stderr


LOGIN = b" " * 64 + b"TLS 1.3, client CertificateVerify\0" + bytes(32)


@pytest.mark.parametrize("change", ["login", "digest", "another's", "more"])
def test_what_is_no_signature_of_a_document_is_not_signed(
    clerk: Clerk, site: Site, issuer: Issuer, tmp_path: Path, change: str
) -> None:
    installed(clerk.pc, site, issuer, tmp_path)
    site.add()
    site.add()
    others = apart.read_chain([one.public_bytes(PEM).decode() for one in (issuer.person()[0], issuer.issuing[0])])

    def changed(path: str, answer: dict[str, Any]) -> None:
        if not path.endswith("/certificat") or answer["reste"]:
            return
        one = answer["a_signer"][-1]
        content = {"login": LOGIN, "digest": hashlib.sha256(LOGIN).digest(), "more": b"1\x00"}.get(change)
        if content is None:
            [content] = apart.prepare(site.documents[1].path, others, PLACE).to_sign
        if change == "more":
            answer["a_signer"].append(one | {"dossier": 99})
        else:
            one["attributs"] = base64.b64encode(content).decode()

    site.changes = changed
    shown = clerk.sign(site.address())
    assert "autre chose que les documents de la liste : rien n'a été signé" in shown, shown
    assert site.count == 0 and not [one for one in site.asked if "signatures" in one]


def test_one_lot_at_a_time(clerk: Clerk, site: Site, issuer: Issuer, tmp_path: Path) -> None:
    installed(clerk.pc, site, issuer, tmp_path)
    site.add()
    first = clerk.begin(site.address())
    assert site.fetched.wait(LONG)
    asked = len(site.asked)
    shown = clerk.sign(
        f"creatic:signer?{urlencode({'site': site.origin, 'lot': site.lot, 'secret': site.secret})}", shown=False
    )
    assert "Une autre signature est en cours" in shown and clerk.code == 3
    assert len(site.asked) == asked
    assert "1 document signé." in clerk.go_on(first)


TOKEN = SIGNATURE | {"source": "jeton", "bibliotheque": str(LIBRARY), "jeton": "mairie"}


def test_a_token_pulled_out_at_the_seventeenth_of_forty(
    tokens: Tokens, programs: dict[str, Path], site: Site, issuer: Issuer, tmp_path: Path
) -> None:
    tokens.make("mairie", issuer.person(), PIN)
    tokens.make("autre", issuer.person("Anne Bertrand"), PIN)
    clerk = Clerk(PC(programs["linux"], tmp_path))
    prepare(clerk.pc, site, TOKEN, autorites=[pem(issuer.issuing[0])])
    documents = [site.add() for _rank in range(40)]
    inside, aside = tokens.folder / "tokens", tokens.folder / "aside"

    def pulled(count: int) -> None:
        if count == 17 and not aside.exists():
            inside.rename(aside)
            inside.mkdir()

    site.signed = pulled
    site.later = Ready()
    shown = clerk.sign(site.address(), secret=PIN)
    assert "17 documents signés ; 23 attendent." in shown, shown
    assert "La clé ne signe plus" in shown and clerk.code == 1
    assert site.count == 17
    shown_absent = clerk.sign(site.address(), shown=False)
    assert "le jeton n'est pas branché" in shown_absent and not site.taken
    inside.rmdir()
    aside.rename(inside)
    site.signed = lambda _count: None
    again = clerk.sign(site.address(), secret=PIN)
    assert "23 documents signés." in again, again
    assert "(jeton « mairie »)" in again and "autre" not in again
    judged(issuer, *documents[:2], *documents[16:18], documents[39])
    kept_nothing(clerk.pc, site, shown, again)


class Ready(set[str]):
    """All that is sent is taken at once."""

    def __contains__(self, _body: object) -> bool:
        return True


def test_a_wrong_pin_is_tried_once(
    tokens: Tokens, programs: dict[str, Path], site: Site, issuer: Issuer, tmp_path: Path
) -> None:
    tokens.make("mairie", issuer.person(), PIN)
    clerk = Clerk(PC(programs["linux"], tmp_path))
    prepare(clerk.pc, site, TOKEN)
    one = site.add("xml")
    shown = clerk.sign(site.address(), secret="314159")
    assert "Ce PIN est faux ; il n'a pas été essayé de nouveau" in shown, shown
    assert shown.count("PIN du jeton") == 1 and "314159" not in shown
    assert site.count == 0 and not [one for one in site.asked if "signatures" in one]
    assert "1 document signé." in clerk.sign(site.address(), secret=PIN)
    judged(issuer, one)


@pytest.mark.wine
def test_a_secret_is_typed_in_a_window(prefix: Path) -> None:
    done = subprocess.run(
        ["nice", "-n", "19", "go", "test", "-count=1", "-exec", "wine", "./internal/confirm"], cwd=MODULE,
        env=wined(prefix) | GO | {"GOOS": "windows"}, capture_output=True, text=True, check=False, timeout=LONG,
    )  # fmt: skip # a command on a line
    assert done.returncode == 0 and done.stdout.startswith("ok"), done.stdout + done.stderr
