"""What no machine proves: told of each commune that transmits, never taken for done."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import pytest

from creatic.registry import formalities

TODAY = dt.date(2026, 11, 28)
FILE = "communes/gondecourt.yml"
DONE = {
    key: {"date": "2026-03-02", "document": f"{key}.pdf"}
    for key in ("deliberation", "convention_prefet", "compte_tdt", "accord_dgfip")
}
OWN = {"certificat": {"fichier": "a.p12", "secret": "a.pass"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for key in DONE:
        (tmp_path / f"{key}.pdf").write_bytes(key.encode())
    return tmp_path


def states(folder: Path, bench: bool = False, **changes: Any) -> dict[str, Any]:
    data = {"services": ["teletransmission"], "formalites": DONE, "connecteur": OWN, **changes}
    return {one["cle"]: one for one in formalities.judge(data, folder, file=FILE, bench=bench)}


def wrong(folder: Path, **changes: Any) -> list[str]:
    data = {"formalites": {**DONE, **changes}}
    return [str(one) for one in formalities.problems(data, folder, file=FILE, today=TODAY)]


def test_all_done_with_the_digests_of_the_documents(folder: Path) -> None:
    found = states(folder)
    assert {one["etat"] for one in found.values()} == {"faite"}
    assert found["convention_prefet"]["sha256"] == hashlib.sha256(b"convention_prefet").hexdigest()
    assert [*found][-1] == "certificat_rgs" and wrong(folder) == []


@pytest.mark.parametrize("key", DONE)
def test_each_is_missed(folder: Path, key: str) -> None:
    left = {name: given for name, given in DONE.items() if name != key}
    found = states(folder, formalites=left)
    assert [name for name, one in found.items() if one["etat"] == "manque"] == [key]
    assert f"formalites.{key}" in found[key]["remede"] and FILE in found[key]["remede"]


@pytest.mark.parametrize("more", [{"document": "compte_tdt.pdf"}, {"sans_objet": "x"}])
def test_a_day_to_come_is_not_done(folder: Path, more: dict[str, str]) -> None:
    """Rolled out with others, its commune was told ready, in evidence that is signed."""
    found = states(folder, formalites=DONE | {"compte_tdt": {"date": "2999-01-01", **more}})
    assert [name for name, one in found.items() if one["etat"] == "manque"] == ["compte_tdt"]
    assert "2999-01-01" in found["compte_tdt"]["raison"] and FILE in found["compte_tdt"]["remede"]


def test_a_commune_that_says_nothing_lacks_all(folder: Path) -> None:
    data: dict[str, Any] = {"services": ["teletransmission"]}
    found = formalities.judge(data, folder, file=FILE, bench=False)
    assert [one["etat"] for one in found] == ["manque"] * 5
    assert formalities.judge(data, folder, file=FILE, bench=True) == []


@pytest.mark.parametrize("content", [None, b""])
def test_a_document_that_is_not_there_shows_nothing(folder: Path, content: bytes | None) -> None:
    document = folder / "deliberation.pdf"
    document.unlink() if content is None else document.write_bytes(content)
    assert states(folder)["deliberation"]["etat"] == "manque"
    [told] = wrong(folder)
    assert "formalites.deliberation.document" in told and "« deliberation.pdf »" in told


def test_the_groupement_s_certificate_is_no_rgs_outside_the_bench(folder: Path) -> None:
    assert states(folder, connecteur={})["certificat_rgs"]["etat"] == "manque"
    assert "certificat_rgs" not in states(folder, bench=True, connecteur={})


def test_who_sends_no_accounts_says_so(folder: Path) -> None:
    reason = {"sans_objet": "la commune n'envoie pas de flux comptables"}
    found = states(folder, formalites={**DONE, "accord_dgfip": reason})["accord_dgfip"]
    assert (found["etat"], found["raison"]) == ("sans_objet", reason["sans_objet"])
    assert wrong(folder, accord_dgfip=reason) == []


def test_who_does_not_transmit_settles_nothing(folder: Path) -> None:
    assert states(folder, services=["ged"]) == {}


def test_what_is_to_come_is_not_done(folder: Path) -> None:
    [told] = wrong(folder, compte_tdt={"date": "2026-11-29", "document": "compte_tdt.pdf"})
    assert "formalites.compte_tdt.date : la date « 2026-11-29 » est à venir" in told
