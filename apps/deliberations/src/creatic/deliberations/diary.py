"""The file of a meeting for people's own calendars (iCalendar, RFC 5545): when, where, where its papers are read.

Nothing of the agenda is in it: calendars are kept on telephones and by servers of others, and the items of a council
that helps people name them (CASF, L133-5).
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from creatic.deliberations.frozen import CANCELLED
from icalendar import Calendar, Event, Timezone, TimezoneDaylight, TimezoneStandard

_DIARY_TIMEZONE = ZoneInfo("Europe/Paris")
_HOUR = datetime.timedelta(hours=1)
TAKEN_BACK = "en_preparation"
_ICAL_STATUSES = {CANCELLED: "CANCELLED", TAKEN_BACK: "TENTATIVE"}
_STATUS_PREFIXES = {CANCELLED: "Annulée : ", TAKEN_BACK: "À confirmer : "}
# Of one convocation, what may come after it: each is a later word than the one before.
_RANKS = {CANCELLED: 1, TAKEN_BACK: 2}


@dataclass(frozen=True)
class Entry:
    """A meeting that was convened.

    Attributes:
        uid: the same for all its versions.
        title: what meets.
        place: where.
        start: when, in French time, without a zone.
        version: how many times it was convened.
        state: of the meeting.
        stamp: when it came to be as it is, with its zone.
        space: address where its papers are read, "" for none.
    """

    uid: str
    title: str
    place: str
    start: datetime.datetime
    version: int
    state: str
    stamp: datetime.datetime
    space: str = ""

    @property
    def sequence(self) -> int:
        """Rank of this revision, which only grows (RFC 5545, 3.8.7.4)."""
        return (1 + len(_RANKS)) * (self.version - 1) + _RANKS.get(self.state, 0)


def _paris_timezone() -> Timezone:
    """Europe/Paris since 1996 (directive 2000/84/EC): clocks change on the last Sundays of March and October, at 1:00
    UTC."""
    zone = Timezone()
    zone.add("tzid", _DIARY_TIMEZONE.key)
    for part, month, begun, name, hours in (
        (TimezoneDaylight(), 3, datetime.datetime(1996, 3, 31, 2), "CEST", 2),
        (TimezoneStandard(), 10, datetime.datetime(1996, 10, 27, 3), "CET", 1),
    ):
        part.add("dtstart", begun)
        part.add("tzoffsetfrom", (3 - hours) * _HOUR)
        part.add("tzoffsetto", hours * _HOUR)
        part.add("tzname", name)
        part.add("rrule", {"freq": "yearly", "bymonth": month, "byday": "-1su"})
        zone.add_component(part)
    return zone


def file(entry: Entry) -> bytes:
    """Write the file of a meeting.

    No end is in it, which nobody knows; no METHOD, for it is no request to answer (RFC 5546).
    """
    event = Event()
    event.add("uid", entry.uid)
    event.add("dtstamp", entry.stamp.astimezone(datetime.UTC))
    event.add("last-modified", entry.stamp.astimezone(datetime.UTC))
    event.add("sequence", entry.sequence)
    event.add("status", _ICAL_STATUSES.get(entry.state, "CONFIRMED"))
    event.add("dtstart", entry.start.replace(tzinfo=_DIARY_TIMEZONE))
    event.add("summary", _STATUS_PREFIXES.get(entry.state, "") + entry.title)
    event.add("location", entry.place)
    if entry.space:
        event.add("description", f"Convocation, note et projets : {entry.space}")
        event.add("url", entry.space)
    calendar = Calendar()
    calendar.add("prodid", "-//creatic.deliberations//FR")
    calendar.add("version", "2.0")
    calendar.add_component(_paris_timezone())
    calendar.add_component(event)
    made: bytes = calendar.to_ical()
    return made
