"""How long before a meeting its convocation leaves, without Plone: clear days, by the commune's size.

CGCT L2121-11 (under 3,500 inhabitants), L2121-12 (from 3,500 on), L2121-17 (second convocation). Messages are French.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from creatic.deliberations import rules

LARGE = 3500
_SMALL_DAYS, _LARGE_DAYS, _URGENT_DAYS = 3, 5, 1


def is_large(people: int) -> bool:
    """Whether the rules of 3,500 inhabitants and more hold: they do where the number is not known (0)."""
    return people == 0 or people >= LARGE


@dataclass(frozen=True)
class Delay:
    """Clear days between a convocation and its meeting, and the article that asks for them."""

    days: int
    article: str

    def earliest(self, sent: datetime.date) -> datetime.date:
        """First day on which a meeting may be held, that is convened on this one."""
        return sent + datetime.timedelta(self.days + 1)

    def problem(self, sent: datetime.date, held: datetime.date) -> str:
        """Say that a meeting is too early, and from when on it may be held; "" when it may."""
        first = self.earliest(sent)
        if held >= first:
            return ""
        days = f"{self.days} jours francs" if self.days > 1 else "un jour franc"
        return (
            f"il faut {days} entre la convocation du {rules.french_date(sent)} et la séance ({self.article}) : elle "
            f"peut se tenir à partir du {rules.french_date(first, weekday=True)}"
        )


def delay(people: int, urgent: bool, second: bool) -> Delay:
    """Give the delay of a meeting.

    Args:
        people: inhabitants of the commune, 0 when they are not known.
        urgent: whether the maire shortens it, which the council approves when the meeting opens.
        second: whether it is a second convocation, after a quorum that was not reached.
    """
    if second:
        return Delay(rules.SECOND_DAYS, "L2121-17")
    article = "L2121-12" if is_large(people) else "L2121-11"
    if urgent:
        return Delay(_URGENT_DAYS, f"{article}, urgence")
    return Delay(_LARGE_DAYS if is_large(people) else _SMALL_DAYS, article)
