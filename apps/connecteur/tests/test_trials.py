"""A machine that proves a version until it is proved: how many test acts reach the TdT, and when."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tdt_connector import proof, trials
from tdt_connector.journal import Journal, State
from tdt_connector.trials import Trials

from apps.connecteur.tests.folder_tdt import FolderDesk, FolderTdt
from testbed.connector import SIREN, Authority, Commune

HOUR = dt.timedelta(hours=1)
ASIDE = (State.CHECKED, State.INTENT, State.SENT)


class Hours:
    """A version that is proved now, then hours later; each test act has a number of its own."""

    def __init__(self, folder: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commune = Commune(folder / "c", "https://tdt.test", authority)
        self.driver = FolderTdt(FolderDesk(folder / "tdt").folder, SIREN)
        self.clock = dt.timedelta()
        monkeypatch.setattr(proof, "datetime", SimpleNamespace(now=lambda: dt.datetime.now() + self.clock))
        monkeypatch.setattr(proof, "_LOOK", 0.01)

    def prove(self, version: str = "v12", production: bool = False) -> dict[str, Any]:
        """The proof of the act, by a process of its own as far as its memory goes."""
        found = proof.prove(self.commune.config, self.driver, production, 0.02, version)
        return next(one for one in found["preuves"] if one["cle"] == "acte")

    def left(self) -> list[str]:
        """Numbers of the acts that left."""
        return sorted(path.stem for path in self.commune.config.folder_depot.glob("TEST_*.yml"))

    def becomes(self, number: str, *states: State, **values: Any) -> None:
        """What the service made of an act."""
        with Journal(self.commune.config.journal) as journal:
            row = next(iter(journal.find(number)), None) or journal.add(number, "acte", [])
            for state in states:
                row = journal.move(row, state, numero=number, **(values if state is states[-1] else {}))
            journal.note(row, classe=1)


@pytest.fixture
def hours(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Hours:
    return Hours(tmp_path, authority, monkeypatch)


def test_an_act_on_its_way_is_waited_for_and_no_other_leaves(hours: Hours) -> None:
    assert hours.prove()["verdict"] == "echec"
    [number] = hours.left()
    hours.becomes(number, *ASIDE, transaction_tdt=7)
    for _ in range(5):
        hours.clock += HOUR
        assert "« envoyé »" in hours.prove()["detail"]
    hours.becomes(number, State.ACKNOWLEDGED, idacte="059-X", aracte_le="2026-01-15")
    hours.clock += HOUR
    assert hours.prove()["verdict"] == "ok"
    hours.clock += HOUR  # another proof failed meanwhile: what proved does not leave again
    assert hours.prove()["mesures"]["numero"] == number
    assert hours.left() == [number]


def test_three_acts_at_most_and_further_and_further_apart(hours: Hours) -> None:
    seen: list[tuple[str, int]] = []
    for hour in (0, 1, 5, 6, 7, 29, 30, 31, 60, 400):
        hours.clock = hour * HOUR
        told = hours.prove()
        assert told["verdict"] == "echec"
        if len(hours.left()) > len(seen):
            [new] = {*hours.left()} - {number for number, _ in seen}
            seen.append((new, hour))
            hours.becomes(new, *ASIDE, State.REFUSED, transaction_tdt=len(seen))
    assert [at for _, at in seen] == [0, 6, 30]
    assert told["detail"].startswith("3 actes de test de cette version n'ont rien prouvé : aucun autre ne part")
    assert "fab flotte.publier" in told["detail"]
    hours.prove("v13")
    assert len(hours.left()) == 4


def test_the_wait_is_told(hours: Hours) -> None:
    hours.prove()
    hours.becomes(hours.left()[0], State.REJECTED)
    hours.clock = 2 * HOUR
    assert hours.prove()["detail"] == (
        "1 acte de test de cette version n'a rien prouvé : le prochain part au plus tôt dans 4 h"
    )


def test_an_act_counts_before_it_leaves(hours: Hours, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine stops between the two, each time."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(proof, "_deposit", stop)
    with pytest.raises(KeyboardInterrupt):
        hours.prove()
    assert hours.prove()["verdict"] == "echec"  # of the act that it did not see leave
    assert hours.left() == []
    hours.clock = 21 * HOUR
    with pytest.raises(KeyboardInterrupt):
        hours.prove()


def test_one_that_was_cancelled_at_a_real_tdt_proves_its_version_for_good(
    hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[int] = []
    monkeypatch.setattr(hours.driver, "cancel_act", cancelled.append)
    hours.prove(production=True)
    hours.becomes(hours.left()[0], *ASIDE, transaction_tdt=7)
    assert hours.prove(production=True)["verdict"] == "ok"
    hours.becomes(hours.left()[0], State.CANCELLED)
    for _ in range(3):
        hours.clock += 20 * HOUR
        assert hours.prove(production=True)["verdict"] == "ok"
    assert cancelled == [7] and len(hours.left()) == 1


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", '{"version": "v12", "essais": 2, "dernier": "hier"}'])
def test_a_damaged_count_sends_nothing(hours: Hours, text: str) -> None:
    file = hours.commune.config.folder_state / trials.FILE
    file.write_text(text)
    assert "est abîmé : aucun acte de test ne part" in hours.prove()["detail"]
    assert hours.left() == [] and file.read_text() == text


def test_a_clock_that_was_wrong_by_a_year_holds_nothing_back(hours: Hours) -> None:
    hours.clock = 365 * 24 * HOUR
    hours.prove()
    hours.becomes(hours.left()[0], State.REJECTED)
    hours.clock = dt.timedelta()
    hours.prove()
    assert len(hours.left()) == 2
    assert Trials(hours.commune.config.folder_state, "v12").refusal(dt.datetime.now(dt.UTC))
