"""The application's half of the seal: what it sends to the service, and what it makes of its answers."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from creatic_parapheur import seal
from creatic_parapheur.refusal import Refused

from testbed.unix import UnixService

DOWN = "la vérification des signatures ne répond pas, et rien n'a été changé. À faire : recommencez dans quelques "


class Service(UnixService):
    """The service of signatures: keeps one request, answers what it was told to."""

    def __init__(self, path: Path) -> None:
        self.request: dict[str, Any] = {}
        self.files = b""
        self.answer = b""
        super().__init__(path)

    def _answer(self, link: socket.socket) -> None:
        with link.makefile("rwb") as stream:
            self.request = json.loads(stream.readline())
            self.files = stream.read(self.request["origine"] + self.request["signe"])
            stream.write(self.answer)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("CREATIC_SCEAU", str(tmp_path / "sceau.sock"))
    played = Service(tmp_path / "sceau.sock")
    yield played
    played.close()


def read_to_the_end(content: bytes) -> io.BytesIO:
    """A file that was read already: it must be sent whole all the same."""
    stream = io.BytesIO(content)
    stream.read()
    return stream


def ask() -> seal.Received:
    people = [("Anne Petit", "215903600"), ("Luca Petit", "")]
    return seal.check_and_seal("acte.pdf", read_to_the_end(b"origine"), read_to_the_end(b"signe"), people)


def test_a_signed_file_comes_back_sealed(service: Service) -> None:
    service.answer = b'{"signataire": "Anne Petit", "serie": "AB", "taille": 6}\nscelle'
    received = ask()
    assert service.request == {
        "nom": "acte.pdf",
        "origine": 7,
        "signe": 5,
        "signataires": [{"nom": "Anne Petit", "siren": "215903600"}, {"nom": "Luca Petit", "siren": ""}],
    }
    assert service.files == b"originesigne"
    assert (received.holder, received.serial) == ("Anne Petit", "AB")
    assert received.sealed is not None
    assert received.sealed.read() == b"scelle"
    received.sealed.close()


def test_a_flow_bears_no_seal(service: Service) -> None:
    service.answer = b'{"signataire": "Anne Petit", "serie": "AB", "taille": 0}\n'
    assert ask() == seal.Received("Anne Petit", "AB", None)


def test_a_refusal_is_told_as_it_is(service: Service) -> None:
    service.answer = '{"refus": "signé par un autre"}\n'.encode()
    with pytest.raises(Refused, match=r"^signé par un autre$") as refused:
        ask()
    assert refused.value.status == 400


@pytest.mark.parametrize("answer", [b"", b"oups\n", b'{"signataire": "x", "serie": "y", "taille": 7}\nscelle'])
def test_an_answer_that_is_not_whole_changes_nothing(service: Service, answer: bytes) -> None:
    service.answer = answer
    with pytest.raises(Refused, match=f"^{DOWN}") as refused:
        ask()
    assert refused.value.status == 503


def test_what_is_outdated_in_a_signature_is_kept(service: Service) -> None:
    told = {"signataire": "Anne Petit", "serie": "AB", "taille": 0, "remarques": ["SHA-1", "XAdES 1.1.1"]}
    service.answer = json.dumps(told).encode() + b"\n"
    assert ask().outdated == "SHA-1 ; XAdES 1.1.1"


def test_a_service_that_is_down_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREATIC_SCEAU", str(tmp_path / "absent.sock"))
    with pytest.raises(Refused, match=f"^{DOWN}"):
        ask()


def test_a_document_is_checked_and_left_at_its_beginning(service: Service) -> None:
    service.answer = b'{"taille": 0}\n'
    document = read_to_the_end(b"document")
    seal.check_document("acte.pdf", document)
    assert service.request == {"nom": "acte.pdf", "signataires": [], "origine": 8, "signe": 0}
    assert service.files == b"document"
    assert document.tell() == 0
    seal.check_document("acte.pdf", document, contract="piece")
    assert service.request["contrat"] == "piece"
    service.answer = b'{"taille": 0, "texte": false}\n'
    assert seal.check_document("acte.pdf", document, ["Anne Petit", "maire"]) is False
    assert service.request["mentions"] == ["Anne Petit", "maire"]
    service.answer = '{"refus": "le PDF est abîmé"}\n'.encode()
    with pytest.raises(Refused, match=r"^le PDF est abîmé$"):
        seal.check_document("acte.pdf", document)


def test_a_document_that_was_written_again_comes_back_whole(service: Service) -> None:
    service.answer = b'{"taille": 6}\nnouvel'
    document, written = read_to_the_end(b"document"), io.BytesIO()
    assert seal.check_document("acte.pdf", document, written=written)
    assert (written.tell(), written.read(), document.tell()) == (0, b"nouvel", 0)
    service.answer = b'{"taille": 0}\n'
    assert seal.check_document("acte.pdf", document, written=(same := io.BytesIO())) and same.getvalue() == b""
    service.answer = b'{"taille": 7}\nnouvel'
    with pytest.raises(Refused, match=f"^{DOWN}"):
        seal.check_document("acte.pdf", document, written=io.BytesIO())
