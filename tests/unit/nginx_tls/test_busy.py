"""Whoever asks too much of a door at once: all certificates of one SIREN together, told in French, to try again."""

from __future__ import annotations

import grp
import json
import os
import posixpath
import pwd
import re
import resource
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import jinja2
import pytest
import requests
import yaml
from creatic_flotte.door import _unexpected
from creatic_flotte.settings import Away
from tdt_connector.archive import ArchiveError, Sae
from tdt_connector.correspondence import demand
from tdt_connector.errors import Full, HandoverError

from testbed.connector import Authority
from testbed.patience import allowed, wait_for

ROLE = Path(__file__).parents[3] / "roles/nginx_tls"
NGINX = "/usr/sbin/nginx"
FIRST, SECOND = "215902669", "215903683"
MOST = 5


def render(template: str, **given: object) -> str:
    """A template with the role's defaults."""
    loader = jinja2.FileSystemLoader(ROLE / "templates")
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True)  # noqa: S701
    environment.filters |= {"comment": "# {}".format, "to_json": json.dumps, "dirname": posixpath.dirname}
    variables = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8")) | {"ansible_managed": ""}
    return environment.get_template(template).render(variables | given)


def party_of(subject: str) -> str:
    """The SIREN by which the rendered configuration counts a subject, "" for the certificate alone."""
    text = render("default.conf.j2")
    [expression] = re.findall(r'map \$ssl_client_s_dn \$creatic_partie \{.*?"~(.*?)" ', text, re.DOTALL)
    found = re.search(expression.replace("(?<", "(?P<"), subject)
    return found["creatic_siren"] if found else ""


@pytest.mark.parametrize(
    ("subject", "siren"),
    [
        (f"CN=Claire Dubois,OU=0002 {FIRST},O=Commune de Gondecourt,C=FR", FIRST),
        (f"CN=Connecteur - Gondecourt,OU=0002 {FIRST},O=Gondecourt\\, Nord,C=FR", FIRST),
        (f"CN=Machine - gondecourt-pc,OU=0002-{FIRST}00012,O=x,C=FR", FIRST),  # a SIRET, as RGS allows
        (f"organizationIdentifier=NTRFR-{FIRST},CN=x,C=FR", FIRST),  # EN 319 412-1
        (f"OU=0002 {FIRST}+CN=x,C=FR", FIRST),
        (f"CN=H\\C3\\A9l\\C3\\A8ne\\, DGS,OU=0002 {FIRST},C=FR", FIRST),
        (f"CN=x\\,OU=0002 {SECOND},OU=0002 {FIRST},C=FR", FIRST),  # in a name, it is no attribute
        (f"CN=x\\,OU=0002 {SECOND},C=FR", ""),
        (f"CN=OU=0002 {SECOND},C=FR", ""),
        (f"OU=0002 {FIRST}9,CN=x", ""),
        (f"CN=x,O=a\\\\,OU=0002 {FIRST},C=FR", FIRST),  # a name that ends with a backslash
        ("CN=supervision", ""),
        ("", ""),
    ],
)
def test_certificates_of_one_siren_are_one_party(subject: str, siren: str) -> None:
    assert party_of(subject) == siren


class _Slow(socketserver.ThreadingUnixStreamServer):
    """An application whose answers wait until they are let go."""

    daemon_threads, request_queue_size = True, 1024

    def __init__(self, path: Path) -> None:
        self.gate, self.inside = threading.Event(), 0
        self.fixed: list[str] = []  # what was asked of its own files
        self.asked: list[str] = []
        super().__init__(str(path), _Answer)


