"""The application's half of the seal: what it sends to the service, and what it makes of its answers."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from creatic_parapheur import seal
from creatic_parapheur.refusal import RefusedError

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
    with pytest.raises(RefusedError, match=r"^signé par un autre$") as refused:
        ask()
    assert refused.value.status == 400


@pytest.mark.parametrize("answer", [b"", b"oups\n", b'{"signataire": "x", "serie": "y", "taille": 7}\nscelle'])
def test_an_answer_that_is_not_whole_changes_nothing(service: Service, answer: bytes) -> None:
    service.answer = answer
    with pytest.raises(RefusedError, match=f"^{DOWN}") as refused:
        ask()
    assert refused.value.status == 503


def test_what_is_outdated_in_a_signature_is_kept(service: Service) -> None:
    told = {"signataire": "Anne Petit", "serie": "AB", "taille": 0, "remarques": ["SHA-1", "XAdES 1.1.1"]}
    service.answer = json.dumps(told).encode() + b"\n"
    assert ask().outdated == "SHA-1 ; XAdES 1.1.1"


def test_a_service_that_is_down_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREATIC_SCEAU", str(tmp_path / "absent.sock"))
    with pytest.raises(RefusedError, match=f"^{DOWN}"):
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
    with pytest.raises(RefusedError, match=r"^le PDF est abîmé$"):
        seal.check_document("acte.pdf", document)


def test_a_document_that_was_written_again_comes_back_whole(service: Service) -> None:
    service.answer = b'{"taille": 6}\nnouvel'
    document, written = read_to_the_end(b"document"), io.BytesIO()
    assert seal.check_document("acte.pdf", document, written=written)
    assert (written.tell(), written.read(), document.tell()) == (0, b"nouvel", 0)
    service.answer = b'{"taille": 0}\n'
    assert seal.check_document("acte.pdf", document, written=(same := io.BytesIO())) and same.getvalue() == b""
    service.answer = b'{"taille": 7}\nnouvel'
    with pytest.raises(RefusedError, match=f"^{DOWN}"):
        seal.check_document("acte.pdf", document, written=io.BytesIO())


class Taken:
    """Somebody of a commune who has a place of the service, until told to leave it."""

    def __init__(self, places: seal.Places, siren: str) -> None:
        self.told = ""
        self._end, self._settled = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(places, siren))
        self._thread.start()
        assert self._settled.wait(20)

    def _ask(self, places: seal.Places, siren: str) -> None:
        try:
            with places.place(siren):
                self._settled.set()
                self._end.wait(20)
        except RefusedError as refused:
            self.told = str(refused)
            self._settled.set()

    def leave(self) -> None:
        self._end.set()
        self._thread.join(20)


def test_one_commune_never_has_all_the_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "QUEUE_TIMEOUT_SECONDS", 0.05)
    places = seal.Places()
    loos = [Taken(places, "215903600") for _account in range(4)]
    assert [bool(one.told) for one in loos] == [False, False, True, True]
    assert "d'autres documents de votre commune" in loos[2].told
    assert "À faire : " in loos[2].told
    others = [Taken(places, siren) for siren in ("215901067", "215901067", "215902529")]
    assert [one.told[:35] for one in others] == ["", "d'autres documents de votre commune", ""]  # the last is another's
    full = Taken(places, "215903501")
    assert full.told.startswith("des documents d'autres communes")
    for one in (*loos, *others):
        one.leave()
    assert (places._busy, places._waiting) == ({}, {})


def test_who_waits_has_a_place_once_one_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "QUEUE_TIMEOUT_SECONDS", 20)
    places = seal.Places()
    held = [Taken(places, "215903600") for _account in range(2)]
    waiting: list[threading.Thread] = []
    done: list[str] = []

    def ask() -> None:
        with places.place("215903600"):
            done.append("scellé")

    for _account in range(2):
        waiting.append(threading.Thread(target=ask))
        waiting[-1].start()
    until = time.monotonic() + 20
    while places._waiting["215903600"] < seal.EACH and time.monotonic() < until:
        time.sleep(0.001)
    with pytest.raises(RefusedError, match="d'autres documents de votre commune"), places.place("215903600"):
        pass  # nobody's thread is kept by a third who would wait
    for one in held:
        one.leave()
    for thread in waiting:
        thread.join(20)
    assert done == ["scellé"] * 2


def waiting(places: seal.Places, asked: list[str]) -> tuple[list[threading.Thread], list[str]]:
    """Those of some communes who ask for a place, none of which is free; and what became of each who has an answer."""
    told: list[str] = []

    def ask(siren: str) -> None:
        try:
            with places.place(siren):
                told.append("scellé")
        except RefusedError as refused:
            told.append(f"{refused.status} {refused}")

    threads = [threading.Thread(target=ask, args=(siren,)) for siren in asked]
    for number, thread in enumerate(threads, 1):
        thread.start()
        until = time.monotonic() + 20
        while sum(places._waiting.values()) + len(told) < number and time.monotonic() < until:
            time.sleep(0.001)
    return threads, told


@pytest.mark.parametrize(("threads", "wait"), [("", 2), ("8", 2), ("12", 4), ("4", 0), ("2", 0)])
def test_communes_together_never_hold_what_pages_need(monkeypatch: pytest.MonkeyPatch, threads: str, wait: int) -> None:
    monkeypatch.setattr(seal, "QUEUE_TIMEOUT_SECONDS", 20)
    monkeypatch.delenv("CREATIC_THREADS", raising=False)
    if threads:
        monkeypatch.setenv("CREATIC_THREADS", threads)
    places = seal.Places()
    held = [Taken(places, siren) for siren in ("215903600", "215903600", "215901067", "215902529")]
    assert not any(one.told for one in held)
    asked = ["215903600", "215901067", "215902529", "215903501", "215903600", "215901067"]
    start = time.monotonic()
    asking, told = waiting(places, asked)
    try:
        assert len(told) == len(asked) - wait  # at once, and each of the others has its answer later
        assert time.monotonic() - start < 10
        assert all(one.startswith("503 ") and "À faire : " in one for one in told)
        assert all("réessayez dans une minute" in one for one in told)
    finally:
        for one in held:
            one.leave()
        for thread in asking:
            thread.join(20)
    assert told.count("scellé") == wait
    assert (places._busy, places._waiting) == ({}, {})


def test_a_free_place_is_had_at_once_however_many_wait_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "QUEUE_TIMEOUT_SECONDS", 20)
    places = seal.Places()
    held = [Taken(places, "215903600") for _account in range(2)]
    asking, told = waiting(places, ["215903600", "215903600"])
    other = Taken(places, "215901067")
    assert (other.told, told) == ("", [])
    for one in (other, *held):
        one.leave()
    for thread in asking:
        thread.join(20)
    assert told == ["scellé", "scellé"]


def test_what_is_asked_counts_for_its_commune(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "QUEUE_TIMEOUT_SECONDS", 0.05)
    service.answer = b'{"signataire": "Anne Petit", "serie": "AB", "taille": 0}\n'
    with seal._places.place("215903600"), seal._places.place("215903600"):
        with pytest.raises(RefusedError) as refused, seal.asked_by("215903600"):
            ask()
        assert refused.value.status == 503  # the gateway asks again
        with seal.asked_by("215901067"):
            assert ask().holder == "Anne Petit"


def test_what_waits_for_a_key_is_prepared_then_finished(service: Service) -> None:
    waiting = {"a_signer": ["AAAA"]}
    text = json.dumps(waiting).encode()
    service.answer = json.dumps({"taille": len(text)}).encode() + b"\n" + text
    people = [("Anne Petit", "215903600")]
    found = seal.prepare("acte.pdf", read_to_the_end(b"origine"), people, ["PEM"], ("Loos", "59120"))
    assert found == waiting
    assert (service.request["apart"], service.request["origine"]) == ("preparer", 7)
    assert service.request["signataires"] == [{"nom": "Anne Petit", "siren": "215903600"}]
    given = {"certificats": ["PEM"], "lieu": {"commune": "Loos", "code_postal": "59120"}}
    assert json.loads(service.files.removeprefix(b"origine")) == given
    service.answer = b'{"taille": 5}\nsigne'
    with seal.finish("acte.pdf", read_to_the_end(b"origine"), waiting, ["BBBB"]) as made:
        assert made.read() == b"signe"
    assert service.request["apart"] == "terminer"
    assert json.loads(service.files.removeprefix(b"origine")) == {"attente": waiting, "signatures": ["BBBB"]}
    service.answer = '{"refus": "le document a changé"}\n'.encode()
    with pytest.raises(RefusedError, match=r"^le document a changé$"):
        seal.finish("acte.pdf", read_to_the_end(b"origine"), waiting, ["BBBB"])
