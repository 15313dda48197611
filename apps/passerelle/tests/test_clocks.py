"""The delays of the control of legality (CGCT, L2131-6)."""

from __future__ import annotations

from datetime import date

import pytest
from passerelle.clocks import Request, after, clocks, court

TRANSMITTED = date(2026, 1, 15)


@pytest.mark.parametrize(
    ("day", "later"),
    [("2026-01-15", "2026-03-15"), ("2025-12-31", "2026-02-28"), ("2027-12-31", "2028-02-29"),
     ("2026-11-01", "2027-01-01")],
)  # fmt: skip # a case a line
def test_months_are_counted_day_for_day(day: str, later: str) -> None:
    assert after(date.fromisoformat(day)).isoformat() == later


def test_a_simple_letter_and_a_defere_leave_the_act_s_clock_alone() -> None:
    for kind in ("courrier", "defere", ""):
        found = clocks(kind, date(2026, 2, 1), TRANSMITTED, None)
        assert (found.due, found.court) == (None, date(2026, 3, 16))
        assert clocks(kind, date(2026, 2, 1), None, None).court is None


@pytest.mark.parametrize("kind", ["pieces", "observations"])
def test_a_request_restarts_the_clock_from_its_answer_or_from_silence(kind: str) -> None:
    came = date(2026, 2, 10)
    silent = clocks(kind, came, TRANSMITTED, None)
    assert (silent.due, silent.court) == (date(2026, 4, 10), court(date(2026, 4, 10)))
    answered = clocks(kind, came, TRANSMITTED, date(2026, 2, 20))
    assert answered.court == date(2026, 4, 21)
    assert "20/02/2026" in answered.why


def test_a_request_after_the_delay_does_not_open_it_again() -> None:
    last = clocks("pieces", date(2026, 3, 16), TRANSMITTED, date(2026, 3, 20))
    assert last.court == date(2026, 5, 21)
    late = clocks("pieces", date(2026, 3, 17), TRANSMITTED, date(2026, 3, 20))
    assert (late.due, late.court) == (date(2026, 5, 17), date(2026, 3, 16))
    assert "ne le rouvre pas" in late.why


@pytest.mark.parametrize(
    ("day", "last"),
    [
        ("2026-01-15", "2026-03-16"),
        ("2026-02-12", "2026-04-13"),
        ("2026-02-10", "2026-04-13"),  # a Saturday
        ("2026-02-05", "2026-04-07"),  # Easter Monday
        ("2026-03-13", "2026-05-15"),  # the day after, 14 May, is Ascension
        ("2026-03-24", "2026-05-26"),  # Whit Monday
        ("2026-09-10", "2026-11-12"),  # 11 November
        ("2026-10-31", "2027-01-04"),  # 1 January, then a week-end
        ("2026-08-29", "2026-10-30"),  # clocks go back in between: days are days
    ],
)
def test_the_prefet_s_delay_ends_on_a_working_day(day: str, last: str) -> None:
    assert court(date.fromisoformat(day)).isoformat() == last


def test_a_request_that_comes_within_a_delay_that_an_answer_restarted_restarts_it_too() -> None:
    pieces = Request("pieces", date(2026, 3, 5), date(2026, 3, 20))
    came = date(2026, 4, 2)  # after the first two months, within those that the pieces opened again
    found = clocks("observations", came, TRANSMITTED, None, [pieces])
    assert (found.due, found.court) == (after(came), court(after(came)))
    assert "ne le rouvre pas" not in found.why
    assert clocks("observations", came, TRANSMITTED, date(2026, 4, 10), [pieces]).court == court(date(2026, 4, 10))
    assert clocks("observations", came, TRANSMITTED, None).court == date(2026, 3, 16), "without them it was over"


def test_a_letter_shows_its_act_s_delay_whichever_letter_restarted_it() -> None:
    pieces = Request("pieces", date(2026, 2, 10), date(2026, 2, 20))
    last = Request("observations", date(2026, 4, 2))
    shown = [
        clocks("pieces", pieces.came, TRANSMITTED, pieces.answered, [last]),
        clocks("observations", last.came, TRANSMITTED, None, [pieces]),
        clocks("courrier", date(2026, 4, 20), TRANSMITTED, None, [last, pieces]),
    ]
    assert {one.court for one in shown} == {court(date(2026, 6, 2))}
    late = clocks("pieces", date(2026, 9, 1), TRANSMITTED, None, [last, pieces])
    assert late.court == court(date(2026, 6, 2))
    assert "ne le rouvre pas" in late.why


@pytest.mark.parametrize("answered_first", [True, False])
def test_a_letter_that_the_tdt_gives_twice_is_answered_once(answered_first: bool) -> None:
    answered = date(2026, 2, 20)
    own, other = (answered, None) if answered_first else (None, answered)
    found = clocks("pieces", date(2026, 2, 10), TRANSMITTED, own, [Request("pieces", date(2026, 2, 10), other)])
    assert found.court == date(2026, 4, 21)


def test_silence_runs_from_the_reception_and_never_from_the_day_that_a_letter_bears() -> None:
    dated, came = date(2026, 2, 2), date(2026, 2, 20)
    found = clocks("pieces", came, TRANSMITTED, None, dated=dated)
    assert (found.due, found.court) == (date(2026, 4, 20), court(date(2026, 4, 20)))


def test_a_letter_that_comes_twice_on_two_days_makes_one_delay_from_the_first() -> None:
    dated = date(2026, 2, 2)
    first, again = Request("pieces", date(2026, 2, 5), None, dated), Request("pieces", date(2026, 3, 30), None, dated)
    for own, other in ((first, again), (again, first)):
        found = clocks("pieces", own.came, TRANSMITTED, None, [other], dated)
        assert (found.due, found.court) == (date(2026, 4, 5), court(date(2026, 4, 5)))
        answered = clocks("pieces", own.came, TRANSMITTED, date(2026, 3, 1), [other], dated)
        assert answered.court == court(date(2026, 3, 1))