class _Answer(socketserver.StreamRequestHandler):
    server: _Slow

    def handle(self) -> None:
        asked, head = self.rfile.readline(), ""
        self.server.asked.append(asked.decode())
        while line := self.rfile.readline().strip():
            head += f"{line.decode()}\n"
        if b"++webresource++" in asked:
            self.server.fixed.append(asked.decode() + head)
            code = f"{'.' * 5000}{len(self.server.fixed)}".encode()
            told = b"HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nSet-Cookie: a=b\r\nCache-Control: no-store\r\n"
            self.wfile.write(told + b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(code), code))
            return
        said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        if b"/plein" in asked:
            said = said.replace(b"200 OK", b"503 No\r\nRetry-After: 7")
        else:
            self.server.inside += 1
            self.server.gate.wait(allowed(60))
        with suppress(OSError):  # nobody waits any more
            self.wfile.write(said)


class Door:
    """A real nginx with the rendered site, in front of a slow application."""

    main = "master_process off;\n"

    def __init__(self, root: Path, **site: object) -> None:
        self.site = {"nginx_tls_client_certificates": "required", "nginx_tls_client_requests": MOST} | site
        self.root, self.authority = root, Authority(root / "pki", "groupement de test")
        server = self.authority.issue("porte", "server")
        for name, siren in (("pc", FIRST), ("connecteur", FIRST), ("machine", FIRST), ("autre", SECOND)):
            self.authority.issue(name, common_name=f"Essai {name}", siren=siren)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        (root / "app.sock").unlink(missing_ok=True)
        revoked = self.authority.crl(self.authority.issue("revoque", common_name="Essai revoque", siren=FIRST))
        shutil.copy(revoked, root / "essai.crl.pem")
        self.slow = _Slow(root / "app.sock")
        threading.Thread(target=self.slow.serve_forever, daemon=True).start()
        self._configure(server)
        self._nginx = subprocess.Popen([NGINX, "-e", str(root / "erreurs"), "-c", str(root / "nginx.conf")])
        wait_for(self._listens, "nginx listens", seconds=20)

    def _configure(self, server: Path) -> None:
        pages = self.root / "pages"
        pages.mkdir()
        files = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__nginx_tls_files"]
        for one in files:
            if one["path"].startswith("/usr/local/share/creatic/nginx/"):
                (pages / Path(one["path"]).name).write_text(
                    render(one["template"], **one.get("vars", {})), encoding="utf-8"
                )
        shutil.copy(self.authority.bundle, self.root / "essai.ca.pem")
        site = render(
            "site.conf.j2", nginx_tls_site="essai", nginx_tls_server_names=["localhost"],
            nginx_tls_certificate_dir=str(server), nginx_tls_upstream=str(self.root / "app.sock"),
            nginx_tls_client_machines=True, **self.site,
        )  # fmt: skip # one call by its parts
        (self.root / "tls.conf").write_text(render("tls.conf.j2"))
        text = render("default.conf.j2") + site
        for before, after in (
            ("listen [::]:443 ssl", "# "), ("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl"),
            ("/var/lib/nginx/", f"{self.root}/"), ("/etc/nginx/creatic/", f"{self.root}/"),
            ("/usr/local/share/creatic/nginx/", f"{pages}/"),
        ):  # fmt: skip # a table
            text = text.replace(before, after)
        text = re.sub(r"\naccess_log (.|\n)*?;", "", text)  # no journal here
        temporary = "".join(
            f"{kind}_temp_path {self.root}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.root / "nginx.conf").write_text(
            f"daemon off;\n{self.main}pid {self.root}/pid;\nevents {{}}\nhttp {{\n"
            f"types {{ text/html html; application/json json; }}\naccess_log off;\n{temporary}{text}}}\n"
        )

    def _listens(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(
        self, who: str, path: str = "/", accept: str = "*/*", method: str = "GET", **headers: str
    ) -> tuple[HTTPResponse, str]:
        """A request with somebody's certificate."""
        folder = self.authority.folder / who
        context = ssl.create_default_context(cafile=str(self.authority.bundle))
        context.load_cert_chain(folder / "fullchain.pem", folder / "key.pem")
        link: HTTPConnection = HTTPSConnection("localhost", self.port, context=context, timeout=allowed(60))
        link.request(method, path, headers={"Host": "localhost", "Accept": accept} | headers)
        answer = link.getresponse()
        return answer, answer.read().decode()

    def kept(self) -> list[int]:
        """Bytes of each body that nginx has on its disk: files without a name any more."""
        found = []
        for one in Path(f"/proc/{self._nginx.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                if str(one.readlink()).startswith(f"{self.root}/client_body/"):
                    found.append(one.stat().st_size)
        return found

    def close(self) -> None:
        self.slow.gate.set()
        self._nginx.terminate()
        self._nginx.wait(allowed(20))
        self.slow.shutdown()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    yield made
    made.close()


def test_the_certificates_of_one_siren_leave_room_for_the_others(door: Door) -> None:
    with ThreadPoolExecutor(20) as pool:
        try:
            holders = ["pc", "connecteur", "machine"] * 3
            asked = [pool.submit(door.ask, who) for who in holders]
            wait_for(lambda: sum(one.done() for one in asked) >= len(asked) - MOST, "refusals", seconds=20)
            refused = [one.result()[0] for one in asked if one.done()]
            assert {one.status for one in refused} == {503} and door.slow.inside == MOST
            other = pool.submit(door.ask, "autre")
            wait_for(lambda: door.slow.inside == MOST + 1, "the other is answered", seconds=20)
            answer, said = door.ask("pc", accept="text/html,application/xhtml+xml,*/*;q=0.8")  # a browser
            assert answer.headers["Retry-After"] == "30" and answer.headers["Content-Type"].startswith("text/html")
            assert answer.headers["Strict-Transport-Security"] and "À faire" in said and "<!doctype html>" in said
            answer, said = door.ask("connecteur")
            told: dict[str, Any] = json.loads(said)
            assert answer.status == 503 and answer.headers["Content-Type"] == "application/json"
            assert answer.headers["Retry-After"] == "30" and "À faire" in told["message"] == told["erreur"]
        finally:
            door.slow.gate.set()
        assert other.result()[0].status == 200
        assert [one.result()[0].status for one in asked].count(200) == MOST
    time.sleep(0.1)
    assert door.ask("connecteur")[0].status == 200
    answer, said = door.ask("connecteur", "/plein")  # what the application says itself stays as it says it
    assert answer.status == 503 and said == "ok" and answer.headers.get_all("Retry-After") == ["7"]
    assert door.ask("pc", "/.refus/occupe.json")[0].status == 404


def test_one_certificate_leaves_room_to_the_others_of_its_siren(door: Door) -> None:
    """A machine that never ends what it asks would silence its whole commune's."""
    with ThreadPoolExecutor(20) as pool:
        try:
            asked = [pool.submit(door.ask, "machine") for _ in range(9)]
            wait_for(lambda: sum(one.done() for one in asked) >= len(asked) - MOST, "refusals", seconds=20)
            answer, _said = door.ask("pc", "/plein")  # at once, from the application itself
            assert answer.headers["Retry-After"] == "7"
        finally:
            door.slow.gate.set()


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/authentication/login/plein", {}),
        ("POST", "/%61uthentication//login/plein", {}),
        ("POST", "/api/v4/auth/token/obtain/plein", {}),
        ("GET", "/api/v4/documents/plein", {"Authorization": "bAsic eDp5"}),
    ],
)
def test_who_has_passwords_looked_at_leaves_the_ged_to_others(
    tmp_path: Path, method: str, path: str, headers: dict[str, str]
) -> None:
    """One visitor without an account had all its threads, by seven wrong passwords a second."""
    own = yaml.safe_load((ROLE.parent / "mayan/vars/main.yml").read_text(encoding="utf-8"))["__mayan_proofs"]
    changes = {"nginx_tls_client_certificates": "off", "nginx_tls_client_requests": 0}
    door = Door(tmp_path, nginx_tls_extra_locations=own, **changes)
    try:
        with ThreadPoolExecutor(60) as pool:
            began = time.monotonic()
            asked = [pool.submit(door.ask, "pc", path, method=method, **headers) for _ in range(60)]
            wait_for(lambda: any(one.done() and one.result()[0].status == 429 for one in asked), "refusals", seconds=20)
            assert [door.ask("pc", "/documents/plein")[0].status for _ in range(20)] == [503] * 20  # its own answer
            found = [one.result() for one in asked]
            passed = sum(answer.status == 503 for answer, _said in found)
            assert 31 <= passed <= 32 + 3 * (time.monotonic() - began)
            answer, said = next(one for one in found if one[0].status == 429)
            assert answer.headers["Retry-After"] == "30" and "À faire" in json.loads(said)["message"]
        assert door.ask("pc", path, method=method, **headers)[0].status == 503
    finally:
        door.close()


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[Door]:
    """One that asks for no certificate: the GED, the parapheur, the délibérations."""
    made = Door(tmp_path, nginx_tls_client_certificates="off", nginx_tls_client_requests=0)
    yield made
    made.close()


