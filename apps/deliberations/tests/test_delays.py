"""The delay of a convocation, in clear days: by the commune's size, in an emergency, for a second meeting."""

from __future__ import annotations

import datetime

import pytest
from creatic.deliberations import delays

from creatic_agent import law

SENT = datetime.date(2026, 11, 20)


@pytest.mark.parametrize(
    ("people", "urgent", "second", "days", "article"),
    [
        (3499, False, False, 3, "L2121-11"),
        (3500, False, False, 5, "L2121-12"),
        (0, False, False, 5, "L2121-12"),  # not known
        (900, True, False, 1, "L2121-11, urgence"),
        (9000, True, False, 1, "L2121-12, urgence"),
        (9000, False, True, 3, "L2121-17"),
        (900, True, True, 3, "L2121-17"),  # nothing shortens a second one
    ],
)
def test_the_delay_is_the_laws(people: int, urgent: bool, second: bool, days: int, article: str) -> None:
    found = delays.delay(law.of("", people), urgent, second)
    assert (found.days, found.article) == (days, article)
    first = SENT + datetime.timedelta(days + 1)
    assert found.earliest(SENT) == first
    assert found.problem(SENT, first) == ""
    assert found.problem(SENT, first - datetime.timedelta(1))


def test_one_day_short_is_told_with_the_day_from_which_it_is_right() -> None:
    assert delays.delay(law.of("", 3500)).problem(SENT, datetime.date(2026, 11, 25)) == (
        "il faut 5 jours francs entre la convocation du 20 novembre 2026 et la séance (L2121-12) : elle peut se tenir "
        "à partir du jeudi 26 novembre 2026"
    )
    assert delays.delay(law.of("", 900), urgent=True).problem(SENT, SENT) == (
        "il faut un jour franc entre la convocation du 20 novembre 2026 et la séance (L2121-11, urgence) : elle peut "
        "se tenir à partir du dimanche 22 novembre 2026"
    )


@pytest.mark.parametrize(
    ("kind", "own", "urgent", "days", "article"),
    [
        ("ccas", 0, False, 3, "R123-16 du CASF"),
        ("ccas", 3, False, 3, "R123-16 du CASF"),
        ("ccas", 5, False, 5, "ses statuts ou son règlement intérieur"),
        ("ccas", 0, True, 3, "R123-16 du CASF"),  # no text lets it be shortened
        ("ccas", 5, True, 5, "ses statuts ou son règlement intérieur"),
        ("syndicat", 0, False, 5, "L5211-1"),
        ("syndicat", 0, True, 1, "L5211-1, urgence"),
        ("syndicat", 5, True, 1, "L5211-1, urgence"),
        ("communaute", 0, False, 5, "L5211-1"),
        ("communaute", 0, True, 1, "L5211-1, urgence"),
        ("cias", 0, True, 3, "R123-16 du CASF"),
        ("syndicat", 8, True, 8, "ses statuts ou son règlement intérieur"),  # a longer one that it promised itself
        ("caisse_des_ecoles", 0, False, 5, "L2121-12"),
        ("caisse_des_ecoles", 8, False, 8, "ses statuts ou son règlement intérieur"),
        ("caisse_des_ecoles", 8, True, 8, "ses statuts ou son règlement intérieur"),
        ("autre", 0, False, 5, "L2121-12"),
        ("autre", 0, True, 5, "L2121-12"),
        ("d'une version à venir", 0, True, 5, "L2121-12"),
        ("d'une version à venir", 0, False, 5, "L2121-12"),
    ],
)
def test_the_council_of_an_entity_has_its_own_delay(kind: str, own: int, urgent: bool, days: int, article: str) -> None:
    # Whatever the size of the commune that hosts it.
    for people in (0, 900, 9000):
        found = delays.delay(law.of(kind, people), urgent, own=own)
        assert (found.days, found.article) == (days, article)


def test_a_commune_has_no_rules_of_its_own() -> None:
    assert delays.delay(law.of("", 900), own=1).days == 3


