"""Mails about the préfecture's letters: who is told, when, and what a relay that is away keeps."""

from __future__ import annotations

import smtplib
from datetime import date, datetime, timedelta
from typing import Any, cast

import pytest
from passerelle.clocks import clocks
from passerelle.config import Commune, Config
from passerelle.letters import PARIS, Letter, Letters
from passerelle.mail import Post, due

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

    def told(self, number: int, mark: str) -> None:
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
