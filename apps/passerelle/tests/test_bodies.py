"""What the passerelle sends is read from files as it leaves: the acts of all communes go by one process of 1 GB."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, jsonify, request
from passerelle.deliberations import Deliberations
from passerelle.ged import Ged, Piece
from passerelle.http import Server
from passerelle.parapheur import Parapheur

from creatic_agent.act import Act
from testbed.connector import Authority
from testbed.servers import TlsServer

ACT = {
    "commune": "saint-amand", "circuit": "deliberation", "reference": "ref-1", "objet": "Tarifs « été » 2026",
    "numero": "2026-12", "date": "2026-06-01",
}  # fmt: skip # a table
LARGE = 30_000_000
NAME = 'Plan d\'été "zone A"\r\nX: y.pdf'


class Taker:
    """A server that keeps what it is given."""

    def __init__(self, authority: Authority) -> None:
        self.fields: dict[str, str] = {}
        self.files: list[tuple[str, str, str, bytes]] = []
        self.text = b""
        self.sizes: list[int] = []
        app = Flask("preneur")
        app.add_url_rule("/<path:path>", "take", self._take, methods=["GET", "POST"])
        self.server = TlsServer(app, authority.folder / "tdt")
        self.client = Server("le serveur", self.server.url, str(authority.bundle))
        self.client.log_in = lambda *_account: None  # type: ignore[method-assign]

    def _take(self, path: str) -> Any:
        if request.method == "GET":
            return jsonify({"results": [{"checksum": "a" * 64}] if self.files else [], "next": None})
        size = request.content_length or 0
        self.sizes.append(size)
        if request.is_json:
            self.text = request.get_data() if size < LARGE else b""
            while request.stream.read(1 << 20):
                pass
        self.fields = dict(request.form)
        for name, one in request.files.items(multi=True):
            size = one.seek(0, 2)
            one.seek(0)
            self.files.append((name, one.filename or "", one.mimetype, one.read() if size < LARGE else b""))
        return jsonify({"id": 7})


@pytest.fixture
def taker(authority: Authority) -> Iterator[Taker]:
    made = Taker(authority)
    yield made
    made.server.stop()


def made(folder: Path, name: str, content: bytes = b"", size: int = 0) -> Path:
    path = folder / name
    path.write_bytes(content)
    if size:
        with path.open("r+b") as stream:
            stream.truncate(size)
    return path


def peak(work: Any) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_deposit_says_what_it_said(taker: Taker, tmp_path: Path) -> None:
    document, annex = made(tmp_path, "d", b"%PDF-1.7 acte"), made(tmp_path, "a", b"\x89PNG\r\n--x\r\n\0")
    number = Parapheur(taker.client, "p", "p").deposit(
        Act.from_wire(ACT), document, [("Annexe n° 1 é.png", annex), (NAME, annex)]
    )
    assert number == 7
    assert taker.fields == ACT
    assert taker.files[0] == ("fichier", "2026-12.pdf", "application/pdf", b"%PDF-1.7 acte")
    assert taker.files[1] == ("annexe", "Annexe n° 1 é.png", "application/octet-stream", b"\x89PNG\r\n--x\r\n\0")
    name, given, _kind, content = taker.files[2]
    assert (name, content) == ("annexe", annex.read_bytes())
    assert "été" in given
    assert "\n" not in given


def test_annexes_of_one_act_do_not_fill_the_memory_of_all(taker: Taker, tmp_path: Path) -> None:
    document, annex = made(tmp_path, "d", size=LARGE), made(tmp_path, "a", size=LARGE)
    annexes = [(f"annexe-{rank}.pdf", annex) for rank in range(4)]
    parapheur = Parapheur(taker.client, "p", "p")
    assert peak(lambda: parapheur.deposit(Act.from_wire(ACT), document, annexes)) < LARGE
    assert taker.sizes[-1] > 5 * LARGE
    assert len(taker.files) == 5


def test_nor_does_what_is_filed(taker: Taker, tmp_path: Path) -> None:
    piece = Piece("m", "w", "Acte", made(tmp_path, "a" * 64, size=2 * LARGE), "acte.pdf", "application/pdf")
    upload = Ged(taker.client, "p", "p")._upload
    assert peak(lambda: upload(3, piece, {}, lambda: None)) < LARGE
    assert taker.fields == {"action_name": "replace"}
    assert [one[:3] for one in taker.files] == [("file_new", "acte.pdf", "application/pdf")]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 3 << 20, (3 << 20) + 1, 7_000_001])
def test_what_is_published_comes_whole(taker: Taker, tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    document = made(tmp_path, "f" * 64, content[:size])
    Deliberations(taker.client, "p", "p").tell("uid-1", {"etat": "acquittée", "motif": "« é »"}, document)
    told = json.loads(taker.text)
    assert base64.b64decode(told.pop("document"), validate=True) == content[:size]
    assert told == {"uid": "uid-1", "etat": "acquittée", "motif": "« é »", "sha256": "f" * 64}


def test_nor_does_what_is_published(taker: Taker, tmp_path: Path) -> None:
    document = made(tmp_path, "e" * 64, size=3 * LARGE)
    assert peak(lambda: Deliberations(taker.client, "p", "p").tell("uid-1", {"etat": "x"}, document)) < LARGE
    assert taker.sizes[-1] > 4 * LARGE
