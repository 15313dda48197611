"""A budget is recognised by its words, and its calendar says what is late on any day, at the hour of France."""

from __future__ import annotations

import datetime
import re

import pytest

from creatic_agent import budget
from creatic_agent.budget import (
    ACCOUNTS,
    ADDITIONAL,
    AMENDING,
    DEBATE,
    PRIMARY,
    UNIQUE,
    Decision,
    Done,
    Kind,
    State,
)  # fmt: skip # a list of words
from creatic_agent.law import Standing


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("subject", "kind", "year", "number"),
    [
        ("BP 2027", PRIMARY, 2027, ""),
        ("Budget primitif 2027", PRIMARY, 2027, ""),
        ("BUDGET PRIMITIF DE L'EXERCICE 2027", PRIMARY, 2027, ""),
        ("Exercice 2027 – vote du budget primitif", PRIMARY, 2027, ""),
        ("Vote du budget 2027", PRIMARY, 2027, ""),
        ("Budget annexe de l'eau 2027", PRIMARY, 2027, ""),
        ("Approbation du budget primitif 2027, après le débat du 12 février 2026", PRIMARY, 2027, ""),
        ("Vote du budget primitif 2027 et reprise des résultats 2026", PRIMARY, 2027, ""),
        ("DM n°1", AMENDING, 0, "1"),
        ("DM n° 02 au budget primitif 2026", AMENDING, 2026, "2"),
        ("DM1", AMENDING, 0, "1"),
        ("DM nº 3 2026", AMENDING, 2026, "3"),
        ("DM 2026-1", AMENDING, 2026, "1"),
        ("DM 2026", AMENDING, 2026, ""),
        ("De\u0301cision modificative nume\u0301ro 4 – budget principal 2026", AMENDING, 2026, "4"),
        ("Décision\N{NO-BREAK SPACE}modificative du budget annexe 2026, n° 2", AMENDING, 2026, "2"),
        ("Budget primitif 2026 : décision modificative n° 1", AMENDING, 2026, "1"),
        ("Décision modificative n° 1 du 12/03/2026", AMENDING, 0, "1"),
        ("BS", ADDITIONAL, 0, ""),
        ("BS 2026", ADDITIONAL, 2026, ""),
        ("Budget supplémentaire 2026 – résultat du compte administratif 2025", ADDITIONAL, 2026, ""),
        ("CA 2025", ACCOUNTS, 2025, ""),
        ("Compte administratif et compte de gestion 2025", ACCOUNTS, 2025, ""),
        ("Approbation du compte administratif de 2025, budget annexe", ACCOUNTS, 2025, ""),
        ("CFU 2026", UNIQUE, 2026, ""),
        ("Vote du compte financier unique – exercice 2026", UNIQUE, 2026, ""),
        ("Débat d'orientation budgétaire", DEBATE, 0, ""),
        ("Débat d\N{RIGHT SINGLE QUOTATION MARK}orientations budgétaires 2027", DEBATE, 2027, ""),
        ("Rapport sur les orientations budgétaires, avant le budget primitif 2027", DEBATE, 2027, ""),
        ("DOB 2027", DEBATE, 2027, ""),
    ],
)
def test_what_a_subject_decides_of_a_budget(subject: str, kind: Kind, year: int, number: str) -> None:
    assert budget.of(subject) == Decision(kind, year, number)


@pytest.mark.parametrize(
    "subject",
    [
        "", "Voirie : rue du Budget", "Budget participatif 2027", "Vote du budget participatif",
        "Affectation du résultat du compte administratif 2025", "Subvention inscrite au budget primitif 2027",
        "Autorisation d'engager des dépenses avant le vote du budget primitif 2027",
        "Dépenses d'investissement avant l'adoption du budget primitif 2027", "Compte rendu du CA du CCAS",
        "Désignation au CA du collège", "Décompte administratif du marché", "Comptes rendus",
        "Devoirs faits : DM de mathématiques", "Tarifs de la cantine, budget 2027", "x" * 100_000,
    ],
)  # fmt: skip # a list of words
def test_what_decides_nothing_of_a_budget(subject: str) -> None:
    assert budget.of(subject) is None


def test_only_accounts_have_the_maire_leave_and_only_the_debate_has_no_xml() -> None:
    assert [one for one in budget.KINDS if one.accounts] == [ACCOUNTS, UNIQUE]
    assert {one.short: one.nature for one in budget.KINDS} == {
        "DOB": "1", "BP": "5", "DM": "5", "BS": "5", "CA": "5", "CFU": "5"
    }  # fmt: skip # a table
    assert Decision(AMENDING, 2026, "1").title == "Décision modificative n° 1, exercice 2026"


