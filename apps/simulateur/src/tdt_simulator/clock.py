"""The platform's time: that of Paris, whatever the machine's own zone is."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

_PARIS = ZoneInfo("Europe/Paris")


def moment(at: float) -> datetime:
    """Return a moment, given in seconds of POSIX, as clocks of Paris show it (without its zone)."""
    return datetime.fromtimestamp(at, _PARIS).replace(tzinfo=None)


def now() -> datetime:
    """Return what clocks of Paris show."""
    return datetime.now(_PARIS).replace(tzinfo=None)


def today() -> date:
    """Return the day that it is at the préfecture."""
    return now().date()