def _begun(door: Door, head: str, body: bytes = b"") -> ssl.SSLSocket:
    """A request that somebody does not end."""
    context = ssl.create_default_context(cafile=str(door.authority.bundle))
    link = context.wrap_socket(socket.create_connection(("127.0.0.1", door.port)), server_hostname="localhost")
    link.settimeout(allowed(20))
    link.sendall(head.replace("\n", "\r\n").encode() + body)
    return link


@pytest.mark.parametrize("length", ["Content-Length: 190000000", "Transfer-Encoding: chunked"])
def test_bodies_that_do_not_end_leave_the_disk_to_others(open_door: Door, length: str) -> None:
    """One visitor without an account had 200 MB kept of each of 24,000: the disk of the database, in minutes."""
    block = b"%x\r\n" % 300_000 + bytes(300_000) + b"\r\n" if "chunked" in length else bytes(300_000)
    links = [_begun(open_door, f"POST /x HTTP/1.1\nHost: localhost\n{length}\n\n", block) for _ in range(30)]
    try:
        assert sum(_refused(link) for link in links) == 18
        wait_for(lambda: len(open_door.kept()) == 12, "bodies are on the disk", seconds=20)
        answer, said = open_door.ask("pc", "/plein", method="POST", **{"Content-Length": "0"})  # what people do
        assert answer.headers["Retry-After"] == "7" and said == "ok"
        assert open_door.ask("pc", "/plein")[0].headers["Retry-After"] == "7"
        answer, said = open_door.ask("pc", "/plein", method="POST", **{"Content-Length": "150000"})
        assert answer.headers["Retry-After"] == "30" and "À faire" in json.loads(said)["message"]
    finally:
        for link in links:
            link.close()
    wait_for(lambda: not open_door.kept(), "bodies go", seconds=20)


