"""The journal: a SQLite file that says, at any moment, where every deposit stands.

A state changes in one transaction, on disk before the call returns (WAL, synchronous=FULL), and every
change leaves a line in `evenement`. The intention to send is recorded before the request leaves; only the
TdT's answer, or its list of acts, moves a deposit on from there.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from creatic_agent.book import connect, transaction
from creatic_agent.errors import CreaticError


class State(StrEnum):
    """States of a deposit; the values are what users read in `status`."""

    DEPOSITED = "depose"
    CHECKED = "verifie"
    INTENT = "intention"
    SENT = "envoye"
    ACKNOWLEDGED = "acquitte"
    REFUSED = "refuse"
    ERROR = "erreur"
    CANCELLED = "annule"
    KEPT = "conserve"  # declared as not to be transmitted (CGCT, L2131-2)
    REJECTED = "rejete"
    TO_RECONCILE = "a_rapprocher"

    @property
    def label(self) -> str:
        """The state as people say it."""
        return _LABELS[self]


_LABELS = {
    State.DEPOSITED: "déposé",
    State.CHECKED: "vérifié",
    State.INTENT: "envoi en cours",
    State.SENT: "envoyé",
    State.ACKNOWLEDGED: "acquitté",
    State.REFUSED: "refusé",
    State.ERROR: "en erreur",
    State.CANCELLED: "annulé",
    State.KEPT: "conservé sans être transmis",
    State.REJECTED: "rejeté",
    State.TO_RECONCILE: "à rapprocher",
}

FINAL = (State.ACKNOWLEDGED, State.REFUSED, State.ERROR, State.CANCELLED, State.KEPT, State.REJECTED)
# From INTENT only the TdT (an answer, or its list) or a person (from TO_RECONCILE) leads on.
ALLOWED = {
    State.DEPOSITED: {State.CHECKED, State.KEPT, State.REJECTED},
    State.CHECKED: {State.INTENT, State.REJECTED},
    State.INTENT: {State.CHECKED, State.SENT, State.REJECTED, State.TO_RECONCILE},
    State.SENT: {State.ACKNOWLEDGED, State.REFUSED, State.ERROR, State.CANCELLED, State.TO_RECONCILE},
    State.TO_RECONCILE: {State.INTENT, State.SENT, State.CHECKED, State.REJECTED},
}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS depot (
  id INTEGER PRIMARY KEY,
  ref TEXT NOT NULL UNIQUE,
  genre TEXT NOT NULL,
  etat TEXT NOT NULL,
  numero TEXT,
  empreinte TEXT,
  fichiers TEXT NOT NULL,
  acte TEXT,
  transaction_tdt INTEGER,
  statut_tdt INTEGER,
  statut_depuis REAL,
  idacte TEXT,
  aracte_le TEXT,
  incertain INTEGER NOT NULL DEFAULT 0,
  absences INTEGER NOT NULL DEFAULT 0,
  essais INTEGER NOT NULL DEFAULT 0,
  prochain REAL NOT NULL DEFAULT 0,
  detail TEXT NOT NULL DEFAULT '',
  depose_le REAL NOT NULL,
  modifie_le REAL NOT NULL,
  retire_du_depot INTEGER NOT NULL DEFAULT 0,
  classe INTEGER NOT NULL DEFAULT 0
);
-- The same number, or the same PES, is never on its way twice.
CREATE UNIQUE INDEX IF NOT EXISTS un_numero ON depot(numero)
  WHERE genre = 'acte' AND etat NOT IN ('depose', 'rejete');
CREATE UNIQUE INDEX IF NOT EXISTS un_pes ON depot(empreinte)
  WHERE genre = 'pes' AND etat NOT IN ('depose', 'rejete');
CREATE INDEX IF NOT EXISTS a_faire ON depot(etat, classe);
CREATE TABLE IF NOT EXISTS evenement (
  id INTEGER PRIMARY KEY,
  depot_id INTEGER NOT NULL REFERENCES depot(id),
  le REAL NOT NULL,
  de TEXT,
  vers TEXT NOT NULL,
  detail TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS valeur (cle TEXT PRIMARY KEY, valeur TEXT NOT NULL);
"""
# Names that the connector gave (handover): a number of the commune, and a digest.
_OURS = re.compile(r"-[0-9a-f]{12}(-annexe-\d+)?\.\w+$")
_COLUMNS = {
    "numero",
    "empreinte",
    "acte",
    "transaction_tdt",
    "statut_tdt",
    "statut_depuis",
    "idacte",
    "aracte_le",
    "incertain",
    "absences",
    "essais",
    "prochain",
    "detail",
    "retire_du_depot",
    "classe",
}


