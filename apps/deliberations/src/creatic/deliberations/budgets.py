"""Budgets in the council's path, without Plone: what a year asks of a commune, and what is late.

What a budget is, its days and their articles: `creatic_agent.budget`. Messages are French, for people.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from creatic.deliberations import rules

from creatic_agent import budget, law
from creatic_agent.budget import Deadline, Done, State

_TONES = {
    State.DONE: "success", State.DONE_LATE: "warning", State.LATE: "danger", State.AWAITED: "primary",
    State.OPTIONAL: "secondary", State.OVER: "secondary",
}  # fmt: skip # a table
_BEFORE = "avant les séances tenues ici"
_NEXT = 10
"""Month from which the next year is shown too: its budget may be voted from then on."""


def done(subject: str, held: datetime.date, received: datetime.date | None) -> Done | None:
    """What a délibération that was adopted settles of a budget, by its subject; None where it settles nothing."""
    found = budget.of(subject)
    return Done(found.on(held), held, received) if found else None


def years(today: datetime.date) -> list[int]:
    """The years whose calendar is shown."""
    return [today.year, *([today.year + 1] if today.month >= _NEXT else [])]


def calendar(
    year: int, people: int, settled: Sequence[Done], first: datetime.date | None, today: datetime.date
) -> dict[str, Any]:
    """What the page of a commune's meetings shows of a year.

    Args:
        year: the civil year.
        people: inhabitants; 0 when they are not known.
        settled: what the council decided of budgets.
        first: day of the first meeting that was held on this site; None without any. What was due before is not known.
        today: day in Europe/Paris on which it is read.

    Returns:
        `annee`, `retards` (sentences), `lignes` (quoi, texte, article, doute, etat, ton).
    """
    lines, late = [], []
    for one in budget.calendar(year, people):
        state = one.state(settled, today)
        known = state is not State.LATE or (first is not None and first <= one.last)
        said = _said(one, state, settled) if known else _BEFORE
        if known and state is State.LATE:
            late.append(f"{one.title} : {said} ({one.rule.article}).")
        lines.append(
            {"quoi": one.title, "texte": one.rule.said, "article": one.rule.article, "etat": said,
             "ton": _TONES[state] if known else "secondary",
             "doute": "" if one.rule.standing is law.Standing.READ else str(one.rule.standing)}
        )  # fmt: skip # a table
    if said := budget.debate_problem(year, settled, people):
        late.append(f"{said[:1].upper()}{said[1:]}.")
    return {"annee": year, "retards": late, "lignes": lines}


def _said(deadline: Deadline, state: State, settled: Sequence[Done]) -> str:
    """Where a deadline stands, in words."""
    last, day = rules.french_date(deadline.last), deadline.day(settled)
    if day is not None:
        return f"fait le {rules.french_date(day)}" + (f", après le {last}" if state is State.DONE_LATE else "")
    return {
        State.LATE: f"en retard, c'était à faire le {last} au plus tard",
        State.AWAITED: f"à faire le {last} au plus tard",
        State.OPTIONAL: f"possible jusqu'au {last}",
        State.OVER: f"n'est plus possible depuis le {last}",
    }[state]
