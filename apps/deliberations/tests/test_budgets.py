"""A budget in the council's path: its XML at the door, who votes it, and what the page of the meetings says of it."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from creatic.deliberations import budgets, frozen, hidden, rules

from apps.deliberations.tests import test_watch
from creatic_agent.budget import Done
from testbed.budget import make


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def settled(*told: tuple[str, str, str]) -> list[Done]:
    """Délibérations: subject, day of the vote, day of the reception."""
    found = (budgets.done(one, day(held), day(received) if received else None) for one, held, received in told)
    return [one for one in found if one]


FIRST = day("2026-11-26")
VOTED = ("Budget primitif 2027", "2027-04-08", "2027-04-12")


def test_a_subject_without_a_budget_settles_nothing() -> None:
    assert (
        settled(("Dénomination d'une rue", "2027-04-08", ""), ("Affectation du résultat 2026", "2027-04-08", "")) == []
    )


def test_what_is_late_is_told_with_its_day_and_its_article() -> None:
    found = budgets.calendar(2027, 400, [], FIRST, day("2027-04-16"))
    assert found["retards"] == [
        "Vote : budget primitif 2027 : en retard, c'était à faire le 15 avril 2027 au plus tard (L1612-2)."
    ]
    assert [one["ton"] for one in found["lignes"]] == ["danger", "primary", "primary", "primary", "secondary"]
    assert found["lignes"][1]["etat"] == "à faire le 30 avril 2027 au plus tard"
    found = budgets.calendar(2027, 400, settled(VOTED), FIRST, day("2027-07-16"))
    assert [one.partition(" : en retard")[0] for one in found["retards"]] == [
        "Vote : compte financier unique 2026", "Transmission : compte financier unique 2026"
    ]  # fmt: skip # a list
    assert [one["etat"] for one in found["lignes"][:2]] == ["fait le 8 avril 2027", "fait le 12 avril 2027"]


def test_what_was_due_before_the_first_meeting_of_the_site_is_not_called_late() -> None:
    for first in (None, day("2027-09-02")):
        found = budgets.calendar(2027, 400, [], first, day("2027-09-10"))
        assert not found["retards"]
        assert {one["etat"] for one in found["lignes"][:4]} == {"avant les séances tenues ici"}


def test_the_debate_is_asked_of_3500_inhabitants_and_is_marked_as_unsettled() -> None:
    [first, *_others] = budgets.calendar(2027, 3500, settled(VOTED), FIRST, day("2027-04-20"))["lignes"]
    assert (first["article"], first["doute"]) == ("L2312-1", "non fixé")
    late = budgets.calendar(2027, 3500, settled(VOTED), FIRST, day("2027-04-20"))["retards"]
    assert any("a été voté sans débat" in one for one in late)
    debated = settled(("Débat d'orientation budgétaire", "2027-02-25", ""), VOTED)
    assert budgets.calendar(2027, 3500, debated, FIRST, day("2027-04-20"))["retards"] == []


def test_the_next_year_is_shown_from_october_on() -> None:
    assert budgets.years(day("2026-09-30")) == [2026]
    assert budgets.years(day("2026-10-01")) == [2026, 2027]
    found = budgets.calendar(2027, 400, settled(("BP", "2026-12-17", "")), FIRST, day("2026-12-31"))
    assert found["lignes"][0]["etat"] == "fait le 17 décembre 2026"


def test_a_vote_out_of_time_is_told_beside_its_limit() -> None:
    late = settled(("Vote du budget 2027", "2027-04-29", ""))
    [vote, sent, *_] = budgets.calendar(2027, 400, late, FIRST, day("2027-05-03"))["lignes"]
    assert (vote["etat"], vote["ton"]) == ("fait le 29 avril 2027, après le 15 avril 2027", "warning")
    assert sent["ton"] == "danger"


def test_a_budget_is_never_kept_from_the_prefecture() -> None:
    assert "se transmet toujours" in rules.stays_problem("personnel", "DM n°1", False)
    assert rules.stays_problem("personnel", "Débat d'orientation budgétaire", False) == ""


# -- its XML, at the door

SIREN, HELD = "215902669", day("2026-04-09")
BP = make(sealed=False)


@pytest.mark.parametrize(
    ("content", "subject", "said"),
    [
        (BP, "Budget primitif 2026", ""),
        (BP, "Vote du budget", ""),
        (BP, "Finances", ""),  # a subject that tells nothing of a budget is not compared
        (make(year="2025", sealed=False), "Budget primitif 2025", "Exer : exercice 2025, pour « Budget primitif »"),
        (make(year="2027", sealed=False), "Budget primitif 2026", "Exer : exercice 2027, et l'objet"),
        (BP, "DM n° 1", "NatDec : c'est « Budget primitif »"),
        (make(kind="02", before='<NumDec V="2"/>', sealed=False), "DM n° 1", "NumDec : n° 2, et l'objet"),
        (make(siret="21590374000011", sealed=False), "BP 2026", "IdColl : « 21590374000011 » n'est pas"),
        (b"%PDF-1.7", "BP 2026", "n'est pas un budget"),
        (b"<?xml version='1.0'?><PES_Aller/>", "BP 2026", "élément DocumentBudgetaire attendu"),
        (b"", "BP 2026", "n'est pas un budget"),
    ],
)
def test_the_xml_of_another_budget_is_told_at_the_door(content: bytes, subject: str, said: str) -> None:
    found = budgets.problems("../bp.xml", content, SIREN, HELD, subject)
    assert said in " ".join(found) if said else found == []
    assert all("« bp.xml »" in one for one in found)


def test_a_year_is_told_once() -> None:
    found = budgets.problems("bp.xml", make(year="2025", sealed=False), SIREN, HELD, "BP 2026")
    assert len(found) == 1 and "Exer" in found[0]


def test_the_budget_of_a_ccas_is_of_its_own_council() -> None:
    ccas = make(siret="26590266600014", sealed=False)
    assert budgets.problems("bp.xml", ccas, "265902666", HELD, "BP 2026") == []
    assert "IdColl" in budgets.problems("bp.xml", ccas, SIREN, HELD, "BP 2026")[0]


def test_once_voted_a_budget_is_sealed_and_no_project() -> None:
    said = " ".join(budgets.problems("bp.xml", BP, SIREN, HELD, voted=True))
    assert "Scellement : absent" in said
    project = make(block='<ProjetBudget V="true"/>')
    assert budgets.problems("bp.xml", project, SIREN, HELD) == []
    assert "c'est un projet" in budgets.problems("bp.xml", project, SIREN, HELD, voted=True)[0]
    assert budgets.problems("bp.xml", make(), SIREN, HELD, voted=True) == []


def test_a_budget_is_read_as_a_page() -> None:
    shown = budgets.page("bp.xml", make()).decode()
    assert "Budget primitif, exercice 2026" in shown and "450\u202f000,50" in shown
    with pytest.raises(hidden.UnfitDocumentError, match="n'est pas un budget"):
        budgets.page("bp.xml", b"<a/>")


def test_the_sealed_budget_replaces_its_project_until_the_act_leaves() -> None:
    voted = {frozen.STATE: "adopte"}
    waiting, gone = frozen.of_projet(voted, {}), frozen.of_projet(voted | {"suivi": "au_parapheur"}, {})
    assert waiting and gone
    assert (waiting.refused(["budget_xml"]), waiting.refused(["title"])) == ([], ["title"])
    assert gone.refused(["budget_xml"]) == ["budget_xml"]


@pytest.mark.parametrize("decided", [False, True])
def test_whatever_way_it_comes_it_is_judged(monkeypatch: pytest.MonkeyPatch, decided: bool) -> None:
    watch = test_watch.module(monkeypatch, "watch")
    state = {frozen.STATE: "adopte" if decided else "inscrit"}
    for name, value in {"BadRequest": test_watch.Refusal, "getRequest": lambda: None, "lock": lambda _: None,
                        "_last_snapshot": lambda _: state, "keep": lambda _: None}.items():  # fmt: skip # a table
        monkeypatch.setattr(watch, name, value)
    asked: list[bool] = []

    def wrong(voted: bool) -> list[str]:
        asked.append(voted)
        return ["Exer : exercice 2025"]

    projet: Any = SimpleNamespace(portal_type="projet", title="BP 2026", budget_problems=wrong)
    with pytest.raises(test_watch.Refusal, match=r"« BP 2026 » : Exer : exercice 2025\."):
        watch._check_changes(projet, ["budget_xml"])
    watch._check_changes(projet, ["rapporteur"])
    assert asked == [decided]


COUNCIL = ["Claire Dubois", "Amina Benali", "Bruno Carpentier"]


@pytest.mark.parametrize(
    ("head", "out", "president", "said"),
    [
        ("Claire Dubois", [], "Claire Dubois", "À noter : « Sortis pour ce vote »"),
        ("Claire Dubois", ["Claire Dubois"], "Claire Dubois", "À noter"),
        ("Claire Dubois", ["Claire Dubois"], "Amina Benali", "se retire au moment du vote : Amina Benali préside"),
        ("", [], "Amina Benali", "Préside : Amina Benali."),
        ("Claire Dubois", [], "", "À noter"),  # before it is open
        ("", [], "", "Comptes d'un ancien maire : le conseil élit qui préside ce point (L2121-14)."),
    ],
)
def test_who_leaves_and_who_presides_is_said_where_accounts_are_voted(
    head: str, out: list[str], president: str, said: str
) -> None:
    told = rules.accounts_said(head, rules.Attendance(COUNCIL, COUNCIL, [], out), president)
    assert said in told and "L2121-14" in told
