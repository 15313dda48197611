"""What the platform has received: an SQLite database (WAL) and a folder of files named by their SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from creatic_agent.book import connect, transaction
from creatic_agent.durable import fresh, unused

from . import classification, clock, messages, workflow
from .config import Authority, Config
from .workflow import Kind, Step

_CHUNK = 1 << 20

_SCHEMA = """
CREATE TABLE IF NOT EXISTS transactions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  siren TEXT NOT NULL,
  login TEXT NOT NULL,
  kind INTEGER NOT NULL,
  related_id INTEGER REFERENCES transactions (id),
  nature INTEGER,
  number TEXT NOT NULL DEFAULT '',
  subject TEXT NOT NULL DEFAULT '',
  decision_date TEXT NOT NULL DEFAULT '',
  classification TEXT NOT NULL DEFAULT '',
  classification_date TEXT NOT NULL DEFAULT '',
  document_papier INTEGER NOT NULL DEFAULT 0,
  unique_id TEXT NOT NULL DEFAULT '',
  response INTEGER,
  created REAL NOT NULL,
  posted REAL,
  anomaly TEXT,
  forced_status INTEGER,
  forced_message TEXT,
  forced_at REAL,
  read INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS one_act_per_number ON transactions (siren, number) WHERE kind = 1;
