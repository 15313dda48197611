"""The file of a meeting for calendars, read back as calendars read it (RFC 5545)."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from creatic.deliberations import diary, workflows
from icalendar import Calendar

PARIS = ZoneInfo("Europe/Paris")
ENTRY = diary.Entry(
    uid="0f5f2b6c9f5b4d0f8f0f6c9f5b4d0f8f",
    title="Conseil municipal",
    place="Mairie, salle du conseil ; 1er étage",
    start=datetime.datetime(2026, 12, 17, 18, 30),
    version=1,
    state="convoquee",
    stamp=datetime.datetime(2026, 12, 8, 9, tzinfo=datetime.UTC),
    space="https://site.test/bergues/@@espace",
)


def event(entry: diary.Entry) -> Any:
    [found] = Calendar.from_ical(diary.file(entry)).walk("VEVENT")
    return found


def test_it_says_when_where_and_where_the_papers_are() -> None:
    found = event(ENTRY)
    assert found["UID"] == ENTRY.uid and found["SEQUENCE"] == 0 and found["STATUS"] == "CONFIRMED"
    assert found["SUMMARY"] == "Conseil municipal" and found["LOCATION"] == ENTRY.place
    assert found.decoded("DTSTART") == ENTRY.start.replace(tzinfo=PARIS)
    assert found.decoded("DTSTAMP") == ENTRY.stamp and found["URL"] == ENTRY.space
    assert "METHOD" not in Calendar.from_ical(diary.file(ENTRY)) and "DTEND" not in found
    alone = event(dataclasses.replace(ENTRY, space=""))
    assert "URL" not in alone and "DESCRIPTION" not in alone


def test_later_words_on_a_meeting_have_its_uid_and_a_higher_sequence() -> None:
    steps = [(version, state) for version in (1, 2, 3) for state in ("convoquee", "annulee", "en_preparation")]
    found = [event(dataclasses.replace(ENTRY, version=version, state=state)) for version, state in steps]
    assert {one["UID"] for one in found} == {ENTRY.uid}
    ranks = [one["SEQUENCE"] for one in found]
    assert ranks == sorted(set(ranks))
    assert [one["STATUS"] for one in found[:3]] == ["CONFIRMED", "CANCELLED", "TENTATIVE"]
    assert [str(one["SUMMARY"]).partition(" : ")[0] for one in found[1:3]] == ["Annulée", "À confirmer"]
    for state in ("ouverte", "close", "sans_quorum"):
        assert event(dataclasses.replace(ENTRY, state=state))["SEQUENCE"] == 0
    assert {diary.CANCELLED, diary.TAKEN_BACK} <= set(workflows.WORKFLOWS["seance"].states)


@pytest.mark.parametrize(
    "day",
    ["2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25", "2027-03-28", "2027-07-14", "2031-10-26", "2040-01-02"],
)
@pytest.mark.parametrize("hour", ["00:30", "04:00", "18:30", "23:59"])
def test_the_hour_is_that_of_paris_across_summer_time(day: str, hour: str) -> None:
    start = datetime.datetime.fromisoformat(f"{day}T{hour}")
    data = diary.file(dataclasses.replace(ENTRY, start=start))
    assert f"DTSTART;TZID=Europe/Paris:{start:%Y%m%dT%H%M%S}\r\n".encode() in data
    # By what the file itself says of the zone, without what the reader knows of Europe/Paris.
    [zone] = Calendar.from_ical(data.replace(b"Europe/Paris", b"Ailleurs")).walk("VTIMEZONE")
    there = start.replace(tzinfo=zone.to_tz(lookup_tzid=False))
    assert there.utcoffset() == start.replace(tzinfo=PARIS).utcoffset()


HOSTILE = (
    "a;b,c\\d\r\nATTENDEE:mailto:x@y.fr", "END:VEVENT\nBEGIN:VEVENT", "é" * 500, '"Mairie":x=^n', "\N{SNOWMAN}" * 100,
)  # fmt: skip # a list of texts


@pytest.mark.parametrize("text", HOSTILE)
def test_what_people_write_stays_text(text: str) -> None:
    data = diary.file(dataclasses.replace(ENTRY, title=text, place=text))
    found = event(dataclasses.replace(ENTRY, title=text, place=text))
    wanted = text.replace("\r\n", "\n")
    assert str(found["SUMMARY"]) == wanted and str(found["LOCATION"]) == wanted and "ATTENDEE" not in found
    assert all(len(line) <= 75 for line in data.split(b"\r\n")), "RFC 5545, 3.1"
    assert data.count(b"\r\nBEGIN:VEVENT\r\n") == 1
