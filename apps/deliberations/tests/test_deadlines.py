"""What is on line after a meeting, and until when."""

from __future__ import annotations

import datetime

import pytest
from creatic.deliberations import deadlines
from creatic.deliberations.deadlines import LIST, MINUTES, SETTLED, SUBJECTS, Deadline

from creatic_agent import law

HELD, NEXT = datetime.date(2026, 11, 26), datetime.date(2026, 12, 17)
BODY = law.of(law.COMMUNE)


def days(listed: bool = False, following: datetime.date | None = None, settled: datetime.date | None = None,
         on_line: bool = False) -> dict[str, str]:  # fmt: skip # the signature as one
    return {
        one.what: one.last.isoformat()
        for one in deadlines.waiting(HELD, listed, following, settled, on_line, body=BODY)
    }


def test_the_list_is_due_a_week_after_the_meeting() -> None:
    assert days() == {LIST: "2026-12-03"}
    assert days(listed=True) == {}


def test_the_minutes_are_settled_at_the_next_meeting_and_on_line_within_its_week() -> None:
    assert days(listed=True, following=NEXT) == {SETTLED: "2026-12-17"}
    assert days(listed=True, following=NEXT, settled=NEXT) == {MINUTES: "2026-12-24"}
    assert days(listed=True, following=NEXT, settled=NEXT, on_line=True) == {}


@pytest.mark.parametrize(("today", "late"), [("2026-12-03", False), ("2026-12-04", True)])
def test_the_last_day_is_in_time(today: str, late: bool) -> None:
    one = Deadline(LIST, datetime.date(2026, 12, 3))
    assert one.late(datetime.date.fromisoformat(today)) is late


def test_it_says_what_is_missing_and_since_when() -> None:
    one = Deadline(MINUTES, datetime.date(2026, 12, 24))
    assert one.sentence(datetime.date(2026, 12, 20)) == (
        "À faire avant la fin du 24 décembre 2026 : le procès-verbal est mis en ligne (L2121-15)."
    )
    assert one.sentence(datetime.date(2026, 12, 25)) == (
        "Le procès-verbal n'est pas en ligne : c'était à faire le 24 décembre 2026 au plus tard (L2121-15)."
    )


def test_a_list_goes_alone_before_its_week_is_over() -> None:
    [one] = deadlines.waiting(HELD, False, None, None, False, body=BODY)
    alone = deadlines.list_goes_alone(HELD)
    assert HELD < alone < one.last


def test_a_meeting_that_nobody_closes_is_late_and_says_what_to_do() -> None:
    one = Deadline(LIST, datetime.date(2026, 12, 3))
    for day in (datetime.date(2026, 12, 1), datetime.date(2026, 12, 9)):
        assert one.sentence(day, closed=False).endswith("(L2121-25). Terminez d'abord la séance : « Clore la séance ».")
        assert "Clore" not in one.sentence(day)


@pytest.mark.parametrize(
    ("today", "told", "late"),
    [
        ("2026-11-27", False, False),
        ("2026-11-28", True, False),
        ("2026-12-03", True, False),
        ("2026-12-04", True, True),
    ],
)
def test_subjects_that_nobody_read_are_recalled_before_the_list_goes(today: str, told: bool, late: bool) -> None:
    one, of_list = deadlines.waiting(HELD, False, None, None, False, unread=True, body=BODY)
    day = datetime.date.fromisoformat(today)
    assert (one.what, of_list.what) == (SUBJECTS, LIST)
    assert (one.is_told(day), one.late(day)) == (told, late)
    assert one.recalled is not None and one.recalled < deadlines.list_goes_alone(HELD)
    assert "L312-1-2" in one.sentence(day)
    assert of_list.is_told(day) is of_list.late(day)


def test_subjects_are_waited_for_once_the_list_is_there_without_them() -> None:
    assert [one.what for one in deadlines.waiting(HELD, True, None, None, False, unread=True, body=BODY)] == [SUBJECTS]


def test_nothing_is_waited_for_where_no_text_asks_for_it() -> None:
    """The reform of 2022 on lists and procès-verbaux is not read as a CCAS's."""
    assert deadlines.waiting(HELD, False, None, HELD, False, unread=True, body=law.of("ccas")) == []
