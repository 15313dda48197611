"""The registry: a SQLite file that knows every archive and every answer given. The archives themselves are the proof;
this is what makes them found, counted against quotas, and answered for again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from creatic_agent.book import connect, transaction
from creatic_agent.errors import CreaticError
from sae.inventory import CONVERSION

_REGISTRY_SCHEMA = """
CREATE TABLE IF NOT EXISTS archive (
  aip TEXT PRIMARY KEY,
  compte TEXT NOT NULL,
  identifiant TEXT NOT NULL,
  empreinte TEXT NOT NULL,
  versement TEXT NOT NULL,
  titre TEXT NOT NULL,
  genre TEXT NOT NULL,
  octets INTEGER NOT NULL,
  sha512 TEXT,
  conserve_jusqua INTEGER NOT NULL,
  sort_final TEXT NOT NULL,
  fichiers TEXT NOT NULL,
  pris_le REAL NOT NULL,
  range_le REAL,
  reponse BLOB,
  UNIQUE (compte, identifiant)
);
CREATE INDEX IF NOT EXISTS par_compte ON archive(compte, pris_le);
CREATE INDEX IF NOT EXISTS par_compte_et_aip ON archive(compte, aip);
CREATE INDEX IF NOT EXISTS en_cours ON archive(versement) WHERE range_le IS NULL;
CREATE TABLE IF NOT EXISTS occupation (compte TEXT PRIMARY KEY, archives INTEGER NOT NULL, octets INTEGER NOT NULL);
INSERT INTO occupation SELECT compte, COUNT(*), SUM(octets) FROM archive
  WHERE NOT EXISTS (SELECT 1 FROM occupation) GROUP BY compte;
CREATE TRIGGER IF NOT EXISTS entre AFTER INSERT ON archive BEGIN
  INSERT INTO occupation VALUES (NEW.compte, 1, NEW.octets)
    ON CONFLICT DO UPDATE SET archives = archives + 1, octets = octets + NEW.octets; END;
CREATE TRIGGER IF NOT EXISTS change AFTER UPDATE OF octets ON archive BEGIN
  UPDATE occupation SET octets = octets + NEW.octets - OLD.octets WHERE compte = NEW.compte; END;
CREATE TRIGGER IF NOT EXISTS sort AFTER DELETE ON archive BEGIN
  UPDATE occupation SET archives = archives - 1, octets = octets - OLD.octets WHERE compte = OLD.compte; END;
CREATE TABLE IF NOT EXISTS reponse (
  versement TEXT PRIMARY KEY,
  compte TEXT NOT NULL,
  identifiant TEXT NOT NULL,
  resultat TEXT NOT NULL,
  temporaire INTEGER NOT NULL,
  aip TEXT,
  le REAL NOT NULL,
  motifs TEXT NOT NULL,
  contenu BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS par_identifiant ON reponse(compte, identifiant, le);
CREATE INDEX IF NOT EXISTS par_resultat ON reponse(compte, resultat);
CREATE INDEX IF NOT EXISTS refus_par_date ON reponse(le) WHERE resultat = 'KO';
CREATE TABLE IF NOT EXISTS refus (
  compte TEXT NOT NULL, jour TEXT NOT NULL, nombre INTEGER NOT NULL, PRIMARY KEY (compte, jour)
);
CREATE TABLE IF NOT EXISTS remis (compte TEXT PRIMARY KEY, heure INTEGER NOT NULL, nombre INTEGER NOT NULL);
"""
# An acceptance holds as long as its archive: what was eliminated and comes again is not answered by it.
_HOLDS = "(resultat = 'KO' OR EXISTS (SELECT 1 FROM archive WHERE archive.aip = reponse.aip))"
# An archive without what grows with its files.
_BRIEF = (
    "aip, compte, identifiant, empreinte, versement, titre, genre, octets, sha512, conserve_jusqua, sort_final,"
    " '[]' AS fichiers, pris_le, range_le, NULL AS reponse"
)
_MAX_LISTED_CHARACTERS = (
    2 << 20
)  # characters of the files of archives that are listed together: a thousand acts, and one at least
_HOUR_SECONDS = 3600  # seconds
_KEPT_REFUSALS = 400 * 86400  # seconds; the journal keeps them for ever
MAX_REFUSALS_PER_DAY = 2000
"""Final refusals of an account in a day (UTC): each is a line of the journal, which nothing shortens, and an answer."""
MAX_DELAYS_PER_HOUR = 100
"""Temporary refusals of an account in an hour, lines of the journal too. By hour and not by day: what made them (a
scanner that was away) ends, and what waits must enter then."""
MAX_WAITING_BYTES = 8_000_000_000
"""Bytes of an account's archives that are on their way to the storage: two of the largest, or months of acts. Until it
has them they are on the door's disk, twice, which is everybody's."""


class IdentifierTakenError(CreaticError, cause="pris"):
    """The identifier belongs to another SIP of this account. `same` tells that its content is this one's."""

    def __init__(self, archive: Archive, same: bool) -> None:
        super().__init__(archive.message)
        self.archive, self.same = archive, same


class QuotaExceededError(CreaticError, cause="quota"):
    """The account has no room left; its text says how much is used, in bytes."""

    def __init__(self, used: int) -> None:
        super().__init__(str(used))
        self.used = used


@dataclass(frozen=True)
class Archive:
    """An archive of an account. Times are seconds since the epoch; `stored` is None until it is in the storage."""

    aip: str
    account: str
    message: str
    fingerprint: str
    versement: str
    title: str
    kind: str
    size: int
    sha512: str | None
    retain_until: int
    action: str
    files: Sequence[Mapping[str, Any]]
    taken: float
    stored: float | None
    reply: bytes | None

    def to_dict(self) -> dict[str, Any]:
        """For answers in JSON, field names in French."""
        return {
            "archive": self.aip,
            "identifiant": self.message,
            "titre": self.title,
            "genre": self.kind,
            "octets": self.size,
            "sha512": self.sha512,
            "conserve_jusqua": _format_day(self.retain_until),
            "sort_final": {"Keep": "Conserver", "Destroy": "Détruire"}.get(self.action, self.action),
            "verse_le": _format_moment(self.stored or self.taken),
            "fichiers": list(self.files),
        }

    def answer(self) -> Answer:
        """The acceptance, as it was given."""
        when, content = self.stored or self.taken, self.reply or b""
        return Answer(self.versement, self.account, self.message, True, False, self.aip, when, [], content)


@dataclass(frozen=True)
class Answer:
    """What was answered to a versement: an ArchiveTransferReply."""

    versement: str
    account: str
    message: str
    accepted: bool
    temporary: bool
    aip: str | None
    when: float
    reasons: Sequence[str]
    content: bytes


def _hour_number(when: float) -> int:
    return int(when) // _HOUR_SECONDS


def _format_day(stamp: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(stamp))


def _format_moment(stamp: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp))


