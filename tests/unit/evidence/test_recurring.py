"""A timer that finds the same fault each night is red once; a person is always told; what returns is news."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from creatic.evidence import recurring
from creatic.evidence.store import TIMER_VARIABLE

DAY = dt.date(2026, 11, 25)
OLD = "ged : disque /srv plein à 95 %"


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMER_VARIABLE, "matin")


@pytest.mark.usefixtures("timer")
def test_a_fault_that_lasts_is_red_once_and_has_its_age(tmp_path: Path) -> None:
    assert recurring.judge(tmp_path, "matin", [OLD], DAY).is_red
    later = DAY + dt.timedelta(days=3)
    again = recurring.judge(tmp_path, "matin", ["ged : disque /srv plein à 97,5 %"], later)
    assert not again.is_red
    assert again.lines(later) == ["Déjà dit, depuis le 25/11/2026 (3 j) : ged : disque /srv plein à 97,5 %"]


@pytest.mark.usefixtures("timer")
@pytest.mark.parametrize("names", [("sae1", "sae2"), ("loos-pc-1", "loos-pc-2"), ("10.59.0.1", "10.59.0.2")])
def test_the_same_fault_of_another_machine_is_news(tmp_path: Path, names: tuple[str, str]) -> None:
    one, other = (f"{name} : ne répond pas depuis 3 jours" for name in names)
    recurring.judge(tmp_path, "matin", [one], DAY)
    assert recurring.judge(tmp_path, "matin", [one, other], DAY).news == (other,)


@pytest.mark.usefixtures("timer")
def test_another_machine_is_news_beside_it(tmp_path: Path) -> None:
    recurring.judge(tmp_path, "matin", [OLD], DAY)
    found = recurring.judge(tmp_path, "matin", [OLD, "relais : ne répond pas"], DAY)
    assert found.is_red and found.news == ("relais : ne répond pas",)


@pytest.mark.usefixtures("timer")
def test_what_is_mended_and_returns_is_news(tmp_path: Path) -> None:
    for faults, red in (([OLD], True), ([], False), ([OLD], True), ([OLD], False)):
        assert recurring.judge(tmp_path, "matin", faults, DAY).is_red is red


@pytest.mark.usefixtures("timer")
def test_commands_know_their_own(tmp_path: Path) -> None:
    recurring.judge(tmp_path, "matin", [OLD], DAY)
    assert recurring.judge(tmp_path, "sauvegarde.etat", [OLD], DAY).is_red
    assert not recurring.judge(tmp_path, "matin", [OLD], DAY).is_red


def test_a_person_is_always_told_and_makes_nothing_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TIMER_VARIABLE, raising=False)
    assert recurring.judge(tmp_path, "matin", [OLD], DAY).is_red
    assert not (tmp_path / recurring.FILE).exists()
    monkeypatch.setenv(TIMER_VARIABLE, "matin")
    assert recurring.judge(tmp_path, "matin", [OLD], DAY).is_red
    monkeypatch.delenv(TIMER_VARIABLE)
    assert recurring.judge(tmp_path, "matin", [OLD], DAY).is_red
    assert not recurring.judge(tmp_path, "matin", [], DAY).is_red


@pytest.mark.usefixtures("timer")
@pytest.mark.parametrize("held", ["", "[]", "{", '{"matin": []}', '{"matin": {"ged : disque /srv plein à … %": 3}}'])
def test_a_damaged_memory_makes_all_news(tmp_path: Path, held: str) -> None:
    (tmp_path / recurring.FILE).write_text(held)
    assert recurring.judge(tmp_path, "matin", [OLD], DAY).is_red
    assert not recurring.judge(tmp_path, "matin", [OLD], DAY).is_red
