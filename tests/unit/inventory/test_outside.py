"""What the control node tries before a machine changes, against what really listens, refuses and leads elsewhere."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from creatic.check import outside
from creatic.check.flows import Machine


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def site() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(int(self.path.strip("/")))
            self.end_headers()

        def log_message(self, *_given: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def tried(monkeypatch: pytest.MonkeyPatch, **hosts: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What is said of these machines alone; whether packages can be had here is another matter."""
    monkeypatch.setattr(outside, "_package_trials", lambda: iter(()))
    known = [Machine(name, "", "", (), is_reached=own.pop("reached", True)) for name, own in hosts.items()]
    return outside.unmet(outside.trials({"_meta": {"hostvars": hosts}}, known))


def test_a_machine_that_answers_by_its_name_is_not_told(monkeypatch: pytest.MonkeyPatch, listening: int) -> None:
    own = {"ansible_host": "127.0.0.1", "ansible_port": listening, "creatic_names": ["localhost"]}
    relay = {"passerelle_mail_relay": "127.0.0.1", "passerelle_mail_port": listening}
    tdt = {"creatic_tdt_url": f"https://localhost:{listening}/x"}
    assert tried(monkeypatch, relais=own | relay | tdt) == ([], [])


def test_each_thing_that_lacks_is_told_with_its_fix(monkeypatch: pytest.MonkeyPatch, closed: int) -> None:
    lacks, doubts = tried(
        monkeypatch,
        ged={"ansible_host": "127.0.0.1", "ansible_port": closed, "creatic_names": ["ged.invalid"]},
        sae1={"ansible_host": "127.9.9.9", "ansible_port": closed, "creatic_names": ["localhost"]},
        veille={"ansible_host": "veille.invalid"},
        dehors={"ansible_host": "dehors.invalid", "reached": False},
        signatures={
            "ansible_host": "127.0.0.1",
            "ansible_port": closed,
            "parapheur_mail_relay": "127.0.0.1",
            "parapheur_mail_port": closed,
            "creatic_tdt_url": "https://tdt.invalid",
        },
    )
    *entered, led = [line.partition(". À faire")[0] for line in lacks]
    assert entered == [
        f"ged, SSH (127.0.0.1, port {closed}) : {outside.MET['ECONNREFUSED']}",
        f"sae1, SSH (127.9.9.9, port {closed}) : {outside.MET['ECONNREFUSED']}",
        f"signatures, SSH (127.0.0.1, port {closed}) : {outside.MET['ECONNREFUSED']}",
        "veille, SSH (veille.invalid, port 22) : ce nom n'est connu d'aucun serveur de noms du poste de commande",
    ]
    assert led.startswith("sae1, nom localhost : il mène à ") and led.endswith(", et non à 127.9.9.9")
    assert all("À faire : " in line for line in lacks + doubts)
    assert [line.partition(" : ")[0] for line in doubts] == [
        "noms des machines",
        f"relais de courriel (127.0.0.1, port {closed})",
        "TdT (https://tdt.invalid)",
    ]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/200", ""),
        ("/401", ""),
        ("/404", ""),
        ("/405", ""),
        ("/407", "il répond 407"),
        ("/503", "il répond 503"),
    ],
)
def test_a_site_is_there_unless_it_says_that_it_is_not(site: str, path: str, said: str) -> None:
    assert outside._try_site(site + path, urllib.request.build_opener()) == said


def test_a_site_that_is_away_says_why(closed: int) -> None:
    opener = urllib.request.build_opener()
    assert "pas de réponse" in outside._try_site(f"http://127.0.0.1:{closed}/", opener)
    assert outside._try_site("http://nulle.invalid/", opener) == outside._UNNAMED


@pytest.mark.parametrize(
    "answer",
    [
        b"\x1b]0;x\x07 ?\r\n\r\n",
        b"HTTP/1.1 200 " + b"a" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 302 x\r\nLocation: http://[zz/\r\n\r\n",
        b"HTTP/1.1 302 x\r\nLocation: http://x:zz/\r\n\r\n",
        b"HTTP/1.1 302 x\r\nLocation: http://" + b"a" * 80 + b".x/\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_one_site_s_fault(answer: bytes) -> None:
    """It ended the whole check, of every machine and every site."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as visitor:
                visitor.recv(4096)
                visitor.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        said = outside._try_site(f"http://127.0.0.1:{server.getsockname()[1]}/", urllib.request.build_opener())
        thread.join()
    assert "pas de réponse" in said
    assert len(said) < 200


def test_packages_are_asked_where_this_machine_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://lea:secret@miroir.invalid/simple/")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://npm.invalid/")
    *debian, python, npm = outside._package_trials()
    assert (python.what, npm.what) == (
        "paquets de Python (https://miroir.invalid/simple/)",
        "paquets de npm (https://npm.invalid/)",
    )
    assert python.run() == npm.run() == outside._UNNAMED
    assert all(one.what.startswith("paquets de Debian") for one in debian) and debian
