"""Mails about the préfecture's letters: who is told, when, and what a relay that is away keeps."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest
from passerelle.clocks import clocks
from passerelle.config import Commune, Config, load
from passerelle.letters import PARIS, Letter, Letters
from passerelle.mail import Post, Recall, due
from passerelle.store import Store

CAME = datetime(2026, 3, 2, 9, tzinfo=PARIS)
TAKEN: dict[str, Any] = {"prise": {"par": "Secrétariat", "le": ""}}
GONDECOURT = Commune("gondecourt", "Gondecourt", "215902669", (), ("maire@x.test", "dgs@x.test"))
CONFIG = Config({"gondecourt": GONDECOURT}, mail_relay="relais.test", mail_sender="p@x.test", url="https://p.test")


def letter(kind: str = "pieces", number: int = 1, **track: Any) -> Letter:
    data = {"type": kind, "numero": "2026_001", "id_acte": "", "date": "", "recu_le": "2026-03-02"}
    return Letter(number, "gondecourt", number, data, track, CAME, {}, clocks(kind, CAME.date(), None, None))


def marks(one: Letter, days: int) -> list[str]:
    return [mark for mark, _subject, _text in due(one, CAME.date() + timedelta(days=days), CONFIG)]


def test_who_comes_after_is_told_of_what_is_open_and_not_of_what_is_over() -> None:
    assert marks(letter("defere", **TAKEN), 14) == ["annonce"]
    assert marks(letter("defere", **TAKEN), 15) == []
    assert "annonce" in marks(letter(**TAKEN), 45)


def test_an_answer_of_which_the_connector_says_nothing_is_told() -> None:
    answer = {"cle": "c", "etat": "a_envoyer", "le": "2026-04-27T10:00:00+02:00"}
    assert marks(letter(**TAKEN, reponse=answer), 58) == []
    assert marks(letter(**TAKEN, reponse=answer), 59) == ["depart-c-3"]
    assert marks(letter(**TAKEN, reponse=answer), 64) == ["depart-c-7"]
    assert marks(letter(**TAKEN, reponse=answer | {"etat": "acquittee"}), 64) == []


class Known:
    """Five letters."""

    def waiting(self) -> list[Letter]:
        return [letter(number=number) for number in range(5)]

    def note_mail(self, number: int, mark: str) -> None:
        """Nothing is kept."""


@pytest.mark.parametrize(
    ("error", "tries"), [(TimeoutError("relais"), 1), (smtplib.SMTPRecipientsRefused({"maire@x.test": (550, b"")}), 10)]
)
def test_a_relay_that_is_away_is_waited_for_once_a_turn(
    monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    tried = []

    def write(_post: Post, address: str, *_message: str) -> None:
        tried.append(address)
        raise error

    monkeypatch.setattr(Post, "write", write)
    assert Post(CONFIG, cast(Letters, Known())).send(date(2026, 3, 2)) == 0
    assert len(tried) == tries


ODD = [
    "hélène@x.test",
    "a@x.test, b@y.test",
    "a@x.test\nBcc: b@y.test",
    "maire@mairie-é.test",
    "",
    "maire",
    "a..b@x.test",
]


class _Relay:
    """A relay without SMTPUTF8, as smtplib speaks to it."""

    sent: list[str]

    def __init__(self, *_given: Any, **_more: Any) -> None:
        """Answers at once."""

    def __enter__(self) -> _Relay:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing to close."""

    def send_message(self, message: EmailMessage) -> None:
        to = str(message["To"])
        if not to.isascii():
            raise smtplib.SMTPNotSupportedError("SMTPUTF8")
        _Relay.sent.append(to)


@pytest.mark.parametrize("odd", ODD)
def test_an_address_that_cannot_be_written_to_keeps_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, odd: str
) -> None:
    _Relay.sent = []
    monkeypatch.setattr("passerelle.mail.smtplib.SMTP", _Relay)
    odd_one = replace(GONDECOURT, mails=(odd, "dgs@x.test"))
    config = replace(CONFIG, communes={"gondecourt": odd_one})
    assert Post(config, cast(Letters, Known())).send(date(2026, 3, 2)) == 5
    assert _Relay.sent == ["dgs@x.test"] * 5
    assert "corrigez le courriel de cette personne" in caplog.text and "\nBcc" not in caplog.messages[0]


class _Store:
    """Remembers who was recalled."""

    def __init__(self) -> None:
        self.told: set[Any] = set()

    @contextmanager
    def transaction(self) -> Iterator[_Store]:
        yield self

    def execute(self, query: str, values: Any) -> Any:
        known = values in self.told
        if query.startswith("INSERT"):
            self.told.add(values)
        return mock.Mock(fetchone=lambda: 1 if known else None)


@pytest.mark.parametrize("odd", ODD)
def test_a_recall_that_cannot_be_written_keeps_no_other(monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    _Relay.sent = []
    monkeypatch.setattr("passerelle.mail.smtplib.SMTP", _Relay)
    recall = _recall(monkeypatch, odd)
    assert recall.send(date(2026, 3, 2)) == 2
    assert _Relay.sent == ["dgs@x.test", "maire@loos.test"]


def test_a_relay_that_leaves_at_one_address_is_asked_of_the_others_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hour, the first one ended the turn: the others were never recalled."""
    recall, sent = _recall(monkeypatch, "piege@x.test"), []

    def write(_post: Post, address: str, *_message: str) -> None:
        if address == "piege@x.test":
            raise smtplib.SMTPServerDisconnected("x")
        sent.append(address)

    monkeypatch.setattr(Post, "write", write)
    assert [recall.send(date(2026, 3, 2)) for _turn in range(3)] == [0, 1, 0]
    assert sent == ["maire@loos.test"]


def _recall(monkeypatch: pytest.MonkeyPatch, odd: str) -> Recall:
    """Of two communes whose acts wait, the first with an odd address."""
    loos = replace(GONDECOURT, slug="loos", mails=("maire@loos.test",))
    towns = {"gondecourt": replace(GONDECOURT, mails=(odd, "dgs@x.test")), "loos": loos}
    config = replace(CONFIG, communes=towns)
    act = mock.Mock(number="1")
    monkeypatch.setattr("passerelle.mail.executory.unpublished", lambda *_given: [act])
    monkeypatch.setattr("passerelle.mail.executory.publicity", lambda *_given: mock.Mock(late=lambda _day: True))
    return Recall(config, cast(Store, _Store()), Post(config, cast(Letters, Known())))


def test_an_address_of_the_configuration_that_cannot_be_written_to_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = {"slug": "loos", "nom": "Loos", "siren": "215903469", "services": [], "courriels": [*ODD, "dgs@loos.test"]}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"serveurs": {}, "communes": [one], "siren": "1", "releve": 60, "travaux": 1}))
    assert load(path).communes["loos"].mails == ("dgs@loos.test",)
    assert len(caplog.messages) == len(ODD) and all("À faire" in one for one in caplog.messages)
