"""Delays of appeal, the préfet's and others', and the page where a commune reads them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passerelle import delays
from passerelle.clocks import Request, after, appeal, working
from passerelle.config import Config
from passerelle.files import Files
from passerelle.letters import PARIS, Letters
from passerelle.steps import FINISHED
from passerelle.store import Tracked, as_act

from testbed.chain import COMMUNES, World

from .test_records import acknowledge, bring

GONDECOURT = COMMUNES["gondecourt"]
CONFIG = replace(Config({}), communes=COMMUNES)
NOW = datetime(2026, 12, 3, tzinfo=UTC)


def act(track: dict[str, Any], **fields: Any) -> Tracked:
    data = {"circuit": "arrete", "nature": "2", "transmission": "oui", "numero": "2026_1", "objet": "Voirie"} | fields
    return as_act(
        {"reference": "x:1", "commune": "gondecourt", "donnees": data, "etape": FINISHED, "suivi": track,
         "blocage": "", "retard": "", "recu_le": NOW, "modifie_le": NOW}
    )  # fmt: skip # a row


def received(day: str) -> dict[str, Any]:
    return {"tdt": {"etat": "acquittee", "date_reception": day, "id_acte": "059-1"}}


def done(key: str, day: str, mode: str = "papier", **more: Any) -> dict[str, Any]:
    return {key: {"le": day, "mode": mode, **more}}


def ends(found: list[delays.Delay]) -> dict[str, str]:
    return {one.whose: one.last.isoformat() if one.last else "" for one in found}


# -- what is counted


@pytest.mark.parametrize(
    ("published", "last"),
    [
        ("2026-01-15", "2026-03-16"),  # the 15th of March is a Sunday: the day after, franc
        ("2026-02-10", "2026-04-13"),  # the 11th is a Saturday
        ("2026-02-05", "2026-04-07"),  # the 6th is Easter Monday
        ("2025-12-31", "2026-03-02"),  # no 31st of February; the 1st of March is a Sunday
        ("2027-12-31", "2028-03-01"),  # of a leap year
        ("2026-01-28", "2026-03-30"),  # clocks go forward on the 29th, a Sunday
        ("2026-08-24", "2026-10-26"),  # clocks go back on the 25th, a Sunday
        ("2026-10-31", "2027-01-04"),  # New Year's Day, then a week-end
        ("2026-05-13", "2026-07-15"),  # the 14th of July
    ],
)
def test_third_parties_have_two_free_months_from_publication(published: str, last: str) -> None:
    assert appeal(date.fromisoformat(published)).isoformat() == last
    found = delays.of(act(received("2026-01-02") | done("publication", published)), CONFIG)
    assert ends(found)["Tiers"] == last


@given(st.dates(date(1900, 1, 1), date(2900, 12, 31)))
def test_no_delay_ends_early_nor_on_a_day_off(day: date) -> None:
    last = appeal(day)
    assert after(day) < last <= after(day) + timedelta(days=6)
    assert last == working(last)
    assert appeal(day + timedelta(days=1)) >= last


def test_the_prefet_s_runs_from_his_reception_and_theirs_from_publicity() -> None:
    found = delays.of(act(received("2026-11-20") | done("publication", "2026-11-24")), CONFIG)
    assert ends(found) == {"Préfet": "2027-01-21", "Tiers": "2027-01-25"}
    assert [one.law for one in found] == ["CGCT, L2131-6", "CJA, R421-1"]


def test_a_letter_of_the_prefecture_moves_the_prefet_s_alone() -> None:
    asked = [Request("pieces", date(2026, 12, 1), date(2026, 12, 10))]
    found = delays.of(act(received("2026-11-20") | done("publication", "2026-11-24")), CONFIG, asked)
    assert ends(found) == {"Préfet": "2027-02-11", "Tiers": "2027-01-25"}


def test_what_nothing_began_does_not_run() -> None:
    """Nobody is told that a delay is over, or will be, while it may not have begun."""
    waits = delays.of(act({}), CONFIG)
    assert ends(waits) == {"Préfet": "", "Tiers": ""}
    stays = delays.of(act(done("publication", "2026-11-24"), transmission="non"), CONFIG)
    assert ends(stays) == {"Préfet": "", "Tiers": "2027-01-25"} and "ne se transmet" not in stays[1].why
    urgent = delays.of(act(received("2026-11-20") | done("publication", "2026-11-24", "urgence")), CONFIG)
    assert ends(urgent)["Tiers"] == "" and "mise en ligne" in urgent[1].why


def test_an_individual_act_runs_for_who_it_is_about() -> None:
    track = received("2026-11-20") | done("notification", "2026-11-24", "remise")
    found = delays.of(act(track, nature="3"), CONFIG)
    assert ends(found) == {"Préfet": "2027-01-21", "Tiers": "", "Destinataire": "2027-01-25"}
    assert "R421-5" in found[2].law and "voies de recours" in found[2].why
    waits = delays.of(act(received("2026-11-20"), nature="3"), CONFIG)
    assert ends(waits)["Destinataire"] == "" and "notifié" in waits[2].why


def test_a_deliberation_whose_annexes_are_not_on_line_is_not_published_to_third_parties() -> None:
    files = [{"nom": "plan.pdf", "sha256": "a" * 64}]
    told = {"circuit": "deliberation", "nature": "", "uid": "u", "annexes": files}
    part = done("publication", "2026-11-24", "electronique", annexes=0)
    assert ends(delays.of(act(received("2026-11-20") | part, **told), CONFIG))["Tiers"] == ""
    whole = done("publication", "2026-11-24", "electronique", annexes=1, entier_le="2026-11-30")
    assert ends(delays.of(act(received("2026-11-20") | whole, **told), CONFIG))["Tiers"] == "2027-02-01"


def test_accounts_and_what_was_eliminated_have_none() -> None:
    assert delays.of(act(received("2026-11-20"), circuit="pes"), CONFIG) == []
    assert delays.of(act(received("2026-11-20"), eliminee="1"), CONFIG) == []


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "bientôt", "", "2026-02-30"])
def test_a_day_that_is_none_breaks_nothing(day: str) -> None:
    track = received(day) | done("publication", day) | done("notification", day)
    assert set(ends(delays.of(act(track, nature="6"), CONFIG)).values()) == {""}


@pytest.mark.parametrize(
    ("moment", "state"),
    [
        (datetime(2027, 1, 25, 23, 59, tzinfo=PARIS), "court"),  # the last day is counted, until midnight in France
        (datetime(2027, 1, 25, 22, 59, tzinfo=UTC), "court"),
        (datetime(2027, 1, 25, 23, 0, tzinfo=UTC), "échu"),
        (datetime(2027, 1, 26, 0, 0, tzinfo=PARIS), "échu"),
    ],
)
def test_a_delay_ends_at_midnight_in_france(moment: datetime, state: str) -> None:
    [_prefet, third] = delays.of(act(received("2026-11-20") | done("publication", "2026-11-24")), CONFIG)
    assert third.state(moment.astimezone(PARIS).date()) == state


# -- the page


def keep(world: World, reference: str, commune: str, track: dict[str, Any], **fields: Any) -> None:
    data = {"circuit": "arrete", "nature": "2", "transmission": "oui", "numero": reference, "objet": "Voirie"} | fields
    with world.store.transaction() as connection:
        world.store.add(connection, reference, commune, data, FINISHED)
        world.store.change(connection, reference, track=track)


def rows(world: World, slug: str = "gondecourt") -> list[str]:
    letters = Letters(world.store, Files(world.config.folder))
    found = delays.shown(world.store, letters, world.config, world.config.communes[slug], NOW.date())
    return [str(one["reference"]) for one in found]


def test_the_nearest_end_is_first_and_what_ended_long_ago_is_gone(world: World) -> None:
    keep(world, "x:late", "gondecourt", received("2026-09-15"))  # until the 16th of November
    keep(world, "x:old", "gondecourt", received("2026-06-15"))
    keep(world, "x:far", "gondecourt", received("2026-12-01"))
    keep(world, "x:near", "gondecourt", received("2026-10-05"))
    keep(world, "x:again", "gondecourt", received("2026-06-16") | done("publication", "2026-11-02"))
    keep(world, "x:none", "gondecourt", {})
    keep(world, "x:other", "la-madeleine", received("2026-12-01"))
    assert rows(world) == ["x:near", "x:again", "x:far", "x:late"]


def test_no_more_is_read_of_an_act_than_what_is_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thousand acts with the visas of each are a hundred megabytes."""
    heavy = {"visas": {"gestes": ["x" * 200] * 300}, "seance": {"pieces": ["x" * 200] * 300}, "dossier": 1}
    part = done("publication", "2026-11-24", "electronique", annexes=2, entier_le="2026-11-30")
    data = {"circuit": "deliberation", "nature": "", "uid": "u", "annexes": [{"nom": "plan.pdf" * 90}] * 2}
    keep(world, "x:heavy", "gondecourt", received("2026-11-20") | part | heavy, **data)
    read: list[dict[str, Any]] = []

    def as_read(row: dict[str, Any]) -> Tracked:
        read.append(row)
        return as_act(row)

    monkeypatch.setattr(delays, "as_act", as_read)
    whole = world.store.get("x:heavy")
    assert whole is not None
    letters = Letters(world.store, Files(world.config.folder))
    [told] = delays.shown(world.store, letters, world.config, GONDECOURT, NOW.date())
    assert told == delays.told(whole, delays.of(whole, world.config), NOW.date())
    assert len(str(read)) < 2000


def test_agents_of_a_commune_read_theirs_and_nobody_else(world: World, ask: Any) -> None:
    reference = bring(world, "parapheur:1", nature="2", transmission="oui")
    acknowledge(world, reference)
    page = ask("poste", "/delais")
    assert page.status_code == 200 and "Délais de recours contre les actes" in page.text
    for who in ("autre-poste", "poste-ccas"):
        other = ask(who, "/delais")
        assert other.status_code == 403 or "parapheur%3A1" not in other.text
    for who in ("groupement", "connecteur", "etranger"):
        assert ask(who, "/delais").status_code == 403, who
    shown = ask("poste", f"/acte?reference={reference}").text
    assert "Délais de recours" in shown and "pas encore publié" in shown
    assert '<a href="/delais">' in ask("poste", "/").text