@pytest.mark.parametrize(
    ("kind", "held", "year"),
    [
        (PRIMARY, "2026-12-17", 2027), (PRIMARY, "2027-04-08", 2027), (DEBATE, "2026-10-01", 2027),
        (AMENDING, "2026-12-17", 2026), (ADDITIONAL, "2026-06-25", 2026), (ACCOUNTS, "2026-06-25", 2025),
        (UNIQUE, "2027-03-25", 2026),
    ],
)  # fmt: skip # a table
def test_the_exercice_that_a_subject_leaves_out(kind: Kind, held: str, year: int) -> None:
    assert Decision(kind).on(day(held)).year == year
    assert Decision(kind, 2024).on(day(held)).year == 2024


def test_the_xml_of_another_budget_is_told_by_its_fields() -> None:
    subject = Decision(AMENDING, 2026, "2")
    assert budget.differences(subject, Decision(AMENDING, 2026, "02")) == []
    assert budget.differences(Decision(AMENDING), Decision(AMENDING, 2026, "1")) == []
    said = budget.differences(subject, Decision(PRIMARY, 2025))
    assert [one.split(" : ")[0] for one in said] == ["NatDec", "Exer", "NumDec"]
    assert "exercice 2025" in said[1] and "« Décision modificative n° 2, exercice 2026 »" in said[1]


def listed(year: int, people: int) -> list[tuple[str, str, str]]:
    return [(one.title, one.last.isoformat(), one.rule.article) for one in budget.calendar(year, people)]


def test_the_calendar_of_a_year() -> None:
    assert listed(2027, 400) == [
        ("Vote : budget primitif 2027", "2027-04-15", "L1612-2"),
        ("Transmission : budget primitif 2027", "2027-04-30", "L1612-8"),
        ("Vote : compte financier unique 2026", "2027-06-30", "L1612-12"),
        ("Transmission : compte financier unique 2026", "2027-07-15", "L1612-13"),
        ("Vote : décision modificative 2027", "2028-01-21", "L1612-11"),
    ]
    assert listed(2027, 3500)[0] == ("Débat d'orientation budgétaire 2027", "2027-04-14", "L2312-1")
    assert listed(2027, 0)[0] == listed(2027, 3500)[0] and len(listed(2027, 3499)) == 5
    for one in budget.calendar(2027):
        assert one.rule.said and re.search(r"\d", one.rule.article) and isinstance(one.rule.standing, Standing)


def test_a_year_of_renewal_gives_until_the_end_of_april() -> None:
    assert [year for year in range(2019, 2034) if budget.is_renewed(year)] == [2020, 2026, 2032]
    assert listed(2026, 400)[:3] == [
        ("Vote : budget primitif 2026", "2026-04-30", "L1612-2"),
        ("Transmission : budget primitif 2026", "2026-05-15", "L1612-8"),
        ("Vote : compte administratif ou compte financier unique 2025", "2026-06-30", "L1612-12"),
    ]


def states(today: str, *done: Done) -> list[State]:
    return [one.state(done, day(today)) for one in budget.calendar(2027, 400)]


def test_what_is_late_on_a_day() -> None:
    awaited, late = State.AWAITED, State.LATE
    assert states("2027-04-15") == [awaited, awaited, awaited, awaited, State.OPTIONAL]
    assert states("2027-04-16") == [late, awaited, awaited, awaited, State.OPTIONAL]
    assert states("2028-01-22") == [late, late, late, late, State.OVER]
    voted = Done(Decision(PRIMARY, 2027), day("2026-12-17"))
    assert states("2027-05-01", voted)[:2] == [State.DONE, late]
    received = Done(Decision(PRIMARY, 2027), day("2027-04-16"), day("2027-04-30"))
    assert states("2027-05-01", received)[:2] == [State.DONE_LATE, State.DONE]
    other = Done(Decision(PRIMARY, 2026), day("2026-04-02"), day("2026-04-03"))
    assert states("2027-05-01", other, Done(Decision(UNIQUE, 2026), day("2027-06-30")))[:3] == [late, late, State.DONE]
    assert states("2027-05-01", Done(Decision(AMENDING, 2027, "1"), day("2027-03-01")))[4] is State.DONE


@pytest.mark.parametrize(
    ("debated", "people", "said"),
    [
        ("2027-02-10", 4000, ""), ("", 4000, "sans débat"), ("2027-04-08", 4000, "sans débat"),
        ("2027-01-27", 4000, "plus de dix semaines"), ("2027-01-28", 4000, ""), ("", 3499, ""), ("", 0, ""),
    ],
)  # fmt: skip # a table
def test_a_debate_comes_before_the_vote_and_not_long_before(debated: str, people: int, said: str) -> None:
    done = [Done(Decision(PRIMARY, 2027), day("2027-04-08"))]
    done += [Done(Decision(DEBATE, 2027), day(debated))] if debated else []
    found = budget.debate_problem(2027, done, people)
    assert said in found if said else found == ""
    assert budget.debate_problem(2026, done, people) == ""
