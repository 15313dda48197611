"""An answer to the préfet: what its troubles tell, and what they do not change."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
from tdt_connector import answers
from tdt_connector.config import Config
from tdt_connector.contact import Contact
from tdt_connector.driver import RemoteState, RemoteStatus
from tdt_connector.errors import Denied, Refused, Unreachable
from tdt_connector.journal import Journal
from tdt_connector.part import Bench

KEY = f"{answers.ANSWERS}{'a' * 32}"


class Case:
    """An answer in the journal, and a TdT of which each call is given."""

    def __init__(self, folder: Path) -> None:
        self.config = Config("https://tdt.test", "215902669", "059", dossier=folder)
        self.journal, self.driver = Journal(folder / "journal.sqlite"), Mock()
        self.document = folder / "reponse" / "1.pdf"
        self.document.parent.mkdir()
        self.document.write_bytes(b"%PDF-1.4")

    def work(self, state: str) -> dict[str, Any]:
        one = {"lettre": 7, "type": "pieces", "sens": "refus", "acte": 3, "etat": state}
        self.journal.set_value(KEY, json.dumps(one | {"fichiers": [str(self.document)], "transaction": 9}))
        contact = Contact(self.config, self.journal)
        bench = Bench(self.config, self.journal, self.driver, contact, lambda step: None, threading.Event())
        answers.Answers(bench).work()
        return cast(dict[str, Any], json.loads(self.journal.value(KEY)))


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    """A connector's answers."""
    made = Case(tmp_path)
    yield made
    made.journal.close()


@pytest.mark.parametrize("error", [Unreachable("le TdT est éteint.", "tcp"), Denied("le certificat est révoqué.")])
def test_a_tdt_that_takes_no_answer_is_no_contact_made(case: Case, error: Exception) -> None:
    case.driver.answer.side_effect = error
    one = case.work(answers.TO_SEND)
    assert (one["etat"], one["essais"]) == (answers.TO_SEND, 0)
    assert (one["prochain"] > time.time()) == isinstance(error, Denied)
    assert case.journal.value("contact_erreur") == str(error) and not case.journal.value("contact_le")


def test_an_answer_that_left_is_asked_about_until_its_receipt_is_kept(case: Case) -> None:
    case.driver.answer_status.return_value = RemoteStatus(4, RemoteState.ACKNOWLEDGED, receipt=b"<a/>")
    away = case.document.parent.rename(case.document.parent.with_name("ailleurs"))
    assert case.work(answers.SENT)["etat"] == answers.SENT
    away.rename(case.document.parent)
    case.driver.answer_status.side_effect = [Refused("maintenance.", "ko"), case.driver.answer_status.return_value]
    assert case.work(answers.SENT)["etat"] == answers.SENT
    assert case.work(answers.SENT)["etat"] == answers.RECEIPTED
