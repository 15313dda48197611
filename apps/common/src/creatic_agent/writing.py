"""How documents of a French public body write a date and a commune's name."""

from __future__ import annotations

import datetime
import unicodedata

_DAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
_MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre",
           "novembre", "décembre")  # fmt: skip # a list of words


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