def _refused(link: ssl.SSLSocket) -> bool:
    link.settimeout(0.3)
    try:
        return b" 503 " in link.recv(100)
    except TimeoutError:
        return False


def test_what_reads_sends_nothing_and_asks_for_so_much(open_door: Door) -> None:
    """Over HTTP/2, a body may come with what reads, and 24,000 answers may wait for who takes none."""
    big = _begun(open_door, "GET /plein HTTP/1.1\nHost: localhost\nContent-Length: 100000\n\n")
    assert b" 413 " in big.recv(100)
    links = [_begun(open_door, f"GET /a{rank} HTTP/1.1\nHost: localhost\n\n") for rank in range(192)]
    try:
        wait_for(lambda: open_door.slow.inside == 192, "all are inside", seconds=20)
        answer, _said = open_door.ask("pc", "/plein", accept="text/html")
        assert answer.status == 503 and answer.headers["Retry-After"] == "30"
        answer, _said = open_door.ask("pc", "/plein", method="POST", **{"Content-Length": "0"})
        assert answer.headers["Retry-After"] == "7"
    finally:
        for link in [big, *links]:
            link.close()


def test_what_sends_little_asks_for_so_much_too(open_door: Door) -> None:
    """A POST of nothing is answered as a GET is, by Zope: thousands of its answers waited for who takes none."""
    head = "HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n"
    links = [_begun(open_door, f"{('POST', 'PUT')[rank % 2]} /a{rank} {head}") for rank in range(64)]
    try:
        wait_for(lambda: open_door.slow.inside == 64, "all are inside", seconds=20)
        for method, told in (("POST", "30"), ("PROPFIND", "30"), ("GET", "7")):
            answer, _said = open_door.ask("pc", "/plein", method=method, **{"Content-Length": "0"})
            assert answer.headers["Retry-After"] == told, method
    finally:
        for link in links:
            link.close()


