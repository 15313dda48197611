"""How people and documents of a French public body write dates, names and words."""

from __future__ import annotations

import datetime
import re
import unicodedata

_DAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
_MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre",
           "novembre", "décembre")  # fmt: skip # a list of words

_DAY = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})")
_YEARS = range(1900, 2101)


def without_accents(text: str) -> str:
    """Words in base letters, with single spaces: to look for what people type."""
    parts = unicodedata.normalize("NFKD", text)
    return " ".join("".join(one for one in parts if not unicodedata.combining(one)).split())


def day_of(text: str) -> datetime.date:
    """A day as a form sends it (2026-03-01), or as people write it (1/3/2026). Raises ValueError, in French."""
    written = _DAY.fullmatch(text)
    try:
        parts = [int(one) for one in reversed(written.groups())] if written else []
        found = datetime.date(*parts) if parts else datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"« {text[:40]} » n'est pas une date ; écrivez par exemple 01/03/2026") from None
    if found.year not in _YEARS:
        raise ValueError(f"« {text[:40]} » : l'année {found.year} n'est pas vraisemblable ; corrigez-la")
    return found


def of_commune(name: str) -> str:
    """What follows « commune » : « de Loos », « d'Annœullin », « du Quesnoy », « des Moëres », « de La Bassée »."""
    article, _space, rest = name.partition(" ")
    if rest and article.casefold() in ("le", "les"):
        return f"{'du' if article.casefold() == 'le' else 'des'} {rest}"
    first = unicodedata.normalize("NFKD", name[:1].casefold().replace("œ", "o").replace("æ", "a"))[:1]
    return f"d'{name}" if first in tuple("aeiouy") else f"de {name}"


def french_date(day: datetime.date, weekday: bool = False) -> str:
    """Write a date: 1er janvier 2026, or jeudi 1er janvier 2026."""
    number = "1er" if day.day == 1 else str(day.day)
    written = f"{number} {_MONTHS[day.month - 1]} {day.year}"
    return f"{_DAYS[day.weekday()]} {written}" if weekday else written