CREATE INDEX IF NOT EXISTS by_related ON transactions (related_id);
CREATE TABLE IF NOT EXISTS files (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  transaction_id INTEGER NOT NULL REFERENCES transactions (id),
  name TEXT NOT NULL,
  posted_filename TEXT NOT NULL,
  mimetype TEXT NOT NULL,
  size INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  sign TEXT NOT NULL DEFAULT '',
  code_pj TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS by_transaction ON files (transaction_id);
CREATE TABLE IF NOT EXISTS helios (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  siren TEXT NOT NULL,
  filename TEXT NOT NULL,
  sha1 TEXT NOT NULL UNIQUE,
  sha256 TEXT NOT NULL,
  size INTEGER NOT NULL,
  created REAL NOT NULL,
  anomaly TEXT
);
CREATE TABLE IF NOT EXISTS helios_flows (
  helios_id INTEGER PRIMARY KEY REFERENCES helios (id),
  name TEXT NOT NULL,
  cod_col TEXT NOT NULL,
  answer INTEGER NOT NULL,
  refusal TEXT
);
CREATE INDEX IF NOT EXISTS by_name ON helios_flows (name, cod_col);
CREATE TABLE IF NOT EXISTS pes_retour (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  siren TEXT NOT NULL,
  filename TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  created REAL NOT NULL,
  read INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS faults (
  name TEXT PRIMARY KEY, value REAL, remaining INTEGER, target TEXT NOT NULL, since REAL NOT NULL
);
"""


class DuplicateError(Exception):
    """The number of the act, or the content of the PES, is known already."""


@dataclass(frozen=True)
class StoredFile:
    """Content kept on disk."""

    path: Path
    size: int
    sha1: str
    sha256: str


@dataclass(frozen=True)
class Attachment:
    """A file of a transaction, before its transaction exists."""

    name: str
    posted_filename: str
    mimetype: str
    content: StoredFile
    code_pj: str = ""
    sign: str = ""


@dataclass(frozen=True)
class Fault:
    """A switch.

    Attributes:
        value: seconds, for « lent ».
        remaining: number of times it still strikes; None until it is removed.
        target: strikes only the addresses that contain this text.
        since: when it was turned on (seconds since the epoch).
    """

    name: str
    value: float | None
    remaining: int | None
    target: str
    since: float


@dataclass(frozen=True)
class Transaction:
    """A row with what it has become by now."""

    row: sqlite3.Row
    authority: Authority
    steps: list[Step]
    step: Step

    @property
    def id(self) -> int:
        return int(self.row["id"])

    @property
    def kind(self) -> Kind:
        return Kind(self.row["kind"])

    @property
    def status(self) -> int:
        return self.step.status

    @property
    def decision_date(self) -> date:
        return date.fromisoformat(self.row["decision_date"])

    @property
    def status_name(self) -> str:
        return workflow.STATUS_NAMES.get(self.status, str(self.status))

    def reached(self, status: int) -> Step | None:
        """Return the step of a status, when the transaction has been through it."""
        at = self.step.at
        return next((step for step in self.steps if step.status == status and step.at <= at), None)


class Store:
    """All the state of the simulator; safe to use from several threads and processes."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.clock: Callable[[], float] = time.time  # seconds since the epoch
        self._files = config.data_dir / "fichiers"
        self._incoming = config.data_dir / "arrivees"
        for folder in (config.data_dir, self._files, self._incoming):
            folder.mkdir(parents=True, exist_ok=True)
        with self._connect() as db:
            db.executescript(_SCHEMA)

    def _connect(self) -> contextlib.closing[sqlite3.Connection]:
        return contextlib.closing(connect(self.config.data_dir / "tdt.sqlite"))

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._connect() as db, transaction(db):
            yield db

    # Files

    def receive(self, chunks: Iterator[bytes]) -> StoredFile:
        """Write a content to disk and name it by its SHA-256; it is there for good when this returns."""
        sha1, sha256, size = hashlib.sha1(usedforsecurity=False), hashlib.sha256(), 0
        arriving = unused(self._incoming)
        try:
            with fresh(arriving) as target:
                for chunk in chunks:
                    sha1.update(chunk)
                    sha256.update(chunk)
                    size += len(chunk)
                    target.write(chunk)
            path = self._files / sha256.hexdigest()
            arriving.replace(path)
        except BaseException:
            arriving.unlink(missing_ok=True)
            raise
        return StoredFile(path, size, sha1.hexdigest(), sha256.hexdigest())

    def receive_bytes(self, content: bytes) -> StoredFile:
        """Keep a content which is in memory."""
        return self.receive(iter([content]))

    def path(self, sha256: str) -> Path:
        """Return where a content which was kept is."""
        return self._files / sha256

    def content(self, sha256: str) -> bytes:
        """Return a content which was kept."""
        return (self._files / sha256).read_bytes()

    # Faults

    def faults(self) -> dict[str, Fault]:
        """Return the switches that are on."""
        with self._connect() as db:
            rows = db.execute("SELECT * FROM faults ORDER BY name").fetchall()
        return {row["name"]: Fault(**row) for row in rows}

    def set_fault(self, name: str, value: float | None = None, times: int | None = None, target: str = "") -> None:
        """Turn a switch on, for ``times`` strikes or until it is removed (see Fault)."""
        with self._write() as db:
            db.execute(
                "INSERT OR REPLACE INTO faults (name, value, remaining, target, since) VALUES (?, ?, ?, ?, ?)",
                (name, value, times, target, self.clock()),
            )

    def clear_faults(self, name: str | None = None) -> None:
        """Turn a switch off, or all of them."""
        with self._write() as db:
            db.execute("DELETE FROM faults WHERE ? IS NULL OR name = ?", (name, name))

    def _held_since(self) -> float | None:
        fault = self.faults().get("bloque3")
        return fault.since if fault else None

    def strike(self, name: str, address: str) -> Fault | None:
        """Return the switch when it is on for an address, and count this strike."""
        query = "SELECT * FROM faults WHERE name = ? AND instr(?, target) > 0"
        with self._connect() as db:  # most calls end here: no write lock when the switch is off
            if db.execute(query, (name, address)).fetchone() is None:
                return None
        with self._write() as db:
            row = db.execute(query, (name, address)).fetchone()
            if row is None:
                return None
            if row["remaining"] is not None:
                db.execute("UPDATE faults SET remaining = remaining - 1 WHERE name = ?", (name,))
                db.execute("DELETE FROM faults WHERE name = ? AND remaining <= 0", (name,))
        return Fault(**row)

    # ACTES

    def add(
        self,
        siren: str,
        login: str,
        kind: Kind,
        attachments: list[Attachment],
        *,
        waiting: bool = False,
        **columns: object,
    ) -> int:
        """Record a transaction and its files, in one database transaction.

        Args:
            waiting: kept at status 17 until somebody posts it.
            columns: other columns of the row.

        Returns:
            The id of the transaction.

        Raises:
            DuplicateError: the authority has an act of this number already.
        """
        now = self.clock()
        row = {
            "siren": siren,
            "login": login,
            "kind": int(kind),
            "created": now,
            "posted": None if waiting else now,
            **columns,
        }
        names = ", ".join(row)  # column names come from the code, never from a request
        marks = ", ".join("?" * len(row))
        with self._write() as db:
            try:
                cursor = db.execute(
                    f"INSERT INTO transactions ({names}) VALUES ({marks})",  # noqa: S608 - see above
                    tuple(row.values()),
                )
            except sqlite3.IntegrityError as error:
                raise DuplicateError(str(row.get("number"))) from error
            identifier = int(cursor.lastrowid or 0)
            db.executemany(
                "INSERT INTO files (transaction_id, name, posted_filename, mimetype, size, sha256, sign,"
                " code_pj) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        identifier,
                        a.name,
                        a.posted_filename,
                        a.mimetype,
                        a.content.size,
                        a.content.sha256,
                        a.sign,
                        a.code_pj,
                    )
                    for a in attachments
                ],
            )
        return identifier

    def has_number(self, siren: str, number: str) -> bool:
        """Tell whether an authority has used a number."""
        with self._connect() as db:
            query = "SELECT 1 FROM transactions WHERE kind = 1 AND siren = ? AND number = ?"
            return db.execute(query, (siren, number)).fetchone() is not None

    def _view(
        self, row: sqlite3.Row, cancellations: dict[int, list[sqlite3.Row]], now: float, held: float | None
    ) -> Transaction:
        kind, delay = Kind(row["kind"]), self.config.delay
        steps = workflow.acte_steps(
            kind,
            row["created"],
            row["posted"],
            delay,
            is_response=row["response"] is not None,
            anomaly=row["anomaly"],
        )
        if kind == Kind.ACTE:
            for cancel in cancellations.get(row["id"], []):
                course = workflow.acte_steps(Kind.ANNULATION, cancel["created"], cancel["posted"], delay)
                if workflow.current(course, now, held).status == workflow.ACKNOWLEDGED:
                    steps.append(Step(workflow.CANCELLED, course[-1].at, "Annulé"))
        if row["forced_status"] is not None:
            steps = [step for step in steps if step.at <= row["forced_at"]]
            steps.append(Step(row["forced_status"], row["forced_at"], row["forced_message"] or ""))
            return Transaction(row, self.config.authorities[row["siren"]], steps, steps[-1])
        step = workflow.current(steps, now, held)
        return Transaction(row, self.config.authorities[row["siren"]], steps, step)

    def transactions(self, where: str = "1", *parameters: object) -> list[Transaction]:
        """Return the transactions that match an SQL condition, newest first.

        Args:
            where: condition written in the code; values go in ``parameters``.
        """
        held, now = self._held_since(), self.clock()
        with self._connect() as db:
            rows = db.execute(
                f"SELECT * FROM transactions WHERE {where} ORDER BY id DESC",  # noqa: S608 - see the docstring
                parameters,
            ).fetchall()
            cancellations: dict[int, list[sqlite3.Row]] = {}
            for cancel in db.execute("SELECT * FROM transactions WHERE kind = ?", (int(Kind.ANNULATION),)):
                cancellations.setdefault(cancel["related_id"], []).append(cancel)
        known = [row for row in rows if row["siren"] in self.config.authorities]
        return [self._view(row, cancellations, now, held) for row in known]

    def transaction(self, identifier: int, siren: str | None = None) -> Transaction | None:
        """Return one transaction, of any authority or of this one."""
        found = self.transactions("id = ? AND (? IS NULL OR siren = ?)", identifier, siren, siren)
        return found[0] if found else None

    def by_unique_id(self, unique_id: str, siren: str) -> Transaction | None:
        """Find an act by its IDActe once acknowledged, or by the name of its message file at any time."""
        for found in self.transactions("kind = 1 AND siren = ? AND unique_id = ?", siren, unique_id):
            if found.reached(workflow.ACKNOWLEDGED):
                return found
        query = "id IN (SELECT transaction_id FROM files WHERE name = ?) AND siren = ?"
        found_by_file = self.transactions(query, f"{unique_id}_0.xml", siren)
        return found_by_file[0] if found_by_file else None

    def files(self, transaction_id: int) -> list[sqlite3.Row]:
        """Return the files of a transaction: its message first, then the act, then the annexes."""
        with self._connect() as db:
            query = "SELECT * FROM files WHERE transaction_id = ? ORDER BY id"
            return db.execute(query, (transaction_id,)).fetchall()

    def file(self, identifier: int) -> sqlite3.Row | None:
        """Return one file."""
        with self._connect() as db:
            row: sqlite3.Row | None = db.execute("SELECT * FROM files WHERE id = ?", (identifier,)).fetchone()
            return row

    def post(self, identifier: int) -> None:
        """Release a transaction that waited (status 17)."""
        with self._write() as db:
            db.execute(
                "UPDATE transactions SET posted = ? WHERE id = ? AND posted IS NULL",
                (self.clock(), identifier),
            )

    def force(self, identifier: int, status: int, message: str) -> None:
        """Give a transaction a status for good."""
        with self._write() as db:
            db.execute(
                "UPDATE transactions SET forced_status = ?, forced_message = ?, forced_at = ? WHERE id = ?",
                (status, message, self.clock(), identifier),
            )

    def mark_read(self, identifier: int, siren: str) -> None:
        """Note that an authority has read a letter."""
        with self._write() as db:
            db.execute("UPDATE transactions SET read = 1 WHERE id = ? AND siren = ?", (identifier, siren))

    def served_classification(self, siren: str) -> date:
        """Return the date of the nomenclature that the platform holds for an authority.

        While the fault « classification » is on, it is the outdated one, until the authority's request,
        made since, is answered.
        """
        in_force = classification.in_force(clock.today())
        fault = self.faults().get("classification")
        if fault is None:
            return in_force
        requests = self.transactions(
            "kind = ? AND siren = ? AND created >= ?", int(Kind.CLASSIFICATION), siren, fault.since
        )
        answered = any(request.reached(workflow.ACKNOWLEDGED) for request in requests)
        return in_force if answered else classification.OUTDATED

    def acte(self, found: Transaction) -> messages.Acte:
        """Return what the messages say of an act."""
        row, files = found.row, self.files(found.id)[1:]
        return messages.Acte(
            number=row["number"],
            nature=row["nature"],
            abbreviation=classification.ABBREVIATIONS[row["nature"]],
            subject=row["subject"],
            decision_date=found.decision_date,
            classification=row["classification"],
            classification_date=date.fromisoformat(row["classification_date"]),
            document_papier=bool(row["document_papier"]),
            document=files[0]["name"],
            annexes=[file["name"] for file in files[1:]],
            signatures={file["name"]: file["sign"] for file in files if file["sign"]},
        )

    # Helios

    def add_helios(
        self,
        siren: str,
        filename: str,
        content: StoredFile,
        anomaly: str | None,
        *,
        name: str = "",
        cod_col: str = "",
        answer: int = workflow.INFORMATION,
        refusal: str | None = None,
    ) -> int:
        """Record a PES; one whose name is known already is recorded in error, as S²LOW does.

        Args:
            anomaly: why the platform puts it in error.
            name: NomFic, unique for each CodCol among the flows that are not in error.
            answer: status that the DGFiP's receipt gives it.
            refusal: what the receipt refuses in it; None when all is accepted.

        Raises:
            DuplicateError: a PES of the same SHA-1 is known, from any authority.
        """
        with self._write() as db:
            known = "SELECT 1 FROM helios_flows WHERE name = ? AND cod_col = ?"
            if anomaly is None and name and db.execute(known, (name, cod_col)).fetchone():
                anomaly = "ce fichier existe déjà sur la plateforme"
            try:
                cursor = db.execute(
                    "INSERT INTO helios (siren, filename, sha1, sha256, size, created, anomaly)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (siren, filename, content.sha1, content.sha256, content.size, self.clock(), anomaly),
                )
            except sqlite3.IntegrityError as error:
                raise DuplicateError(content.sha1) from error
            identifier = int(cursor.lastrowid or 0)
            if anomaly is None:
                db.execute(
                    "INSERT INTO helios_flows VALUES (?, ?, ?, ?, ?)", (identifier, name, cod_col, answer, refusal)
                )
            return identifier

    def helios(self, siren: str | None = None, identifier: int | None = None) -> list[tuple[sqlite3.Row, Step]]:
        """Return PES with what they have become, newest first."""
        held, now = self._held_since(), self.clock()
        with self._connect() as db:
            rows = db.execute(
                "SELECT * FROM helios LEFT JOIN helios_flows ON helios_id = id"
                " WHERE (? IS NULL OR siren = ?) AND (? IS NULL OR id = ?) ORDER BY id DESC",
                (siren, siren, identifier, identifier),
            ).fetchall()
        delay = self.config.delay
        return [
            (row, workflow.current(steps, now, held))
            for row in rows
            for steps in [
                workflow.helios_steps(row["created"], delay, row["anomaly"], row["answer"] or workflow.INFORMATION)
            ]
        ]

    def add_pes_retour(self, siren: str, filename: str, content: bytes) -> int:
        """Put a PES Retour at an authority's disposal."""
        stored = self.receive_bytes(content)
        with self._write() as db:
            cursor = db.execute(
                "INSERT INTO pes_retour (siren, filename, sha256, created) VALUES (?, ?, ?, ?)",
                (siren, filename, stored.sha256, self.clock()),
            )
            return int(cursor.lastrowid or 0)

    def pes_retours(self, siren: str) -> list[sqlite3.Row]:
        """Return the PES Retour of an authority, oldest first."""
        with self._connect() as db:
            return db.execute("SELECT * FROM pes_retour WHERE siren = ? ORDER BY id", (siren,)).fetchall()

    def read_pes_retour(self, identifier: int, siren: str) -> bool:
        """Note that a PES Retour was read; False when the authority has no such one."""
        with self._write() as db:
            query = "UPDATE pes_retour SET read = 1 WHERE id = ? AND siren = ?"
            return db.execute(query, (identifier, siren)).rowcount == 1
