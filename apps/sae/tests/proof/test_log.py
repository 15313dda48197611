"""The journal's file: durable, ordered between processes, honest about the clock."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sae.journal import Journal, JournalError, canonical
from sae.journal.log import CLOCK, OPENING


def add(journal: Journal, number: int = 1, **options: str) -> int:
    detail = {"fichiers": number, "nom": "délibération n° 12"}
    return journal.append(
        "versement.accepte", account="gondecourt", aip=f"aip-{number}", outcome="succes", detail=detail, **options
    )


def test_events_are_numbered_and_chained_from_the_opening(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        assert [add(journal, number) for number in (1, 2, 3)] == [2, 3, 4]
        events = list(journal.events())
        identifier = journal.identifier
    assert events[0].event == OPENING
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [event.previous for event in events[1:]] == [event.hash.hex() for event in events[:-1]]
    with Journal(tmp_path / "j.db") as again:
        assert list(again.events()) == events
        assert again.identifier == identifier
        assert [event.seq for event in again.events(aip="aip-2")] == [3]


def test_the_same_key_is_journaled_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        assert add(journal, 1, key="versement/1") == 2
        assert add(journal, 1, key="versement/1") == 2
        assert add(journal, 1, key="versement/2") == 3


def test_a_line_is_canonical_json(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        detail = {"nom": "acte\udce9\n\"'é", "tailles": [1, 2], "b": None, "a": True}
        journal.append("x.y", account="a", aip=None, outcome="succes", detail=detail)
        event = list(journal.events())[-1]
    assert list(json.loads(event.line)) == sorted(json.loads(event.line))
    assert event.detail["nom"] == "acte?\n\"'é"
    assert canonical.is_canonical(event.line)
    assert not canonical.is_canonical(event.line.replace(":", ": ", 1))


@pytest.mark.parametrize("detail", [{"x": 1.5}, {"é": 1}, {"x": 2**60}, {"x": b""}, {"x": {1: 2}}])
def test_what_has_no_canonical_form_is_refused_and_nothing_is_written(
    tmp_path: Path, detail: dict[str, object]
) -> None:
    with Journal(tmp_path / "j.db") as journal:
        with pytest.raises(ValueError):
            journal.append("x.y", account="a", aip=None, outcome="succes", detail=detail)
        assert len(list(journal.events())) == 1


def test_a_clock_that_goes_back_is_journaled_by_itself(tmp_path: Path) -> None:
    times = [datetime(2026, 11, 25, 12, tzinfo=UTC)]
    with Journal(tmp_path / "j.db", clock=lambda: times[-1]) as journal:
        add(journal)
        times.append(times[-1] - timedelta(milliseconds=500))
        add(journal)  # chrony's small steps are no anomaly
        times.append(times[-1] - timedelta(hours=2))
        add(journal)
        add(journal)
        events = list(journal.events())
    assert [event.event for event in events[3:]] == [CLOCK, "versement.accepte", "versement.accepte"]
    assert events[3].outcome == "anomalie"
    assert events[3].detail == {"avant": "2026-11-25T11:59:59.500000Z", "maintenant": "2026-11-25T09:59:59.500000Z"}


def test_sqlite_itself_refuses_to_change_or_remove(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        add(journal)
    with sqlite3.connect(tmp_path / "j.db") as raw:
        for statement in ("UPDATE evenement SET ligne = ''", "DELETE FROM evenement"):
            with pytest.raises(sqlite3.IntegrityError, match="ne se modifie pas"):
                raw.execute(statement)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        add(journal)
    with sqlite3.connect(tmp_path / "j.db") as raw:
        raw.execute("DROP TRIGGER jamais_change")
        raw.execute("UPDATE evenement SET ligne = replace(ligne, ',', ', ') WHERE seq = 2")
    with Journal(tmp_path / "j.db") as journal, pytest.raises(JournalError, match="événement 2"):
        add(journal)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "j.db").write_bytes(b"n'importe quoi" * 1000)
    with pytest.raises(JournalError, match=r"j\.db"):
        Journal(tmp_path / "j.db")


WRITER = """
import sys
from pathlib import Path
from sae.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    for number in range(int(sys.argv[3])):
        seq = journal.append("x.y", account="a", aip=None, outcome="succes",
                             detail={"ecrivain": sys.argv[2], "numero": number})
        print(seq, flush=True)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_processes_append_side_by_side_without_gap(tmp_path: Path) -> None:
    writers = [writer(tmp_path / "j.db", str(number), 40) for number in range(4)]
    told = [int(line) for each in writers for line in each.communicate(timeout=900)[0].split()]
    assert sorted(told) == list(range(2, 162))
    with Journal(tmp_path / "j.db") as journal:
        events = list(journal.events())
    assert [event.seq for event in events] == list(range(1, 162))
    for name in "0123":
        assert [e.detail["numero"] for e in events if e.detail.get("ecrivain") == name] == list(range(40))


def test_a_journal_that_another_is_making_is_waited_for(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "j.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        end = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        end.start()
        with Journal(tmp_path / "j.db") as journal:
            assert [event.event for event in journal.events()] == [OPENING]
        end.join()


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    told = 0
    for _ in range(5):
        process = writer(tmp_path / "j.db", "x", 10**6)
        assert process.stdout is not None
        for _ in range(10):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        told = max([told, *(int(line) for line in process.communicate()[0].split("\n")[:-1])])
    with Journal(tmp_path / "j.db") as journal:
        events = list(journal.events())
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len(events) >= told
