"""What the page of a commune's meetings says of its budgets, on any day."""

from __future__ import annotations

import datetime

from creatic.deliberations import budgets, rules

from creatic_agent.budget import Done


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
