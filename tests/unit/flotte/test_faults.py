"""What time and the machine do: a door away for a day, three months in a cupboard, a disk that fills up in a run."""

from __future__ import annotations

import configparser
import datetime as dt
import errno
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from creatic_flotte import passage, state
from creatic_flotte.passage import Passage
from creatic_flotte.run import Result
from creatic_flotte.settings import Settings
from creatic_guichet import cli
from creatic_guichet.store import LARGEST_REPORT, BadRequest, Store

from creatic.fleet import bundle, waves
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


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "le disque de cette machine est plein"),
        (errno.EDQUOT, "le quota du disque est atteint"),
        (errno.EFBIG, "fichier trop gros"),
        (errno.EACCES, "un dossier de cette machine est fermé"),
        (errno.EROFS, "le disque de cette machine est en lecture seule"),
        (errno.EIO, "le disque de cette machine ne répond pas comme il faut (OSError)"),
    ],
)
def test_what_the_disk_refuses_is_named(number: int, words: str) -> None:
    kept = " : ce qui était en place est gardé, le prochain passage réessaiera"
    assert state.room(OSError(number, "x")) == words + kept


def test_a_folder_where_nothing_can_be_kept_is_told_before_anything_begins(tmp_path: Path) -> None:
    (tmp_path / "courrier").write_text("")
    told = (
        r"^le disque de cette machine ne répond pas comme il faut \(FileExistsError\) : ce qui était en place est gardé"
    )
    with pytest.raises(state.FleetError, match=told), state.State(tmp_path).alone():
        pass


PROVED = {"preuves": [{"cle": "acte", "verdict": "ok"}], "ar_acte": "QVJBY3Rl"}


def answers(status: str) -> Callable[..., Any]:
    """What stands before the door, and answers for it."""

    def meddle(_environ: Mapping[str, Any], start: Callable[..., Any]) -> Any:
        start(status, [("Content-Length", "0")])
        return [b""]

    return meddle


def proved(door: Door) -> dict[str, Any]:
    """What the door knows that machines proved last."""
    return {name: one["version"] for name, one in door.store.proven([])["preuves"].items()}


def test_a_proof_waits_for_a_door_that_does_not_know_the_machine_today(
    in_place: Machine, publisher: Publisher, door: Door, url: str
) -> None:
    """It was made anew, or comes from a backup older than the machine: refusals pile up for hours, the proof stays."""
    publisher.publish(NAME, 6)
    in_place.result = Result(True, proofs=[PROVED])
    posts: list[str] = []

    def unknown(environ: Mapping[str, Any], start: Callable[..., Any]) -> Any:
        if environ["REQUEST_METHOD"] == "POST":
            posts.append(environ["PATH_INFO"])
            return answers("403 Forbidden")(environ, start)
        return None if len(posts) == 0 else answers("403 Forbidden")(environ, start)

    door.meddle = unknown
    assert in_place.passes(url)[0] == "bon"
    for _hour in range(30):
        assert in_place.passes(url)[0] == "refus"
    assert proved(door) == {} and len(list((in_place.settings.state / "courrier").iterdir())) == 20
    door.meddle = None
    assert in_place.passes(url)[0] == "a_jour"
    assert proved(door) == {NAME: 6} and list((in_place.settings.state / "courrier").iterdir()) == []