@pytest.mark.parametrize("length", ["Content-Length: 190000000", "Transfer-Encoding: chunked"])
def test_what_asks_for_a_file_of_the_program_sends_nothing(tmp_path: Path, length: str) -> None:
    """nginx reads what comes with a request before it looks at what it keeps: 200 MB of each, at no door's bound."""
    block = b"%x\r\n" % 300_000 + bytes(300_000) + b"\r\n" if "chunked" in length else bytes(300_000)
    open_door = Door(
        tmp_path, nginx_tls_fixed=r"^/fixe/.*\.js$", nginx_tls_client_certificates="off", nginx_tls_client_requests=0
    )
    links = []
    try:
        for _rank in range(30):
            links.append(_begun(open_door, f"GET /fixe/plein.js HTTP/1.1\nHost: localhost\n{length}\n\n"))
            with suppress(OSError):  # it is refused before all of it left
                links[-1].sendall(block)
        time.sleep(1)
        assert open_door.kept() == []
    finally:
        for link in links:
            link.close()
        open_door.close()


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    """Of HTTP/2 (RFC 9113, 4.1)."""
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def test_files_that_nobody_takes_leave_connections_to_others(door: Door) -> None:
    """Nine connections without a certificate, of 120 refusals that nobody took, held all the files that nginx had."""
    [most] = re.findall(r"^worker_rlimit_nofile (\d+);$", render("main.conf.j2"), re.MULTILINE)
    hard = resource.prlimit(door._nginx.pid, resource.RLIMIT_NOFILE)[1]  # which it sets for workers alone
    resource.prlimit(door._nginx.pid, resource.RLIMIT_NOFILE, (min(int(most), hard), hard))
    context = ssl.create_default_context(cafile=str(door.authority.bundle))
    context.set_alpn_protocols(["h2"])
    # GET, https, /, localhost (RFC 7541); a client that takes nothing of any answer.
    head, nothing = b"\x82\x87\x84\x01\x09localhost", _frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x00")
    links = []

    def begun() -> None:
        raw = socket.create_connection(("127.0.0.1", door.port), allowed(5))
        links.append(context.wrap_socket(raw, server_hostname="localhost"))

    try:
        for _rank in range(20):
            begun()
            asked = b"".join(_frame(1, 5, 2 * rank + 1, head) for rank in range(120))
            links[-1].sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + nothing + asked)
        begun()
    finally:
        for link in links:
            link.close()


