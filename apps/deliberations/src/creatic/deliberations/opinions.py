"""Opinions that commissions give on an item before the council meets (CGCT, L2121-22), without Plone.

They bind nobody; the agenda, the note and the délibération say them. Messages are French, for people.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from creatic.deliberations import rules

from creatic_agent.writing import without_accents

MAX_OPINIONS = 10
"""Opinions on an item."""
NAME_MAX, TEXT_MAX = 150, 500
"""Characters of a commission's name, and of what it adds."""
_FOR, _AGAINST, _NONE = "favorable", "défavorable", "sans avis"
_OPINION_DAY_PATTERN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_MAX_QUOTED_LENGTH = 80
_OPINION_FORMAT_HINT = (
    "écrivez « Commission des finances, 20/11/2026 : favorable », « défavorable » ou « sans avis », puis au besoin "
    "« ; une remarque »"
)
# What they are called, by the first word of their name, with what stands before it.
_FEMININE = ("commission", "sous-commission", "section")
_MASCULINE = ("comité", "conseil", "bureau", "groupe", "collège")


@dataclass(frozen=True)
class Opinion:
    """What a commission said of an item, which day.

    Attributes:
        name: of the commission, as it is written.
        day: when it met.
        sense: one of favorable, défavorable, sans avis.
        text: what it adds, "" for nothing.
    """

    name: str
    day: datetime.date
    sense: str
    text: str = ""

    def _whose(self) -> str:
        first = self.name.split()[0].lower()
        lowered = self.name[:1].lower() + self.name[1:]
        if first in _FEMININE:
            return f"de la {lowered}"
        return f"du {lowered}" if first in _MASCULINE else f"de la commission « {self.name} »"

    def visa(self) -> str:
        """What a délibération says of it."""
        day = rules.french_date(self.day)
        if self.sense == _NONE:
            return f"Vu la consultation {self._whose()} du {day}, sans avis"
        return f"Vu l'avis {self.sense} {self._whose()} du {day}"

    def brief(self) -> str:
        """What an agenda says of it."""
        said = self.sense if self.sense == _NONE else f"avis {self.sense}"
        return f"{self.name}, {rules.french_date(self.day)} : {said}"

    def said(self) -> str:
        """The same, with what the commission adds."""
        return f"{self.brief()} ; {self.text}" if self.text else self.brief()


_SENSES = {without_accents(one.lower()): one for one in (_FOR, _AGAINST, _NONE)}


def read(line: str) -> Opinion:
    """Read « Commission des finances, 20/11/2026 : favorable ; sous réserve du devis ».

    Raises:
        ValueError: what is wrong, and how to write it, in French.
    """
    shown = " ".join(line.split())[:_MAX_QUOTED_LENGTH]
    head, colon, tail = line.partition(":")
    written, _semicolon, text = tail.partition(";")
    name, _comma, when = head.rpartition(",")
    name, text, sense = " ".join(name.split()), " ".join(text.split()), _SENSES.get(without_accents(written.lower()))
    if not colon or not name or sense is None:
        raise ValueError(f"l'avis « {shown} » ne se lit pas : {_OPINION_FORMAT_HINT}")
    found = _OPINION_DAY_PATTERN.fullmatch(when.strip())
    try:
        day = datetime.date(int(found[3]), int(found[2]), int(found[1])) if found else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError(f"la date de l'avis « {shown} » ne se lit pas : {_OPINION_FORMAT_HINT}")
    for what, value, most in (("le nom de la commission", name, NAME_MAX), ("la remarque", text, TEXT_MAX)):
        if len(value) > most:
            raise ValueError(f"l'avis « {shown} » : {what} a {len(value)} signes, {most} au plus")
    return Opinion(name, day, sense, text)


def read_all(lines: Iterable[str]) -> list[Opinion]:
    """Read opinions, one a line, as they were accepted: what cannot be read is left out."""
    found = []
    for line in lines:
        try:
            found.append(read(line))
        except ValueError:
            continue
    return found


def problems(lines: Sequence[str]) -> list[str]:
    """What is wrong with lines, in French."""
    wrong, known = [], []
    for line in lines:
        try:
            one = read(line)
        except ValueError as error:
            wrong.append(str(error))
            continue
        if (without_accents(one.name.lower()), one.day) in known:
            wrong.append(f"l'avis de « {one.name} » du {rules.french_date(one.day)} est écrit deux fois")
        known.append((without_accents(one.name.lower()), one.day))
    if len(lines) > MAX_OPINIONS:
        wrong.append(f"{len(lines)} avis de commissions, {MAX_OPINIONS} au plus")
    return wrong


def late(opinions: Iterable[Opinion], held: datetime.date) -> list[str]:
    """Say which opinions are of a day after the meeting, in French.

    Args:
        opinions: on an item.
        held: the day of its meeting.
    """
    return [
        f"l'avis de « {one.name} » est daté du {rules.french_date(one.day)}, après la séance : corrigez sa date"
        for one in opinions
        if one.day > held
    ]
