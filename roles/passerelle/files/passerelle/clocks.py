"""The delays of the control of legality, by the day (CGCT, L2131-6)."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta

MONTHS = 2
"""The préfet refers an act to the court within two months of its transmission; two months of silence on his request for
pieces, or on the withdrawal that his observations ask for, are a refusal (L2131-6)."""
# Kinds of letters whose answer, or two months of silence, makes the préfet's delay begin again.
WAITING = ("pieces", "observations")


@dataclass(frozen=True)
class Clocks:
    """What runs because of a letter.

    Attributes:
        due: last day of the commune's answer, None where the law sets none.
        court: last day on which the préfet may refer the act to the court, None when it cannot be known.
        why: where that day comes from, in French.
    """

    due: date | None
    court: date | None
    why: str


def after(day: date, months: int = MONTHS) -> date:
    """That many months later, day for day; the last day of a month that has no such day."""
    years, month = divmod(day.month - 1 + months, 12)
    last = calendar.monthrange(day.year + years, month + 1)[1]
    return date(day.year + years, month + 1, min(day.day, last))


def court(day: date) -> date:
    """Last day of the préfet's delay: whole months, neither their first nor their last day being counted (franc)."""
    return after(day) + timedelta(days=1)


def clocks(kind: str, came: date, transmitted: date | None, answered: date | None) -> Clocks:
    """The clocks of a letter.

    Args:
        kind: courrier, pieces, observations, defere, or "".
        came: day of the letter.
        transmitted: day on which the préfet had the act, None when it is not known.
        answered: day on which the préfet had the answer.
    """
    first = court(transmitted) if transmitted else None
    if kind not in WAITING:
        return Clocks(None, first, "deux mois après la transmission de l'acte" if first else "")
    due = after(came)
    if first and came > first:
        return Clocks(due, first, f"échu avant ce courrier du {came:%d/%m/%Y}, qui ne le rouvre pas")
    if answered:
        return Clocks(due, court(answered), f"deux mois après la réponse, reçue le {answered:%d/%m/%Y}")
    return Clocks(
        due, court(due), "s'il n'y a pas de réponse : deux mois après un refus par silence ; sinon, après elle"
    )
