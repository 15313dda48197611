# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Dates, sizes, numbers and durations as people read them, in French."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Current time, with its zone."""
    return datetime.now(UTC)


_MONTH_NAMES = (
    *("janvier", "février", "mars", "avril", "mai", "juin", "juillet"),
    *("août", "septembre", "octobre", "novembre", "décembre"),
)


def _to_local(value: str | datetime) -> datetime:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(ZoneInfo("Europe/Paris"))
    except ZoneInfoNotFoundError:
        return moment.astimezone(UTC)
    except OverflowError:  # the first or the last day of all
        return moment


def day(value: str | datetime) -> str:
    """« le 3 mars 2026 », in metropolitan time."""
    moment = _to_local(value)
    return f"le {'1er' if moment.day == 1 else moment.day} {_MONTH_NAMES[moment.month - 1]} {moment.year}"


def day_and_hour(value: str | datetime) -> str:
    """« le 3 mars 2026 à 14 h 05 », in metropolitan time."""
    moment = _to_local(value)
    return f"{day(moment)} à {moment.hour}\N{NO-BREAK SPACE}h\N{NO-BREAK SPACE}{moment.minute:02d}"


def count(number: int, noun: str) -> str:
    """« 1 hôte », « 2 hôtes »."""
    return f"{number} {noun}" + ("s" if number > 1 else "")


def size(octets: float) -> str:
    """A number of bytes for a reader, in French: ``40,3 ko``, ``20 Mo``."""
    shown, units = octets, ["o", "ko", "Mo", "Go", "To"]
    # What would round up to a thousand is one of the next unit.
    while len(units) > 1 and round(shown, 1) >= 1000:
        shown /= 1000
        units.pop(0)
    return f"{shown:.1f} {units[0]}".replace(".", ",").replace(",0 ", " ")


def duration(seconds: float) -> str:
    """« 42 s », « 3 min 05 s »."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"
