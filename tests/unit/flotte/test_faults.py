"""What time and the machine do: a door away for a day, three months in a cupboard, a disk that fills up in a run."""

from __future__ import annotations

import configparser
import datetime as dt
import errno
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.fleet import waves
from creatic_flotte.passage import Passage
from creatic_flotte.run import Result
from creatic_flotte.settings import Settings

from testbed.fleet import DAY, Door, Machine, Publisher

TOP = Path(__file__).parents[3]
NAME = "gondecourt-connecteur"
QUARTER = waves.INTERVAL


@pytest.fixture
def in_place(machine: Machine, publisher: Publisher, url: str) -> Machine:
    """A machine at version 5."""
    publisher.publish(NAME, 5)
    assert machine.passes(url) == ("bon", "version 5 appliquée")
    return machine


def test_a_door_away_for_a_day_breaks_nothing_and_one_report_follows(
    in_place: Machine, publisher: Publisher, door: Door, url: str
) -> None:
    before, told = in_place.tree(), len(door.store.reports(0))
    publisher.publish(NAME, 6)
    for passed in range(1, 25):
        in_place.clock = passed * dt.timedelta(hours=1)
        assert in_place.passes("https://localhost:1")[0] == "injoignable"
    assert (in_place.tree(), in_place.version(), len(in_place.runs)) == (before, 5, 1)
    assert list((in_place.settings.state / "courrier").iterdir()) == []  # nothing piles up for its return
    assert in_place.passes(url) == ("bon", "version 6 appliquée")
    assert len(door.store.reports(0)) == told + 1


def test_machines_come_back_in_a_spread() -> None:
    """Each keeps a moment of its own in the quarter of an hour, what it missed included."""
    timer = configparser.ConfigParser(strict=False, comment_prefixes=("#", "{"))
    timer.read(TOP / "roles/flotte/templates/creatic-flotte.timer.j2")
    told = timer["Timer"]
    assert told["OnCalendar"] == f"*:0/{QUARTER // dt.timedelta(minutes=1)}"
    assert told["RandomizedDelaySec"] == f"{QUARTER // dt.timedelta(minutes=1)}min"
    assert told["FixedRandomDelay"] == "true"
    assert told["Persistent"] == "true"
    subprocess.run(["systemd-analyze", "calendar", told["OnCalendar"]], check=True, capture_output=True)


def test_three_months_in_a_cupboard(in_place: Machine, publisher: Publisher, door: Door, url: str) -> None:
    """Versions went by, whose lots the door has no more; it was last tried, and looked at, three months ago."""
    for number in range(6, 10):
        publisher.publish(NAME, number)
    assert len(list((door.folder / "lots").iterdir())) == 4  # of the last, and of the one before
    file = in_place.settings.state / "etat.json"
    long_ago = (dt.datetime.now(dt.UTC) - 90 * DAY).isoformat(timespec="seconds")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"essai": long_ago}))
    (in_place.settings.state / "arrivee").mkdir(exist_ok=True)
    (in_place.settings.state / "arrivee/code.tar.gz").write_bytes(b"a moitie")  # switched off in the middle
    assert in_place.passes(url) == ("bon", "version 9 appliquée")
    assert in_place.again[-1] is False  # it is proved
    assert in_place.passes(url) == ("a_jour", "version 9 en place")


def test_a_disk_that_fills_up_in_the_middle_of_a_run(
    in_place: Machine, publisher: Publisher, small_disk: Path, url: str
) -> None:
    shutil.copytree(in_place.settings.state, small_disk / "etat")
    settings = in_place.settings = replace(in_place.settings, state=small_disk / "etat", door=url)
    publisher.publish(NAME, 6)

    def fills(_settings: Settings, _version: Path, _again: bool) -> Result:
        with (small_disk / "journal").open("wb") as file, pytest.raises(OSError) as full:
            while True:
                file.write(os.urandom(4096))
                file.flush()
        assert full.value.errno == errno.ENOSPC
        return Result(False, "Base | Ensure packages : plus de place")

    kind, said = Passage(settings, fills, in_place.now, in_place.follow).perform()
    assert kind == "echec" and "le disque de cette machine est plein" in said
    assert in_place.version() == 6  # what was taken is never taken back
    (small_disk / "journal").unlink()
    assert in_place.passes(url) == ("bon", "version 6 appliquée")
    assert in_place.again[-1] is False  # of a run that did not end, nothing is believed