@pytest.mark.parametrize(("site", "most"), [({}, MOST - 1), ({"nginx_tls_client_certificates": "off"}, 192)])
def test_who_hangs_up_keeps_their_places(tmp_path: Path, site: dict[str, object], most: int) -> None:
    """What was given up held no place, and was answered: three thousand of a visitor, in two seconds, kept the GED from
    everybody for one minute, and so on."""
    door = Door(tmp_path, **({"nginx_tls_client_requests": 0} if site else {}), **site)
    folder = door.authority.folder / "pc"
    context = ssl.create_default_context(cafile=str(door.authority.bundle))
    context.load_cert_chain(folder / "fullchain.pem", folder / "key.pem")
    context.set_alpn_protocols(["h2"])
    streams, pong = range(1, 2 * min(most, 48), 2), _frame(6, 1, 0, bytes(8))

    def sent(link: ssl.SSLSocket, frames: Iterator[bytes]) -> None:
        """Sends frames, and waits until they were read: a PING is answered (RFC 9113, 6.7)."""
        link.sendall(b"".join(frames) + _frame(6, 0, 0, bytes(8)))
        told = link.recv(65536)
        while pong not in told:
            more = link.recv(65536)
            assert more
            told = told[-16:] + more

    try:
        for _turn in range(most // len(streams) + 2):
            raw = socket.create_connection(("127.0.0.1", door.port), allowed(20))
            with context.wrap_socket(raw, server_hostname="localhost") as link:
                link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b""))
                sent(link, (_frame(1, 5, one, b"\x82\x87\x84\x01\x09localhost") for one in streams))
                sent(link, (_frame(3, 0, one, (8).to_bytes(4)) for one in streams))  # RST_STREAM, CANCEL
        wait_for(lambda: door.slow.inside >= most, "all are inside", seconds=20)
        time.sleep(0.5)
        assert door.slow.inside == most
        door.slow.gate.set()  # and they are given back, once each was answered
        wait_for(lambda: door.ask("pc")[0].status == 200, "places are free", seconds=20)
    finally:
        door.close()


def test_what_sees_who_has_gone_is_told() -> None:
    """The others, which go on, have their places counted."""
    tasks = {path.parts[-3]: path.read_text(encoding="utf-8") for path in ROLE.parent.glob("*/tasks/main.yml")}
    assert [name for name, text in tasks.items() if "nginx_tls_ignore_client_abort" in text] == ["plone"]


class _Reloaded(Door):
    """One whose workers give way to others, with what the role says of them; sooner."""

    main = (
        f"worker_processes 1;\nuser {pwd.getpwuid(os.getuid()).pw_name} {grp.getgrgid(os.getgid()).gr_name};\n"
        + render("main.conf.j2").partition("worker_rlimit_nofile")[2].partition(";")[2].replace("600s", "1s")
    )


