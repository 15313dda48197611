"""The delay of a convocation, in clear days: by the commune's size, in an emergency, for a second meeting."""

from __future__ import annotations

import datetime

import pytest
from creatic.deliberations import delays

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
    found = delays.delay(people, urgent, second)
    assert (found.days, found.article) == (days, article)
    first = SENT + datetime.timedelta(days + 1)
    assert found.earliest(SENT) == first
    assert found.problem(SENT, first) == ""
    assert found.problem(SENT, first - datetime.timedelta(1))


def test_one_day_short_is_told_with_the_day_from_which_it_is_right() -> None:
    assert delays.delay(3500, False, False).problem(SENT, datetime.date(2026, 11, 25)) == (
        "il faut 5 jours francs entre la convocation du 20 novembre 2026 et la séance (L2121-12) : elle peut se tenir "
        "à partir du jeudi 26 novembre 2026"
    )
    assert delays.delay(900, True, False).problem(SENT, SENT) == (
        "il faut un jour franc entre la convocation du 20 novembre 2026 et la séance (L2121-11, urgence) : elle peut "
        "se tenir à partir du dimanche 22 novembre 2026"
    )
