"""The copies of what was eliminated: a commune's connector hears of it, says what became of them, and it is attested.

An elimination reaches the archive alone (`elimination.py`). The commune's connector asks for the list of its account,
has the copies of the same acts go (its own folders, passerelle, GED, parapheur), and says here, archive by archive,
what is gone and what is not yet: nothing is left without a word. Once all of a request's are, a certificate of the
copies is signed, timestamped and kept under WORM as that of the elimination is.

An archive that was transferred to a public archives service is none of these: its document lives, and so do its copies.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from creatic_agent import attestation
from creatic_agent.book import Book
from creatic_agent.identity import Kind, kind_of
from sae.config import Account, Config
from sae.journal import Journal
from sae.journal.log import format_time

NAME = "eliminations.sqlite"
MAX_ELIMINATIONS_PER_REPLY = 1000  # eliminations in an answer
# Where copies are, and what may be said of each place.
PLACES = ("connecteur", "passerelle", "ged", "parapheur")
GONE, ABSENT, WAITS = "supprime", "absent", "attente"
KEPT_BY_PERSON = "garde"  # by a person of the commune, who took it back
STATES = (GONE, ABSENT, WAITS, KEPT_BY_PERSON)
_MAX_DETAIL_LENGTH = 300  # characters of what is said of a place
_BACK, _DAY = 5, 86400.0  # times that copies of an archive come back in a day, for the journal, which nothing shortens
SCHEMA = """
CREATE TABLE IF NOT EXISTS copie (
  demande TEXT NOT NULL, aip TEXT NOT NULL, etat TEXT NOT NULL, dite_le REAL NOT NULL, lieux TEXT NOT NULL,
  PRIMARY KEY (demande, aip)
);
CREATE TABLE IF NOT EXISTS copie_revenue (
  demande TEXT NOT NULL, aip TEXT NOT NULL, dite TEXT NOT NULL, le REAL NOT NULL, PRIMARY KEY (demande, aip, dite)
);
CREATE TABLE IF NOT EXISTS attestation_copies (
  demande TEXT PRIMARY KEY, texte BLOB NOT NULL, signature BLOB NOT NULL, jeton BLOB NOT NULL,
  rangee INTEGER NOT NULL DEFAULT 0
);
"""


class InvalidReportError(ValueError):
    """What is said of copies is not to be understood, or of no elimination of this account; the text is French."""


@dataclass(frozen=True)
class EliminatedArchive:
    """An archive that was eliminated, or whose elimination is asked for (`rank` 0).

    Attributes:
        rank: of its elimination in the journal.
        message: identifier that the service versant gave to its SIP.
        copies: state of the report of its copies; empty without one.
        word: the archive's attestation, without which nobody deletes a copy; None for one of before.
    """

    rank: int
    request: str
    aip: str
    message: str
    when: str
    copies: str
    word: Mapping[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """For answers in JSON, field names in French."""
        return {
            "rang": self.rank,
            "demande": self.request,
            "archive": self.aip,
            "identifiant": self.message,
            "eliminee_le": self.when,
            "copies": self.copies,
            "attestation": self.word,
        }


def followed(account: Account) -> bool:
    """Whether a connector of the chain deposits for this account, and so has its copies follow."""
    return any(kind_of(name) is Kind.CONNECTOR for name in account.depositors or ())


class Copies:
    """Reports of copies, beside the requests of elimination. One for each process: its file is opened when used."""

    def __init__(self, folder: Path, schema: str, clock: Callable[[], float] = time.time) -> None:
        self._path, self._schema, self._clock = folder / NAME, schema, clock

    def _open_book(self) -> closing[Book]:
        return closing(Book(self._path, self._schema))

    # -- for the connector ---------------------------------------------------------------------------------

    def eliminated(self, account: str, after: int = 0) -> list[EliminatedArchive]:
        """Archives of an account that were eliminated, from the one that follows `after`, in the journal's order."""
        with self._open_book() as book:
            rows = book.each(
                "SELECT demande.id, objet.aip, objet.seq, objet.faite_le, copie.etat, mot.texte, mot.signature FROM"
                " objet JOIN demande ON demande.id = objet.demande"
                " LEFT JOIN copie ON copie.demande = demande.id AND copie.aip = objet.aip"
                " LEFT JOIN mot ON mot.demande = demande.id AND mot.aip = objet.aip"
                " WHERE demande.compte = ? AND objet.seq > ? ORDER BY objet.seq",
                account,
                after,
            )
            # Counted once those that were transferred are left out: a page of these alone would end the list.
            return list(islice(self._eliminated_archives(book, rows), MAX_ELIMINATIONS_PER_REPLY))

    def planned(self, account: str, after: str = "") -> list[EliminatedArchive]:
        """Archives of an account whose elimination is asked for and not done: what will go, for who looks before.

        By archive, from the one that follows `after`.
        """
        with self._open_book() as book:
            rows = book.each(
                "SELECT demande.id, objet.aip, 0 AS seq, '' AS faite_le, '' AS etat, NULL AS texte FROM objet"
                " JOIN demande ON demande.id = objet.demande"
                " WHERE demande.compte = ? AND objet.seq IS NULL AND demande.etat IN ('demandee', 'approuvee')"
                " AND objet.aip > ? ORDER BY objet.aip, demande.recue_le",
                account,
                after,
            )
            return list(islice(self._eliminated_archives(book, rows), MAX_ELIMINATIONS_PER_REPLY))

    @staticmethod
    def _eliminated_archives(book: Book, rows: Iterable[sqlite3.Row]) -> Iterator[EliminatedArchive]:
        """Rows of what is no transfer. A request's text lists all its archives: it is read once, not with each row."""
        listed: dict[str, dict[str, Mapping[str, Any]]] = {}
        for row in rows:
            if row["id"] not in listed:
                [found] = book.rows("SELECT texte FROM demande WHERE id = ?", row["id"])
                listed[row["id"]] = {str(one["aip"]): one for one in json.loads(found["texte"])["archives"]}
            one = listed[row["id"]].get(row["aip"], {})
            if "transfert" not in one:
                message = str(one.get("identifiant", ""))
                word = attestation.packed(row["texte"], row["signature"]) if row["texte"] else None
                yield EliminatedArchive(
                    row["seq"], row["id"], row["aip"], message, row["faite_le"], row["etat"] or "", word
                )

    def report(self, journal: Journal, account: str, aip: str, said: Mapping[str, Any]) -> str:
        """Keep what a connector says of an archive's copies; gives the state that it makes.

        Once all are gone or were not there, the journal has it; what comes back afterwards (an application restored
        from an old backup) and goes again is noted again.

        Raises:
            WrongReport: it is not to be understood, or of no elimination of this account.
        """
        request, places = str(said.get("demande") or ""), _parse_places(said.get("lieux"))
        with self._open_book() as book:
            known = book.rows(
                "SELECT objet.seq FROM objet JOIN demande ON demande.id = objet.demande"
                " WHERE demande.id = ? AND demande.compte = ? AND objet.aip = ? AND objet.seq IS NOT NULL",
                request,
                account,
                aip,
            )
            if not known:
                raise InvalidReportError(
                    f"L'archive {aip} de la demande « {request[:60]} » n'est pas éliminée pour ce compte."
                )
            said_of = {str(one["etat"]) for one in places.values()}
            state = next((one for one in (WAITS, KEPT_BY_PERSON) if one in said_of), GONE)
            text = json.dumps(places, ensure_ascii=False, sort_keys=True)
            before = book.rows("SELECT etat, lieux FROM copie WHERE demande = ? AND aip = ?", request, aip)
            done = bool(before) and before[0]["etat"] == GONE
            if done and (state != GONE or not _were_removed(places, json.loads(before[0]["lieux"]))):
                return GONE  # said once for all: only what came back and went again is news
            seen = hashlib.sha256(text.encode()).hexdigest()[:16]
            if done and not self._is_new_return(book, request, aip, seen):
                return GONE
            if state == GONE:  # in the journal first: said again after a crash, it is there once
                again = f":{seen}" if done else ""
                journal.append(
                    "elimination.copies",
                    account=account,
                    aip=aip,
                    outcome="succes",
                    detail={"demande": request, "lieux": places, "revenues": bool(again)},
                    key=f"elimination:{request}:{aip}:copies{again}",
                )
            if not done:
                with book.transaction() as db:
                    db.execute(
                        "INSERT OR REPLACE INTO copie VALUES (?, ?, ?, ?, ?)",
                        (request, aip, state, self._clock(), text),
                    )
        return state

    def _is_new_return(self, book: Book, request: str, aip: str, seen: str) -> bool:
        """Whether what came back and went again is to be noted: its connector may say so without end."""
        with book.transaction() as db:
            query = "SELECT count(*) FROM copie_revenue WHERE demande = ? AND aip = ? AND dite <> ? AND le > ?"
            [count] = db.execute(query, (request, aip, seen, self._clock() - _DAY)).fetchone()
            if count >= _BACK:
                return False
            db.execute(
                "INSERT INTO copie_revenue VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (request, aip, seen, self._clock()),
            )
        return True

    # -- for the archive -----------------------------------------------------------------------------------

    def list_waiting(
        self, accounts: Mapping[str, Account]
    ) -> dict[str, list[tuple[EliminatedArchive, dict[str, Any]]]]:
        """Archives that were eliminated and whose copies are not all gone, with what was said of them, by request."""
        with self._open_book() as book:
            rows = book.rows(
                "SELECT demande.compte, demande.id, objet.aip, objet.seq, objet.faite_le, copie.etat, copie.lieux,"
                " NULL AS texte FROM objet JOIN demande ON demande.id = objet.demande"
                " LEFT JOIN copie ON copie.demande = demande.id AND copie.aip = objet.aip"
                " WHERE objet.seq IS NOT NULL AND COALESCE(copie.etat, '') <> ? ORDER BY objet.seq",
                GONE,
            )
            described = list(self._eliminated_archives(book, rows))
        found: dict[str, list[tuple[EliminatedArchive, dict[str, Any]]]] = {}
        told = {(row["id"], row["aip"]): row for row in rows}
        for one in described:
            row = told[one.request, one.aip]
            if row["compte"] in accounts and followed(accounts[row["compte"]]):
                found.setdefault(one.request, []).append((one, json.loads(row["lieux"] or "{}")))
        return found

    def said_of(self, request: str) -> dict[str, dict[str, Any]]:
        """What was said of the copies of a request, by archive: `etat`, `dite_le`, `lieux`."""
        with self._open_book() as book:
            rows = book.rows("SELECT * FROM copie WHERE demande = ? ORDER BY aip", request)
        return {
            str(row["aip"]): {
                "etat": row["etat"],
                "dite_le": format_time(datetime.fromtimestamp(row["dite_le"], UTC)),
                "lieux": json.loads(row["lieux"]),
            }
            for row in rows
        }

    def figures(self, config: Config) -> tuple[int, float]:
        """How many archives wait for their copies to go, and since how many seconds the oldest does.

        What a person of the commune took back waits for nobody.
        """
        if not self._path.is_file():
            return 0, 0.0
        waits = [one for listed in self.list_waiting(config.accounts).values() for one, _said in listed]
        waits = [one for one in waits if one.copies != KEPT_BY_PERSON]
        begun = [datetime.fromisoformat(one.when).timestamp() for one in waits if one.when]
        return len(waits), max((self._clock() - at for at in begun), default=0.0)


