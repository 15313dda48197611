"""An ARActe is of this act, and its date one that may be."""

from __future__ import annotations

from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from tdt_connector.receipt import ReceiptError, parse
from tdt_simulator import messages
from tdt_simulator.config import Authority

SIREN, DAY = "215902669", date(2026, 1, 15)
ACT: Any = SimpleNamespace(date=DAY.isoformat(), number="2026_001", nature_short="DE")


def receipt(received: date = DAY) -> bytes:
    act = messages.Acte(ACT.number, 1, "DE", "Budget", DAY, "7.1", DAY, False, "x.pdf")
    identifier = messages.acte_id(Authority(SIREN, "Gondecourt", "059", "5"), ACT.number, "DE", DAY)
    return messages.receipt(act, identifier, received, DAY)


@pytest.mark.parametrize("received", [DAY - timedelta(1), DAY, date.today()])
def test_the_receipt_of_the_act(received: date) -> None:
    assert parse(receipt(received), ACT, SIREN).received_on == received.isoformat()


@pytest.mark.parametrize(
    "received", [DAY - timedelta(2), date(1, 1, 1), date.today() + timedelta(3), date(9999, 12, 31)]
)
def test_a_receipt_of_before_the_act_or_of_the_future(received: date) -> None:
    with pytest.raises(ReceiptError, match="avant l'acte"):
        parse(receipt(received), ACT, SIREN)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'DateReception="2026-01-15"', b'DateReception="2026-W03-4"', "date de réception valide"),
        (b'DateReception="2026-01-15"', b'DateReception="20260115"', "date de réception valide"),
        (b'NumeroInterne="2026_001"', b'NumeroInterne="2026_002"', "contient un autre acte"),
        (b"-2026_001-", b"-2026_002-", "concerne un autre acte"),
    ],
)
def test_a_receipt_of_something_else(old: bytes, new: bytes, words: str) -> None:
    content = receipt()
    assert old in content
    with pytest.raises(ReceiptError, match=words):
        parse(content.replace(old, new), ACT, SIREN)