class Registry:
    """The registry's file; several processes and threads may use it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        with self._write_transaction() as db:
            for statement in _REGISTRY_SCHEMA.split(";\n"):
                db.execute(statement)

    @property
    def _connection(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = connect(self._path)
        return db

    def _write_transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self._connection)

    # -- archives ------------------------------------------------------------------------------------------

    def reserve(self, archive: Archive, quota: int) -> None:
        """Give the archive its place, before anything is stored; the same versement may ask again.

        Raises Taken, or OverQuota when the account's bytes would pass `quota`.
        """
        with self._write_transaction() as db:
            found = db.execute(
                "SELECT * FROM archive WHERE compte = ? AND identifiant = ?", (archive.account, archive.message)
            ).fetchone()
            if found is not None:
                known = _build_archive(found)
                if known.versement == archive.versement and known.stored is None and known.aip == archive.aip:
                    return
                raise IdentifierTakenError(known, known.fingerprint == archive.fingerprint)
            used = self._used_bytes(db, archive.account)
            if used + archive.size > quota:
                raise QuotaExceededError(used)
            db.execute(
                "INSERT INTO archive VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, NULL, NULL)",
                (
                    archive.aip, archive.account, archive.message, archive.fingerprint, archive.versement,
                    archive.title, archive.kind, archive.size, archive.retain_until, archive.action,
                    json.dumps(list(archive.files), ensure_ascii=False), archive.taken,
                ),
            )  # fmt: skip # a list by rows

    def release(self, versement: str) -> None:
        """Give back the place of a versement's archive that was never stored."""
        with self._write_transaction() as db:
            db.execute("DELETE FROM archive WHERE versement = ? AND range_le IS NULL", (versement,))

    def accept(self, aip: str, size: int, sha512: str, answer: Answer) -> None:
        """The archive is stored: this and the answer, at once."""
        with self._write_transaction() as db:
            db.execute(
                "UPDATE archive SET octets = ?, sha512 = ?, range_le = ?, reponse = ?"
                " WHERE aip = ? AND range_le IS NULL",
                (size, sha512, answer.when, answer.content, aip),
            )
            self._save_answer(db, answer)

    def forget(self, aip: str) -> None:
        """The archive was eliminated: it is no longer listed nor counted."""
        with self._write_transaction() as db:
            db.execute("DELETE FROM archive WHERE aip = ?", (aip,))

    def archive(self, account: str, aip: str) -> Archive | None:
        """An archive of this account that is stored."""
        query = "SELECT * FROM archive WHERE compte = ? AND aip = ? AND range_le IS NOT NULL"
        found = self._connection.execute(query, (account, aip)).fetchone()
        return _build_archive(found) if found else None

    def find_by_message(self, account: str, message: str) -> Archive | None:
        """The archive of a SIP's identifier, stored or on its way."""
        query = "SELECT * FROM archive WHERE compte = ? AND identifiant = ?"
        found = self._connection.execute(query, (account, message)).fetchone()
        return _build_archive(found) if found else None

    def copies(self, account: str, aip: str) -> list[str]:
        """Archives that are copies of one in another format, the first one first."""
        first = f"{CONVERSION}{aip}"
        query = (
            "SELECT aip FROM archive WHERE compte = ? AND range_le IS NOT NULL AND (identifiant = ?"
            " OR identifiant BETWEEN ? AND ?) ORDER BY pris_le"
        )  # by the index: what follows a dash begins with a digit
        return [
            str(row["aip"]) for row in self._connection.execute(query, (account, first, f"{first}-0", f"{first}-:"))
        ]

    def holding(self, formats: Collection[str]) -> Iterator[Archive]:
        """Archives with a file in one of these formats (PRONOM), by their identifiers; those that come meanwhile too.

        A page at a time: nothing is held while the caller works.
        """
        query = (
            "SELECT * FROM archive WHERE aip > ? AND range_le IS NOT NULL AND EXISTS (SELECT 1 FROM"
            " json_each(archive.fichiers) AS one WHERE json_extract(one.value, '$.format') IN"
            " (SELECT value FROM json_each(?))) ORDER BY aip LIMIT 100"
        )
        after, given = "", json.dumps(sorted(formats))
        while page := [_build_archive(row) for row in self._connection.execute(query, (after, given))]:
            yield from page
            after = page[-1].aip

    def title(self, account: str, aip: str) -> str:
        """What an archive is called; empty when this account has none of that identifier."""
        found = self.archive(account, aip)
        return found.title if found else ""

    def archives(self, account: str, limit: int = 1000, after: str = "") -> list[Archive]:
        """Archives of an account by their identifiers, from the one that follows `after`.

        Fewer than `limit`, and one at least, where they have many files: the door of all accounts holds the list.
        """
        query = "SELECT * FROM archive WHERE compte = ? AND aip > ? AND range_le IS NOT NULL ORDER BY aip LIMIT ?"
        found, left = list[Archive](), _MAX_LISTED_CHARACTERS
        for row in self._connection.execute(query, (account, after, limit)):
            left -= len(row["fichiers"])
            if found and left < 0:
                break
            found.append(_build_archive(row))
        return found

    def latest(self, account: str, limit: int) -> list[Archive]:
        """The latest archives of an account, newest first, without their files."""
        query = (
            f"SELECT {_BRIEF} FROM archive WHERE compte = ? AND range_le IS NOT NULL"  # noqa: S608 - constants of ours
            " ORDER BY pris_le DESC LIMIT ?"
        )
        return [_build_archive(row) for row in self._connection.execute(query, (account, limit))]

    def usage(self) -> dict[str, tuple[int, int]]:
        """Archives and bytes of each account, kept by the file itself: a versement costs the same among a million."""
        rows = self._connection.execute("SELECT compte, archives, octets FROM occupation WHERE archives > 0")
        return {str(name): (int(count), int(size)) for name, count, size in rows}

    def formats(self) -> list[dict[str, Any]]:
        """Archives, files and bytes of each account in each format (PRONOM), as each was recognised when it came.

        What has none is a SIP's own description, or of before formats were noted: it is no document. Of archives,
        those that have a copy in another format are counted too.
        """
        query = (
            "SELECT compte, json_extract(one.value, '$.format') AS format, COUNT(DISTINCT aip) AS archives,"
            " COUNT(DISTINCT CASE WHEN EXISTS (SELECT 1 FROM archive AS copie WHERE copie.compte = archive.compte"
            " AND copie.identifiant = ? || archive.aip AND copie.range_le IS NOT NULL) THEN aip END) AS converties,"
            " COUNT(*) AS fichiers, SUM(json_extract(one.value, '$.octets')) AS octets"
            " FROM archive, json_each(archive.fichiers) AS one"
            " WHERE range_le IS NOT NULL AND json_extract(one.value, '$.format') IS NOT NULL"
            " GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return [dict(row) for row in self._connection.execute(query, (CONVERSION,))]

    def crowds(self, account: str) -> bool:
        """Whether an account deposits nothing more until the storage has what it deposited."""
        query = "SELECT SUM(octets) FROM archive WHERE compte = ? AND range_le IS NULL"
        return int(self._connection.execute(query, (account,)).fetchone()[0] or 0) > MAX_WAITING_BYTES

    @staticmethod
    def _used_bytes(db: sqlite3.Connection, account: str) -> int:
        found = db.execute("SELECT octets FROM occupation WHERE compte = ?", (account,)).fetchone()
        return int(found[0]) if found else 0

    # -- answers -------------------------------------------------------------------------------------------

    def refuse(self, answer: Answer) -> None:
        """Keep the answer to a SIP that was refused."""
        with self._write_transaction() as db:
            self._save_answer(db, answer)
            db.execute("DELETE FROM reponse WHERE resultat = 'KO' AND le < ?", (answer.when - _KEPT_REFUSALS,))
            if answer.temporary:
                db.execute(
                    "INSERT INTO remis VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET"
                    " nombre = CASE heure WHEN excluded.heure THEN nombre + 1 ELSE 1 END, heure = excluded.heure",
                    (answer.account, _hour_number(answer.when)),
                )
            else:
                day = _format_day(answer.when)
                db.execute("DELETE FROM refus WHERE compte = ? AND jour <> ?", (answer.account, day))
                db.execute(
                    "INSERT INTO refus VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET nombre = nombre + 1",
                    (answer.account, day),
                )

    def wearies(self, account: str) -> bool:
        """Whether an account was refused as many SIPs today as a door may tell of."""
        query = "SELECT nombre FROM refus WHERE compte = ? AND jour = ?"
        found = self._connection.execute(query, (account, _format_day(time.time()))).fetchone()
        return found is not None and int(found["nombre"]) >= MAX_REFUSALS_PER_DAY

    def waits(self, account: str) -> int:
        """Seconds for which an account deposits nothing: it was put off as often this hour as a door may tell of."""
        now = time.time()
        query = "SELECT nombre FROM remis WHERE compte = ? AND heure = ?"
        found = self._connection.execute(query, (account, _hour_number(now))).fetchone()
        return _HOUR_SECONDS - int(now) % _HOUR_SECONDS if found and int(found["nombre"]) >= MAX_DELAYS_PER_HOUR else 0

    @staticmethod
    def _save_answer(db: sqlite3.Connection, answer: Answer) -> None:
        db.execute(
            "INSERT OR REPLACE INTO reponse VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                answer.versement, answer.account, answer.message, "OK" if answer.accepted else "KO", answer.temporary,
                answer.aip, answer.when, json.dumps(list(answer.reasons), ensure_ascii=False), answer.content,
            ),
        )  # fmt: skip # a list by rows

    def answer(self, versement: str) -> Answer | None:
        """The answer given to a versement; None too once what was accepted is eliminated."""
        query = f"SELECT * FROM reponse WHERE versement = ? AND {_HOLDS}"  # noqa: S608 - a constant of ours
        found = self._connection.execute(query, (versement,)).fetchone()
        return _build_answer(found) if found else None

    def last_answer(self, account: str, message: str) -> Answer | None:
        """The latest answer to a SIP of this identifier; the acceptance, while there is one that holds."""
        query = f"""SELECT * FROM reponse WHERE compte = ? AND identifiant = ? AND {_HOLDS}
          ORDER BY resultat DESC, le DESC LIMIT 1"""  # noqa: S608 - a constant of ours
        found = self._connection.execute(query, (account, message)).fetchone()
        return _build_answer(found) if found else None

    def counts(self) -> dict[tuple[str, str], int]:
        """Answers by account and result (OK, KO)."""
        rows = self._connection.execute("SELECT compte, resultat, COUNT(*) FROM reponse GROUP BY compte, resultat")
        return {(str(account), str(result)): int(count) for account, result, count in rows}

    def recent(self, limit: int) -> list[Answer]:
        """The latest answers, newest first."""
        rows = self._connection.execute("SELECT * FROM reponse ORDER BY le DESC LIMIT ?", (limit,))
        return [_build_answer(row) for row in rows]


def _build_archive(row: sqlite3.Row) -> Archive:
    return Archive(
        aip=row["aip"],
        account=row["compte"],
        message=row["identifiant"],
        fingerprint=row["empreinte"],
        versement=row["versement"],
        title=row["titre"],
        kind=row["genre"],
        size=row["octets"],
        sha512=row["sha512"],
        retain_until=row["conserve_jusqua"],
        action=row["sort_final"],
        files=json.loads(row["fichiers"]),
        taken=row["pris_le"],
        stored=row["range_le"],
        reply=row["reponse"],
    )


def _build_answer(row: sqlite3.Row) -> Answer:
    return Answer(
        versement=row["versement"],
        account=row["compte"],
        message=row["identifiant"],
        accepted=row["resultat"] == "OK",
        temporary=bool(row["temporaire"]),
        aip=row["aip"],
        when=row["le"],
        reasons=json.loads(row["motifs"]),
        content=row["contenu"],
    )
