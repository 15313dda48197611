"""The journal's file: SQLite, one row per event, never changed, committed to disk before `append` returns.

An event is one line of canonical JSON; its fields are French, since auditors read them::

    {"aip":"…","compte":"gondecourt","detail":{…},"evenement":"versement.accepte","heure":"2026-11-25T01:05:04.123456Z",
     "precedent":"<hash of the line before>","resultat":"succes","seq":42}

Several processes (service, timers, commands) may append at once: SQLite's write lock orders them, and the time
is read under that lock, so that it only goes backwards when the machine's clock does.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sae.journal import canonical, merkle

OPENING = "journal.ouverture"
CLOCK = "journal.horloge"
# A clock set right by less than that (chrony's steps) is no anomaly.
TOLERANCE = timedelta(seconds=1)

_EVENT = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_JOURNAL_SCHEMA = """
CREATE TABLE IF NOT EXISTS evenement (seq INTEGER PRIMARY KEY, ligne TEXT NOT NULL, aip TEXT, cle TEXT UNIQUE);
CREATE INDEX IF NOT EXISTS par_aip ON evenement(aip) WHERE aip IS NOT NULL;
CREATE TABLE IF NOT EXISTS sceau (numero INTEGER PRIMARY KEY, premier INTEGER NOT NULL UNIQUE,
  dernier INTEGER NOT NULL UNIQUE, contenu TEXT NOT NULL, depose INTEGER NOT NULL DEFAULT 0);
CREATE TRIGGER IF NOT EXISTS jamais_change BEFORE UPDATE ON evenement
  BEGIN SELECT RAISE(ABORT, 'le journal ne se modifie pas'); END;
CREATE TRIGGER IF NOT EXISTS jamais_efface BEFORE DELETE ON evenement
  BEGIN SELECT RAISE(ABORT, 'le journal ne se modifie pas'); END;
"""


class JournalError(Exception):
    """The journal cannot be read or written; the message is French. What asked for the event must not go on."""


@dataclass(frozen=True)
class Event:
    """One line of the journal; `line` is what is hashed and sealed."""

    seq: int
    time: str
    event: str
    account: str
    aip: str | None
    outcome: str
    detail: dict[str, Any]
    previous: str
    line: str

    @classmethod
    def read(cls, line: str) -> Event:
        """The event of a line.

        Raises:
            ValueError: the line is no event in canonical form.
        """
        if not canonical.is_canonical(line):
            raise ValueError("la ligne n'est pas un événement sous sa forme canonique")
        fields = json.loads(line)
        try:
            if set(fields) != {
                "seq", "heure", "evenement", "compte", "aip", "resultat", "detail", "precedent",
            }:  # fmt: skip # the condition as one
                raise TypeError
            return cls(
                int(fields["seq"]), str(fields["heure"]), str(fields["evenement"]), str(fields["compte"]),
                fields["aip"], str(fields["resultat"]), dict(fields["detail"]), str(fields["precedent"]), line,
            )  # fmt: skip # one call by its parts
        except (TypeError, ValueError):
            raise ValueError("la ligne n'a pas les champs d'un événement") from None

    @property
    def at(self) -> datetime:
        """Its time, as the machine's clock said it."""
        return parse_time(self.time)

    @property
    def hash(self) -> bytes:
        """Its hash as a leaf of a Merkle tree."""
        return merkle.leaf(self.line.encode())


def format_time(when: datetime) -> str:
    """RFC 3339, UTC, with microseconds: always 27 characters."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """The inverse of `format_time`."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


