"""An ARActe is of this act, and its date one that may be."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tdt_connector import prefecture
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
    ("written", "day"),
    [
        ("2026-01-15+01:00", "2026-01-15"),
        ("2026-01-15Z", "2026-01-15"),
        ("2026-01-15-05:00", "2026-01-15"),
        (" 2026-01-15 ", "2026-01-15"),
        ("2026-01-15T09:12:01+01:00", "2026-01-15"),
        ("2026-01-15T23:30:00Z", "2026-01-16"),
        ("2026-01-15T23:30:00.25", "2026-01-15"),
    ],
)
def test_a_date_may_say_its_time_zone(written: str, day: str) -> None:
    """xs:date allows it, and some préfectures' programs write it."""
    content = receipt().replace(b'DateReception="2026-01-15"', f'DateReception="{written}"'.encode())
    assert parse(content, ACT, SIREN).received_on == day
    version = b"ClassificationDateVersionEnCours>2026-01-15"
    assert version in content
    found = parse(content.replace(version, version.replace(b"2026-01-15", written.encode())), ACT, SIREN)
    assert str(found.classification) == day


@pytest.mark.parametrize(
    ("name", "where"),
    [("CourrierSimple", "head"), ("DemandePieceComplementaire", "head"), ("LettreObservations", "head"),
     ("DefereTA", "child")],
)  # fmt: skip # a case a line
@pytest.mark.parametrize("zone", ["", "Z", "+02:00"])
def test_a_letter_s_date_may_say_its_time_zone(tmp_path: Path, name: str, where: str, zone: str) -> None:
    day, uri = f"2026-07-25{zone}", "http://www.interieur.gouv.fr/ACTES#v1.1-20040216"
    inside = f"<a:DateDepot>{day}</a:DateDepot>" if where == "child" else ""
    given = f'a:DateCourrierPref="{day}"' if where == "head" else ""
    path = tmp_path / "message.xml"
    path.write_text(f'<a:{name} xmlns:a="{uri}" a:IDActe="x" {given}>{inside}</a:{name}>')
    message = prefecture.read([path])
    assert (message.day, message.fault) == ("2026-07-25", "")


@pytest.mark.parametrize(
    "written",
    ["2026-01-15+99:00", "2026-02-30Z", "2026-01-15+01", "2026-01-15T09:12+01:00", "+", "0001-01-01T00:00:00+14:00",
     "9999-12-31T23:59:59-14:00"],
)  # fmt: skip # a case a word
def test_a_time_zone_that_is_none_is_no_date(written: str) -> None:
    with pytest.raises(ReceiptError, match="date de réception valide"):
        parse(receipt().replace(b'DateReception="2026-01-15"', f'DateReception="{written}"'.encode()), ACT, SIREN)


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