class AlreadyUsed(CreaticError, cause="numero_pris"):
    """The number, or the PES, already belongs to another deposit of the journal."""


class StateChanged(CreaticError, cause="etat_change"):
    """The deposit was moved by someone else meanwhile, or may not move that way."""


@dataclass(frozen=True)
class SeenFile:
    """A file as it was in depot/ when it was taken: enough to know it again."""

    name: str
    inode: int
    size: int
    mtime_ns: int
    sha256: str = ""


@dataclass(frozen=True)
class Row:
    """One deposit. Times are seconds since the epoch; `act` is what Act.to_dict gave."""

    id: int
    ref: str
    kind: str  # acte, pes or autre
    state: State
    number: str | None
    fingerprint: str | None
    files: tuple[SeenFile, ...]
    act: dict[str, Any] | None
    transaction: int | None
    remote_status: int | None
    status_since: float | None
    idacte: str | None
    acknowledged_on: str | None
    uncertain: bool
    absences: int
    attempts: int
    due: float
    detail: str
    deposited_at: float
    changed_at: float
    cleared: bool
    filed: bool

    @property
    def title(self) -> str:
        """How the deposit is called in messages."""
        return self.number or self.ref


class Journal:
    """The journal's file. One process writes at a time; readers are welcome."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = connect(path, timeout=10)
        self._db.execute("PRAGMA foreign_keys=ON")
        with transaction(self._db):
            for statement in _SCHEMA.split(";\n"):
                self._db.execute(statement)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(
        self, ref: str, kind: str, files: Iterable[SeenFile], state: State = State.DEPOSITED, detail: str = ""
    ) -> Row:
        """Record a new deposit: DEPOSITED once its files are safe, or REJECTED before they move."""
        now = time.time()
        listed = json.dumps([vars(item) for item in files])
        with transaction(self._db):
            row_id = self._db.execute(
                "INSERT INTO depot (ref, genre, etat, fichiers, detail, depose_le, modifie_le)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (ref, kind, state, listed, _clean(detail), now, now),
            ).lastrowid
            self._event(row_id, None, state, detail)
        return self.get(row_id)

    def move(self, row: Row, state: State, **values: Any) -> Row:
        """Move a deposit to another state, with other columns in the same transaction.

        Raises StateChanged, or AlreadyUsed when the number or the PES is taken.
        """
        if state not in ALLOWED.get(row.state, ()):
            raise StateChanged(f"{row.title} : passage de « {row.state} » à « {state} » impossible")
        values.setdefault("detail", "")
        values.setdefault("prochain", 0)
        try:
            with transaction(self._db):
                self._update(row, state, values)
                self._event(row.id, row.state, state, values["detail"])
        except sqlite3.IntegrityError as error:
            raise AlreadyUsed(values.get("numero") or row.title) from error
        return self.get(row.id)

    def note(self, row: Row, **values: Any) -> Row:
        """Change columns without changing state; raises StateChanged if the state is no longer the row's."""
        with transaction(self._db):
            self._update(row, row.state, values)
        return self.get(row.id)

    def redact(self, name: str) -> None:
        """Forget what was said of people in the deposits of an act that the archive eliminated.

        Its numbers stay, and the names that its files got from the passerelle (handover): by them nothing leaves twice.

        Args:
            name: of the act's folder: its IDActe, or PES-<transaction>-….
        """
        flow = re.match(r"PES-(\d+)-", name)
        with transaction(self._db):
            rows = self._db.execute(
                "SELECT id, fichiers FROM depot WHERE idacte = ? OR (genre = 'pes' AND transaction_tdt = ?)",
                (name, int(flow[1]) if flow else None),
            ).fetchall()
            for row in rows:
                files = [
                    one | {"name": one["name"] if _OURS.search(one["name"]) else f"elimine{Path(one['name']).suffix}"}
                    for one in json.loads(row["fichiers"])
                ]
                self._db.execute(
                    "UPDATE depot SET fichiers = ?, acte = NULL, detail = '' WHERE id = ?",
                    (json.dumps(files), row["id"]),
                )
                self._db.execute("UPDATE evenement SET detail = '' WHERE depot_id = ?", (row["id"],))

    def _update(self, row: Row, state: State, values: Mapping[str, Any]) -> None:
        unknown = set(values) - _COLUMNS
        if unknown:
            raise ValueError(f"unknown columns {unknown}")
        columns = {**values, "etat": state, "modifie_le": time.time()}
        if "detail" in columns:
            columns["detail"] = _clean(columns["detail"])
        if isinstance(columns.get("acte"), dict):
            columns["acte"] = json.dumps(columns["acte"])
        assignments = ", ".join(f"{name} = ?" for name in columns)
        done = self._db.execute(
            f"UPDATE depot SET {assignments} WHERE id = ? AND etat = ?",  # noqa: S608 - names come from _COLUMNS
            (*columns.values(), row.id, row.state),
        )
        if done.rowcount != 1:
            raise StateChanged(f"{row.title} n'est plus dans l'état « {row.state} »")

    def _event(self, row_id: int | None, before: State | None, after: State, detail: str) -> None:
        self._db.execute(
            "INSERT INTO evenement (depot_id, le, de, vers, detail) VALUES (?, ?, ?, ?, ?)",
            (row_id, time.time(), before, after, _clean(detail)),
        )

    def get(self, row_id: int | None) -> Row:
        """The deposit with this id; KeyError if there is none."""
        found = self._db.execute("SELECT * FROM depot WHERE id = ?", (row_id,)).fetchone()
        if found is None:
            raise KeyError(row_id)
        return _row(found)

    def find(self, name: str) -> list[Row]:
        """Deposits with this number, reference, IDActe or transaction, newest first."""
        rows = self._db.execute(
            "SELECT * FROM depot WHERE ? IN (numero, ref, idacte, CAST(transaction_tdt AS TEXT)) ORDER BY id DESC",
            (name,),
        )
        return [_row(item) for item in rows]

    def with_file(self, name: str) -> list[Row]:
        """Deposits that have a file of this name, newest first."""
        rows = self._db.execute(
            "SELECT * FROM depot WHERE instr(fichiers, ?) ORDER BY id DESC", (json.dumps({"name": name})[1:-1],)
        )
        return [_row(item) for item in rows]

    def rows(self, *states: State) -> list[Row]:
        """Deposits in one of these states, oldest first."""
        marks = ", ".join("?" * len(states))
        query = f"SELECT * FROM depot WHERE etat IN ({marks}) ORDER BY id"  # noqa: S608 - only question marks
        return [_row(item) for item in self._db.execute(query, states)]

    def uncleared(self) -> list[Row]:
        """Deposits whose files may still be in depot/."""
        return [_row(item) for item in self._db.execute("SELECT * FROM depot WHERE retire_du_depot = 0 ORDER BY id")]

    def unfiled(self) -> list[Row]:
        """Finished deposits that are not yet in their last folder."""
        marks = ", ".join("?" * len(FINAL))
        query = f"SELECT * FROM depot WHERE classe = 0 AND etat IN ({marks}) ORDER BY id"  # noqa: S608 - question marks alone
        return [_row(item) for item in self._db.execute(query, FINAL)]

    def recent(self, limit: int) -> list[Row]:
        """The last deposits, newest first."""
        return [_row(item) for item in self._db.execute("SELECT * FROM depot ORDER BY id DESC LIMIT ?", (limit,))]

    def counts(self) -> dict[State, int]:
        """How many deposits stand in each state."""
        found = dict(self._db.execute("SELECT etat, COUNT(*) FROM depot GROUP BY etat").fetchall())
        return {state: found.get(state, 0) for state in State}

    def refused(self) -> tuple[int, int]:
        """How many acts the préfecture refused, how many flows the DGFiP did."""
        query = "SELECT COALESCE(SUM(genre <> 'pes'), 0), COALESCE(SUM(genre = 'pes'), 0) FROM depot WHERE etat = ?"
        acts, flows = self._db.execute(query, (State.REFUSED,)).fetchone()
        return acts, flows

    def oldest(self, remote_status: int) -> float | None:
        """Since when the oldest deposit awaiting its acknowledgement has had this status at the TdT."""
        query = "SELECT MIN(statut_depuis) FROM depot WHERE etat = ? AND statut_tdt = ?"
        value: float | None = self._db.execute(query, (State.SENT, remote_status)).fetchone()[0]
        return value

    def events(self, row: Row) -> list[tuple[float, str | None, str, str]]:
        """The deposit's history: (time, from, to, detail), oldest first."""
        query = "SELECT le, de, vers, detail FROM evenement WHERE depot_id = ? ORDER BY id"
        return [tuple(item) for item in self._db.execute(query, (row.id,))]

    def value(self, key: str, default: str = "") -> str:
        """A single fact about the connector, such as its last contact."""
        found = self._db.execute("SELECT valeur FROM valeur WHERE cle = ?", (key,)).fetchone()
        return found[0] if found else default

    def set_value(self, key: str, value: object) -> None:
        """Record a single fact; written only if it changes."""
        if self.value(key) != str(value):
            with transaction(self._db):
                self._db.execute("INSERT OR REPLACE INTO valeur VALUES (?, ?)", (key, _clean(str(value))))

    def values(self, prefix: str) -> dict[str, str]:
        """The facts whose name begins so."""
        query = "SELECT cle, valeur FROM valeur WHERE substr(cle, 1, ?) = ? ORDER BY cle"
        return dict(self._db.execute(query, (len(prefix), prefix)).fetchall())

    def forget(self, key: str) -> None:
        """Forget a fact."""
        with transaction(self._db):
            self._db.execute("DELETE FROM valeur WHERE cle = ?", (key,))

    def integrity(self) -> str:
        """'ok', or what SQLite found wrong."""
        return str(self._db.execute("PRAGMA quick_check(1)").fetchone()[0])


def _clean(text: str) -> str:
    """File names that are not UTF-8 must not keep a text out of the journal."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _row(raw: sqlite3.Row) -> Row:
    return Row(
        id=raw["id"],
        ref=raw["ref"],
        kind=raw["genre"],
        state=State(raw["etat"]),
        number=raw["numero"],
        fingerprint=raw["empreinte"],
        files=tuple(SeenFile(**item) for item in json.loads(raw["fichiers"])),
        act=json.loads(raw["acte"]) if raw["acte"] else None,
        transaction=raw["transaction_tdt"],
        remote_status=raw["statut_tdt"],
        status_since=raw["statut_depuis"],
        idacte=raw["idacte"],
        acknowledged_on=raw["aracte_le"],
        uncertain=bool(raw["incertain"]),
        absences=raw["absences"],
        attempts=raw["essais"],
        due=raw["prochain"],
        detail=raw["detail"],
        deposited_at=raw["depose_le"],
        changed_at=raw["modifie_le"],
        cleared=bool(raw["retire_du_depot"]),
        filed=bool(raw["classe"]),
    )