class Journal:
    """The journal of one archive.

    Args:
        path: the SQLite file; made with its first event, journal.ouverture, when it does not exist.
        clock: for tests.
        opening: False leaves a new file empty, for a journal that is restored.

    Raises:
        JournalError: the file cannot be used.
    """

    def __init__(
        self, path: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC), *, opening: bool = True
    ) -> None:
        self.path = Path(path)
        self._clock = clock
        self._lock = threading.RLock()  # one connection, for a threaded service
        from creatic_agent.book import connect  # on the gateway: what is verified elsewhere has no journal

        with self._translate_errors():
            self._db = connect(self.path, threaded=True)
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'jamais_efface'").fetchone():
                self._db.executescript(f"BEGIN IMMEDIATE; {_JOURNAL_SCHEMA} COMMIT;")
            if opening:
                self._open_file()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def settle(self) -> None:
        """Bring everything into the one file, so that it may be moved."""
        with self._lock, self._translate_errors():
            self._db.execute("PRAGMA journal_mode=DELETE")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path} inutilisable : {error}") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction, on disk when it ends; nothing of it is left if it fails."""
        with self._lock, self._translate_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def query(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a reading statement."""
        with self._lock, self._translate_errors():
            return self._db.execute(statement, values).fetchall()

    def _open_file(self) -> None:
        some = "SELECT 1 FROM evenement LIMIT 1"
        if self._db.execute(some).fetchone():  # a damaged journal opens all the same: it must be read
            return
        with self.transaction() as db:
            if db.execute(some).fetchone() is None:
                self._write_event(OPENING, "sae", None, "succes", {"journal": str(uuid.uuid4()), "format": 1}, None)

    def append(
        self,
        event: str,
        *,
        account: str,
        aip: str | None,
        outcome: str,
        detail: dict[str, Any],
        key: str | None = None,
    ) -> int:
        """Record an event; it is on disk when this returns.

        Args:
            event: lower-case words and dots, such as versement.accepte.
            account: slug of the service versant, or "sae" for the archive's own operations.
            aip: identifier of the AIP concerned, if there is one.
            outcome: "succes", "refus", "echec" or "anomalie".
            detail: what else must be proved (digests, sizes, reasons). Text, integers, booleans, lists, dicts.
            key: makes the call idempotent: a second append with the same key changes nothing and gives the
                first one's number, so that an operation taken up after a crash is journaled once.

        Returns:
            The event's sequence number; numbers have no gap.

        Raises:
            JournalError: nothing was recorded (disk full, file damaged).
            ValueError: the event has no canonical form.
        """
        if not _EVENT.fullmatch(event):
            raise ValueError(f"not an event name: {event!r}")
        canonical.encode(detail)
        with self.transaction() as db:
            if key is not None:
                known = db.execute("SELECT seq FROM evenement WHERE cle = ?", (key,)).fetchone()
                if known:
                    return int(known[0])
            last = self._last_event()
            now = self._clock()
            if last is not None and now < last.at - TOLERANCE:
                told = {"avant": last.time, "maintenant": format_time(now)}
                self._write_event(CLOCK, "sae", None, "anomalie", told, None)
            return self._write_event(event, account, aip, outcome, detail, key)

    def note(
        self,
        event: str,
        account: str,
        outcome: str,
        detail: Mapping[str, Any],
        aip: str | None = None,
        key: str | None = None,
    ) -> int:
        """As `append`."""
        return self.append(event, account=account, aip=aip, outcome=outcome, detail=dict(detail), key=key)

    def _write_event(
        self, event: str, account: str, aip: str | None, outcome: str, detail: dict[str, Any], key: str | None
    ) -> int:
        last = self._last_event()
        seq = last.seq + 1 if last else 1
        line = canonical.encode(
            {
                "seq": seq,
                "heure": format_time(self._clock()),
                "evenement": event,
                "compte": account,
                "aip": aip,
                "resultat": outcome,
                "detail": detail,
                "precedent": last.hash.hex() if last else "",
            }
        )
        self._db.execute("INSERT INTO evenement (seq, ligne, aip, cle) VALUES (?, ?, ?, ?)", (seq, line, aip, key))
        return seq

    def _last_event(self) -> Event | None:
        found = self._db.execute("SELECT seq, ligne FROM evenement ORDER BY seq DESC LIMIT 1").fetchone()
        return self._read_event(*found) if found else None

    def _read_event(self, seq: int, line: str) -> Event:
        try:
            event = Event.read(line)
        except ValueError as error:
            raise JournalError(f"journal {self.path}, événement {seq} : {error}") from error
        if event.seq != seq:
            raise JournalError(f"journal {self.path}, événement {seq} : la ligne se dit l'événement {event.seq}")
        return event

    @property
    def identifier(self) -> str:
        """The journal's own identifier, given at its opening and named by every seal."""
        first = next(self.events(1, 1), None)
        if first is None or first.event != OPENING:
            raise JournalError(f"journal {self.path} : son premier événement n'est pas son ouverture")
        return str(first.detail["journal"])

    def last(self) -> Event | None:
        """The latest event."""
        with self._lock, self._translate_errors():
            return self._last_event()

    def events(self, first: int = 1, last: int | None = None, *, aip: str | None = None) -> Iterator[Event]:
        """Events in order, from `first` to `last` (both included), of one AIP if it is given."""
        for seq, line in self.lines(first, last, aip=aip):
            yield self._read_event(seq, line)

    def lines(self, first: int = 1, last: int | None = None, *, aip: str | None = None) -> Iterator[tuple[int, str]]:
        """Numbers and lines as they are in the file, damaged ones too."""
        condition, values = "seq >= ? AND seq <= ?", [first, last if last is not None else 2**62]
        if aip is not None:
            condition, values = f"{condition} AND aip = ?", [*values, aip]  # type: ignore[list-item] # SQL values
        query = f"SELECT seq, ligne FROM evenement WHERE {condition} ORDER BY seq LIMIT 1000"  # noqa: S608 - no value in it
        while True:
            with self._lock, self._translate_errors():
                rows = self._db.execute(query, values).fetchall()
            yield from rows
            if len(rows) < 1000:
                return
            values[0] = rows[-1][0] + 1