@pytest.mark.parametrize("kind", ["", "commune"])
def test_a_commune_is_one_whether_it_is_said_or_not(kind: str) -> None:
    assert delays.delay(law.of(kind, 900), own=8).days == 3
    assert delays.delay(law.of(kind, 9000), urgent=True).article == "L2121-12, urgence"


@pytest.mark.parametrize(("kind", "article"), [("ccas", "R123-17 du CASF"), ("syndicat", "L2121-17")])
def test_the_second_convocation_of_an_entity_is_its_own_laws(kind: str, article: str) -> None:
    found = delays.delay(law.of(kind), urgent=True, second=True)
    assert (found.days, found.article) == (3, article)


@pytest.mark.parametrize("people", [0, 900, 9000])
@pytest.mark.parametrize("urgent", [False, True])
def test_the_first_meeting_after_a_renewal_has_three_clear_days(people: int, urgent: bool) -> None:
    found = delays.delay(law.of("commune", people), urgent, renewed=True)
    assert (found.days, found.article) == (3, "L2121-7")
    assert delays.delay(law.of("ccas", people), renewed=True).article == "R123-16 du CASF"


@pytest.mark.parametrize(
    ("polled", "held", "kind", "said"),
    [
        ("2026-03-15", "2026-03-20", "", ""),  # the Friday
        ("2026-03-15", "2026-03-22", "commune", ""),  # the Sunday
        ("2026-03-15", "2026-03-19", "", "du vendredi 20 mars 2026 au dimanche 22 mars 2026 (L2121-7)"),
        ("2026-03-15", "2026-03-23", "", "(L2121-7)"),
        ("2026-03-15", "2027-03-20", "", "(L2121-7)"),
        ("2026-03-16", "2026-03-21", "", "dimanche (code électoral, L55)"),
        ("2026-03-15", "2026-03-20", "ccas", "du conseil municipal (L2121-7)"),
        ("2026-03-15", "2026-03-20", "syndicat", "du conseil municipal (L2121-7)"),
    ],
)
def test_it_is_the_week_end_after_the_poll_of_a_commune(polled: str, held: str, kind: str, said: str) -> None:
    days = datetime.date.fromisoformat(polled), datetime.date.fromisoformat(held)
    found = delays.renewal_problem(*days, law.of(kind))
    assert said in found if said else found == ""


def test_a_lawful_first_meeting_is_no_more_refused() -> None:
    """Convened on Monday for Friday, in a commune of 9,000: five clear days would refuse it."""
    monday, friday = datetime.date(2026, 3, 16), datetime.date(2026, 3, 20)
    assert delays.delay(law.of("", 9000), renewed=True).problem(monday, friday) == ""
    assert delays.delay(law.of("", 9000)).problem(monday, friday)


def test_an_article_is_written_with_its_code() -> None:
    ccas = delays.delay(law.of("ccas"), urgent=True)
    assert ccas.law == "article R123-16 du code de l'action sociale et des familles"
    assert (
        delays.delay(law.of("", 900), urgent=True).law
        == "article L2121-11 du code général des collectivités territoriales"
    )
    assert delays.delay(law.of("autre"), own=7).law == "ses statuts ou son règlement intérieur"
    assert delays.full(law.of("ccas").note.article) == ccas.law
    assert delays.full(law.of("autre").signs.article).endswith("entre le public et l'administration")
    assert delays.full(law.of("caisse_des_ecoles").presides.article) == "article R212-26 du code de l'éducation"


@pytest.mark.parametrize(
    ("sent", "first"),
    [
        ("2026-10-22", "2026-10-28"),  # clocks go back on the 25th
        ("2027-03-25", "2027-03-31"),  # they go forward on the 28th, Easter; the 29th is a holiday
        ("2026-12-23", "2026-12-29"),  # Christmas and a Sunday are days like others
        ("2026-12-29", "2027-01-04"),
        ("2028-02-26", "2028-03-03"),
    ],
)
def test_clear_days_are_days_of_the_calendar(sent: str, first: str) -> None:
    found = delays.delay(law.of("", 3500))
    day = datetime.date.fromisoformat(sent)
    assert found.earliest(day).isoformat() == first
    assert found.problem(day, found.earliest(day) - datetime.timedelta(1))