def _parse_places(given: Any) -> dict[str, dict[str, Any]]:
    """What is said of each place, checked: state, number, a few words. Raises WrongReport."""
    if not isinstance(given, dict) or "connecteur" not in given or not given.keys() <= set(PLACES):
        raise InvalidReportError(
            f"Champ « lieux » : un objet est attendu, avec connecteur et, s'il y a lieu, {PLACES[1:]}."
        )
    found = {}
    for name, one in given.items():
        if not isinstance(one, dict) or one.get("etat") not in STATES:
            raise InvalidReportError(f"Champ « lieux.{name}.etat » : {', '.join(STATES)}.")
        number = one.get("nombre", 0)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 1_000_000:
            raise InvalidReportError(f"Champ « lieux.{name}.nombre » : un nombre est attendu.")
        detail = " ".join(str(one.get("detail") or "").split())[:_MAX_DETAIL_LENGTH]
        found[name] = {"etat": str(one["etat"]), "nombre": number} | ({"detail": detail} if detail else {})
    return found


def _were_removed(places: Mapping[str, Mapping[str, Any]], before: Mapping[str, Any]) -> bool:
    """Whether copies went from somewhere since: the same report again, or one without any, tells of none."""
    return any(one["etat"] == GONE and one["nombre"] and one != before.get(name) for name, one in places.items())
