"""The delays of the control of legality (CGCT, L2131-6)."""

from __future__ import annotations

from datetime import date

import pytest
from passerelle.clocks import after, clocks, court

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