def test_a_request_of_before_a_revocation_ends(tmp_path: Path) -> None:
    """Its body was awaited for ever, a byte a minute: it acted in the name of who was revoked, days after."""
    door = _Reloaded(tmp_path)
    door.slow.gate.set()
    folder = door.authority.folder
    context = ssl.create_default_context(cafile=str(door.authority.bundle))
    context.load_cert_chain(folder / "pc/fullchain.pem", folder / "pc/key.pem")
    link = context.wrap_socket(socket.create_connection(("127.0.0.1", door.port)), server_hostname="localhost")
    link.settimeout(allowed(20))
    try:
        link.sendall(b"POST /avant HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert link.recv(100).startswith(b"HTTP/1.1 100 ")  # it was let in
        shutil.copy(door.authority.crl(folder / "pc", folder / "revoque"), tmp_path / "essai.crl.pem")
        os.kill(door._nginx.pid, signal.SIGHUP)
        wait_for(lambda: door.ask("pc")[0].status == 400, "it is revoked", seconds=20)
        with suppress(OSError):
            assert link.recv(100) == b""
        with suppress(OSError):
            link.sendall(b"ok")
        assert door.ask("autre")[0].status == 200
        assert not [line for line in door.slow.asked if "/avant" in line]
    finally:
        link.close()
        door.close()


def test_the_connection_of_a_name_opens_no_other(door: Door) -> None:
    assert door.ask("pc", Host="ailleurs.test")[0].status == 421


def test_an_address_is_handed_on_as_it_was_asked(open_door: Door) -> None:
    """Which document it is depends on it: nothing of it is decoded, joined or lost on the way."""
    for path in ("/a%2Fb//c/../d%C3%A9?x=1&y=%2F", "/?q", "//x", "/++api++/a%3Fb"):
        for method in ("GET", "POST"):
            open_door.slow.gate.set()
            open_door.ask("pc", path, method=method, **({"Content-Length": "0"} if method == "POST" else {}))
            asked = open_door.slow.asked[-1]
            assert asked == f"{method} {path} HTTP/1.1\r\n"


def test_what_is_the_same_for_anybody_is_asked_once_as_nobody(tmp_path: Path) -> None:
    """Each first page of the délibérations asked its eighteen files of four threads of Python, uncompressed."""
    tasks = yaml.safe_load((ROLE.parent / "plone/tasks/main.yml").read_text(encoding="utf-8"))
    [own] = [one["vars"]["nginx_tls_fixed"] for one in tasks if "nginx_tls_fixed" in one.get("vars", {})]
    changes = {"nginx_tls_client_certificates": "off", "nginx_tls_client_requests": 0}
    door = Door(tmp_path, nginx_tls_fixed=own, **changes)
    version = "/++webresource++d43a135b-4eee-5724-93ce-2e47808f5dc1"
    script = f"{version}/++theme++deliberations/dist/js/theme.js"
    told = {"Cookie": "__ac=secret", "Authorization": "Basic eDp5", "Accept-Encoding": "gzip"}
    try:
        first, _said = _packed(door, script, told)
        again, _said = _packed(door, f"{script}?x=1", told)
        assert door.slow.fixed == [door.slow.fixed[0]] and "secret" not in door.slow.fixed[0]
        assert "Authorization" not in door.slow.fixed[0]
        for answer in (first, again):
            assert answer.headers["Content-Encoding"] == "gzip" and "Set-Cookie" not in answer.headers
            assert answer.headers.get_all("Cache-Control") == ["max-age=31536000"]
            assert answer.headers["Strict-Transport-Security"]
        plain, said = door.ask("pc", script)
        assert plain.headers["Content-Encoding"] is None and said.endswith(".1") and len(door.slow.fixed) == 1
        assert door.ask("pc", script, method="POST")[0].status == 403
        # What a person may read is theirs, whatever its address looks like: with their cookie, each time.
        for other in (
            f"{version}/gondecourt/seances/projet.js",
            f"{version}/++plone++static/../../gondecourt/projet.js",
            f"{version}/++plone++static%2f..%2f..%2fgondecourt%2fprojet.js",
            f"{version}/++api++/gondecourt/x.js",
            f"{version}/++theme++deliberations/index.html",
        ):
            before = len(door.slow.fixed)
            for _time in range(2):
                door.ask("pc", other, Cookie="__ac=secret")
            assert len(door.slow.fixed) == before + 2 and "secret" in door.slow.fixed[-1], other
    finally:
        door.close()


def test_what_is_kept_for_anybody_is_what_its_address_alone_says(tmp_path: Path) -> None:
    """A visitor's query, by which Zope shows another page, was everybody's script for thirty days."""
    tasks = yaml.safe_load((ROLE.parent / "plone/tasks/main.yml").read_text(encoding="utf-8"))
    [own] = [one["vars"]["nginx_tls_fixed"] for one in tasks if "nginx_tls_fixed" in one.get("vars", {})]
    door = Door(tmp_path, nginx_tls_fixed=own, nginx_tls_client_certificates="off", nginx_tls_client_requests=0)
    version = "/++webresource++d43a135b-4eee-5724-93ce-2e47808f5dc1"
    told = {"Accept-Language": "br", "X-Forwarded-Host": "ailleurs.test", "Authorization": "Basic eDp5"}
    try:
        for rank, (asked, reached) in enumerate(
            (
                (f"{version}/++plone++a/1.js?../../../gondecourt:method=", f"{version}/++plone++a/1.js"),
                (f"{version}/++plone++a/2.js?:action=x&a=b", f"{version}/++plone++a/2.js"),
                (f"{version}/++plone++a/3.js?", f"{version}/++plone++a/3.js"),
                (f"{version}//x/..//++plone++a/./4.js", f"{version}/++plone++a/4.js"),
                (f"/gondecourt/..%2f{version[1:]}/++plone++a/5.js", f"{version}/++plone++a/5.js"),
                (f"{version}/++plone++a/6%253f%25.js", f"{version}/++plone++a/6%253f%25.js"),
            ),
            start=1,
        ):
            assert door.ask("pc", asked, **told)[0].status == 200, asked
            line, head = door.slow.fixed[-1].split("\r\n", 1)
            assert (line, len(door.slow.fixed)) == (f"GET {reached} HTTP/1.1", rank)
            names = {one.partition(":")[0] for one in head.splitlines()}
            assert names <= {"Host", "X-Forwarded-For", "X-Forwarded-Proto"}
    finally:
        door.close()


def _packed(door: Door, path: str, told: dict[str, str]) -> tuple[HTTPResponse, bytes]:
    """An answer that is not text."""
    context = ssl.create_default_context(cafile=str(door.authority.bundle))
    link = HTTPSConnection("localhost", door.port, context=context, timeout=allowed(60))
    link.request("GET", path, headers={"Host": "localhost"} | told)
    answer = link.getresponse()
    return answer, answer.read()


def test_a_site_of_ipv6_is_one_visitor() -> None:
    [expression] = re.findall(r'map \$binary_remote_addr .*?"~(.*?)" ', render("default.conf.j2"), re.DOTALL)
    pattern = re.compile(expression.replace("(?<", "(?P<").encode())
    first, second = (socket.inet_pton(socket.AF_INET6, f"2001:db8:a00:{one}") for one in ("a::1", "ff::a0a:ffff"))
    found = [pattern.search(one) for one in (first, second)]
    assert {one["creatic_prefixe"] for one in found if one} == {first[:7]} and all(found)
    assert not pattern.search(socket.inet_aton("192.0.2.10"))


def test_an_application_that_is_away_is_told_in_french(door: Door) -> None:
    door.slow.shutdown()
    door.slow.server_close()
    (door.root / "app.sock").unlink()
    answer, said = door.ask("pc", accept="text/html")
    assert answer.status == 502 and "prévenez le groupement" in said


def test_who_is_refused_comes_back(tmp_path: Path) -> None:
    """The connector would give nothing for an hour after a 429; both keep what they have after a 503."""
    answer = requests.Response()
    answer.status_code, answer.headers["Content-Type"] = 503, "application/json"
    answer._content = render("busy.json.j2").encode()
    with pytest.raises(HandoverError, match="À faire : réessayez") as told:
        demand(answer)
    assert not isinstance(told.value, Full)
    assert isinstance(_unexpected(503, answer.content), Away)
    folder = tmp_path / "acte"
    folder.mkdir()
    with (
        mock.patch.object(Sae, "__init__", return_value=None),
        mock.patch.object(Sae, "_call", return_value=answer),
        pytest.raises(ArchiveError, match="503"),
    ):
        Sae(None)._send(BytesIO(b""), "x", folder)  # type: ignore[arg-type] # what it is made of is not asked
    assert not list(folder.iterdir())  # no refusal is noted


# -- where what is sent waits ------------------------------------------------------------------------------


def _sent_by_anybody() -> list[str]:
    """Roles whose application nginx hands what is sent without a certificate."""
    said = {path.parts[-3]: path.read_text(encoding="utf-8") for path in ROLE.parent.glob("*/tasks/main.yml")}
    return sorted(
        name
        for name, text in said.items()
        if "nginx_tls_upstream:" in text and "nginx_tls_client_certificates: required" not in text
    )


def test_applications_that_anybody_sends_something_are_known() -> None:
    assert _sent_by_anybody() == ["mayan", "plone"]


@pytest.mark.parametrize("role", [*_sent_by_anybody(), "passerelle"])
def test_what_is_sent_waits_on_the_disk(role: str) -> None:
    """In Debian, /tmp is memory, of the service that writes there: twelve bodies of one address ended the site."""
    texts = "\n".join(path.read_text(encoding="utf-8") for path in (ROLE.parent / role / "templates").glob("*.j2"))
    assert re.findall(r"\bTMPDIR=(\S+)", texts)
    assert all(place.startswith("/var/") for place in re.findall(r"\bTMPDIR=(\S+)", texts))