def test_a_clock_that_goes_wrong_loses_no_proof_and_no_order(
    in_place: Machine, publisher: Publisher, door: Door, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish(NAME, 6)
    in_place.result = Result(True, proofs=[PROVED])
    door.meddle = lambda environ, start: (
        answers("503 Busy")(environ, start) if environ["REQUEST_METHOD"] == "POST" else None
    )
    ahead = time.time_ns() + 365 * 24 * 3600 * 10**9
    monkeypatch.setattr("creatic_flotte.state.time.time_ns", lambda: ahead)
    in_place.clock = dt.timedelta(days=365)
    assert in_place.passes(url)[0] == "refus"
    monkeypatch.undo()
    in_place.clock = dt.timedelta()
    assert in_place.passes(url)[0] == "bon"
    door.meddle = None
    in_place.passes(url)
    told = [one["genre"] for one in door.store.reports(0)]
    assert told == ["bon", "refus", "bon", "a_jour"]  # as it happened
    assert proved(door) == {NAME: 6}


def test_a_report_is_never_too_large_for_the_door(
    in_place: Machine, publisher: Publisher, door: Door, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures give way to proofs; what cannot be written is shown as such."""
    assert passage._REPORT < LARGEST_REPORT
    publisher.publish(NAME, 6)
    for name in ("a", "b", "c"):
        (in_place.settings.metrics / f"{name}.prom").write_text('figure{nom="é"} 1\n' * 3000)
    monkeypatch.setattr(passage, "asked", lambda *_: {str(number): "x" * 8000 for number in range(10)})
    in_place.result = Result(True, "", ["Tâche \udce9t\udce9"], [PROVED | {"journal": "é" * 95_000}])
    assert in_place.passes(url)[0] == "bon"
    assert proved(door) == {NAME: 6}
    assert door.store.reports(0)[-1]["modifies"] == ["Tâche ?t?"]
    publisher.publish(NAME, 7)
    in_place.result = Result(False, "Base | Ensure : \ud800")
    assert in_place.passes(url)[0] == "echec"
    assert json.loads((in_place.settings.state / "etat.json").read_text())["echec"] == "Base | Ensure : ?"
    assert in_place.passes(url) == ("echec", "version 7 : Base | Ensure : ?")  # and goes on


@pytest.mark.parametrize(
    "proofs", ["[" * 1500 + "]" * 1500, "[NaN]", "[1e999]", '["\\ud800"]', "[" * 60_000 + "]" * 60_000]
)
def test_one_machine_s_odd_report_hides_nobody_s_proofs(door: Door, publisher: Publisher, proofs: str) -> None:
    """SQLite reads no JSON of a thousand levels: one such row would refuse them all."""
    publisher.publish(NAME, 5)
    with door.store._open() as db:
        db.execute("INSERT INTO machines (nom, siren, attendue) VALUES ('loos-pc', '215903469', 1)")
    now = dt.datetime.now(dt.UTC)
    report = {"machine": NAME, "version": 5, "posee": True, "genre": "bon", "texte": "", "debut": "", "fin": ""}
    good = json.dumps(report | {"modifies": [], "preuves": [PROVED]})
    door.store.keep(NAME, good.encode(), now)
    odd = good.replace(NAME, "loos-pc").replace(json.dumps([PROVED]), proofs)
    assert proofs in odd
    with pytest.raises(BadRequest):
        door.store.keep("loos-pc", odd.encode(), now)
    assert proved(door) == {NAME: 5}
    with door.store._open() as db:  # one that a door of before took
        db.execute(
            "INSERT INTO comptes_rendus (machine, sha256, recu, corps) VALUES ('loos-pc', 'x', ?, ?)",
            (now.isoformat(), '{"preuves": ' + "[" * 1500 + "]" * 1500 + "}"),
        )
    assert proved(door) == {NAME: 5}
    for number in range(70):
        quiet = report | {"machine": "loos-pc", "texte": str(number), "modifies": [], "preuves": []}
        door.store.keep("loos-pc", json.dumps(quiet).encode(), now + dt.timedelta(hours=number))
    assert len(door.store.reports(0)) == 61  # the odd one went, in its turn


@pytest.mark.parametrize("size", [50_000, 90_000], ids=["database", "lots"])  # what the disk has no more room for
def test_a_door_whose_disk_is_full_takes_nothing_of_a_sending_and_still_hears(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    folder = small_disk / "guichet"
    folder.mkdir()
    store = Store(folder)
    with store._open() as db:
        db.execute("INSERT INTO machines (nom, siren, attendue) VALUES (?, '215903469', 1)", (NAME,))
    lots = [tmp_path / "a", tmp_path / "b", tmp_path / "c", tmp_path / "d"]
    for path in lots:
        path.write_bytes(os.urandom(size))
        path.rename(path.with_name(bundle.part(path.read_bytes())["sha256"]))
    sending = tmp_path / "envoi.tar"
    names = sorted(path for path in tmp_path.iterdir() if len(path.name) == 64)
    bundle.sending(sending, names, json.dumps({"machines": {}, "manifestes": {}}).encode())
    assert cli.main(["--dossier", str(folder), "--cles", str(tmp_path / "cles"), "recevoir", str(sending)]) == 1
    assert "disque plein" in capsys.readouterr().err
    assert list((folder / "lots").iterdir()) == [] and not sending.exists()
    report = {"machine": NAME, "version": 5, "posee": True, "genre": "bon", "texte": "", "debut": "", "fin": ""}
    store.keep(NAME, json.dumps(report | {"modifies": [], "preuves": [PROVED]}).encode(), dt.datetime.now(dt.UTC))
    assert [*store.proven([])["preuves"]] == [NAME]
