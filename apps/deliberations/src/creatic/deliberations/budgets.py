"""Budgets in the council's path, without Plone: their XML at the door, what a year asks of a commune, and what is late.

What a budget is, its days and their articles: `creatic_agent.budget`. Its XML is read by `creatic_agent.totem`, as the
connector does before it leaves, in a process of its own (`apart`). Messages are French, for people.
"""

from __future__ import annotations

import datetime
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from creatic.deliberations import apart, hidden, pieces, rules

from creatic_agent import budget, law, totem
from creatic_agent.budget import Deadline, Done, State

_TONES = {
    State.DONE: "success", State.DONE_LATE: "warning", State.LATE: "danger", State.AWAITED: "primary",
    State.OPTIONAL: "secondary", State.OVER: "secondary",
}  # fmt: skip # a table
_MAX_NAME_LENGTH = 60  # characters of a file's name, as people read it
_BEFORE_MEETINGS_MESSAGE = "avant les séances tenues ici"
_NEXT_YEAR_MIN_MONTH = 10
"""Month from which the next year is shown too: its budget may be voted from then on."""


_XML_CPU_SECONDS = 60
"""Of processor, to read the XML of one."""


# -- its XML


def problems(
    name: str, data: bytes, siren: str, held: datetime.date, subject: str = "", voted: bool = False
) -> list[str]:
    """Say why the XML of a budget is not the one of a délibération, in French.

    Args:
        name: of the file, as its sender gives it.
        data: its content.
        siren: whose council votes: the commune's, or that of its CCAS.
        held: day of the meeting.
        subject: of the délibération; what it does not tell of a budget is not compared.
        voted: whether the council voted it: it is then sealed, and no project.

    Raises:
        hidden.Unfit: it is not read, for want of the machine's time or memory.
    """
    asked = {"nom": name, "siren": siren, "date": held.isoformat(), "vote": voted, "objet": subject}
    packed = json.dumps(asked).encode() + b"\n" + data
    found: list[str] = json.loads(pieces.known(judged, packed, pieces.MAX_WHOLE_MEMORY_BYTES, _XML_CPU_SECONDS))
    return found


def page(name: str, data: bytes) -> bytes:
    """A budget as a person reads it, in HTML. Raises hidden.Unfit."""
    packed = json.dumps({"nom": name}).encode() + b"\n" + data
    return apart.read(
        readable, packed, memory=pieces.MAX_WHOLE_MEMORY_BYTES, seconds=_XML_CPU_SECONDS, elapsed=3 * _XML_CPU_SECONDS
    )


def judged(packed: bytes) -> bytes:
    """What is wrong with a budget, for `apart`."""
    with _unpack_budget(packed) as (asked, path):
        told = asked["siren"], asked["date"]
        faults, _remarks = totem.check(path, *told, totem.SCHEMA, draft=not asked["vote"])
        wanted, found = budget.of(asked["objet"]), totem.decision(path)
    if wanted and found:
        known = {"Exer"} if any(" Exer : " in one for one in faults) else set()
        faults += [
            f"« {path.name} », {one}." for one in budget.differences(wanted, found) if one.split(" : ")[0] not in known
        ]
    return json.dumps(faults).encode()


def readable(packed: bytes) -> bytes:
    """The page of a budget, for `apart`. Raises hidden.Unfit."""
    with _unpack_budget(packed) as (_asked, path):
        try:
            return totem.page(path)
        except totem.flow.FlowError as error:
            raise hidden.UnfitDocumentError(f"« {path.name} » n'est pas un budget ({error})") from None


@contextmanager
def _unpack_budget(packed: bytes) -> Iterator[tuple[dict[str, Any], Path]]:
    """What is asked of a budget, and its file under its own name."""
    head, _line, data = packed.partition(b"\n")
    asked = json.loads(head)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (Path(asked["nom"].replace("\0", "")).name[:_MAX_NAME_LENGTH] or "budget.xml")
        path.write_bytes(data)
        yield asked, path


# -- the calendar of a year


def done(subject: str, held: datetime.date, received: datetime.date | None) -> Done | None:
    """What a délibération that was adopted settles of a budget, by its subject; None where it settles nothing."""
    found = budget.of(subject)
    return Done(found.on(held), held, received) if found else None


def years(today: datetime.date) -> list[int]:
    """The years whose calendar is shown."""
    return [today.year, *([today.year + 1] if today.month >= _NEXT_YEAR_MIN_MONTH else [])]


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
        said = _deadline_sentence(one, state, settled) if known else _BEFORE_MEETINGS_MESSAGE
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


def _deadline_sentence(deadline: Deadline, state: State, settled: Sequence[Done]) -> str:
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
