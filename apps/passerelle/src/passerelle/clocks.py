"""The delays of the control of legality, by the day (CGCT, L2131-6)."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from dateutil.easter import easter

MONTHS = 2
"""The préfet refers an act to the court within two months of its transmission; two months of silence on his request for
pieces, or on the withdrawal that his observations ask for, are a refusal (L2131-6). The commune's silence runs from its
reception of the letter, and the préfet's new delay from his reception of the answer: never from the day that a letter
bears, on which nobody had it."""
# Kinds of letters whose answer, or two months of silence, makes the préfet's delay begin again.
WAITING = ("pieces", "observations")
# Days on which nobody works (code du travail, L3133-1): of each year, and as many days after Easter.
_HOLIDAYS = ((1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25))
_AFTER_EASTER = (1, 39, 50)
_SATURDAY = 5


@dataclass(frozen=True)
class Request:
    """A letter that makes the préfet's delay begin again.

    Attributes:
        kind: one of `WAITING`.
        came: day on which the commune received it.
        answered: day on which the préfet received the answer, None without.
        dated: day that it bears, by which one that comes twice is known.
    """

    kind: str
    came: date
    answered: date | None = None
    dated: date | None = None

    @property
    def key(self) -> tuple[date, str]:
        """What two copies of one letter have in common."""
        return self.dated or self.came, self.kind


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


@lru_cache(maxsize=4096)  # reckoned of each letter of all communes, twice a minute
def court(day: date) -> date:
    """Last day of the préfet's delay: whole months, neither their first nor their last day being counted (franc).

    One that ends on a Saturday, a Sunday or a holiday goes on until the next working day (code de procédure civile,
    642, which courts apply to delays of appeal).
    """
    return working(after(day) + timedelta(days=1))


def appeal(day: date) -> date:
    """Last day of an appeal against an act that was published, or notified, on a day (code de justice administrative,
    R421-1): counted as the préfet's (Conseil d'État, 15 December 2023, n° 472836; 19 September 2014, n° 362568).
    """
    return court(day)


def working(day: date) -> date:
    """That day, or the next one on which people work (holidays of the whole country)."""
    while day.weekday() >= _SATURDAY or _is_holiday(day):
        day += timedelta(days=1)
    return day


def _is_holiday(day: date) -> bool:
    return (day.month, day.day) in _HOLIDAYS or (day - easter(day.year)).days in _AFTER_EASTER


def clocks(
    kind: str,
    came: date,
    transmitted: date | None,
    answered: date | None,
    others: Iterable[Request] = (),
    dated: date | None = None,
) -> Clocks:
    """The clocks of a letter.

    The préfet's delay is the act's: each request that came within it, whichever it is, makes it begin again. That a
    second one of the same kind does so too is the careful reading: nobody believes that it is over while it may run.

    Args:
        kind: courrier, pieces, observations, defere, or "".
        came: day on which the commune received the letter.
        transmitted: day on which the préfet had the act, None when it is not known.
        answered: day on which the préfet had the answer.
        others: requests about the same act, this letter being among them or not.
        dated: day that the letter bears.
    """
    asks = kind in WAITING
    this = Request(kind, came, answered, dated)
    own = [this] if asks else []
    limit = court(transmitted) if transmitted else None
    why = "deux mois après la transmission de l'acte" if limit else ""
    opens = True
    for one in _once([*others, *own]):
        late = limit is not None and one.came > limit
        if asks and one.key == this.key:
            opens = not late
            came = one.came
        if late:
            continue
        if one.answered:
            limit, why = court(one.answered), f"deux mois après la réponse, reçue le {one.answered:%d/%m/%Y}"
        else:
            limit = court(after(one.came))
            why = "s'il n'y a pas de réponse : deux mois après un refus par silence ; sinon, après elle"
    if not opens:
        why = f"échu avant ce courrier du {came:%d/%m/%Y}, qui ne le rouvre pas"
    return Clocks(after(came) if asks else None, limit, why)


def _once(requests: Iterable[Request]) -> list[Request]:
    """Requests by their day, a letter that came twice being one: of the first day, and answered once."""
    found: dict[tuple[date, str], Request] = {}
    for one in requests:
        known = found.get(one.key, one)
        answers = [day for day in (known.answered, one.answered) if day]
        found[one.key] = Request(one.kind, min(known.came, one.came), min(answers, default=None), one.dated)
    return sorted(found.values(), key=lambda one: (one.came, one.kind))
