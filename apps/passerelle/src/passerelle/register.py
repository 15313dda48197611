"""The register of arrêtés (CGCT, L2122-29, R2122-7), and the décisions taken by delegation (L2122-22), which stand in
that of the délibérations (R2122-7-1); a year at a time. The délibérations themselves are the deliberations' server's.

An act is inscribed in the transaction that takes it in, under the next rank of its year and book: ranks have neither
hole nor double. One that changes books (it was said a décision later, or came before there were two) leaves there a
rank that nobody gets. The number that its author gave stays as it is: one given twice is inscribed twice, and told. An
inscription is never removed: it holds by itself what it says of its act.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import psycopg

from creatic_agent.act import Act

from .acts import DECISION, BadRequest
from .config import Commune
from .store import Store, Tracked, as_act

SCHEMA = """
CREATE TABLE IF NOT EXISTS registre (
  commune text NOT NULL,
  annee integer NOT NULL,
  rang integer NOT NULL,
  reference text NOT NULL UNIQUE,
  numero text NOT NULL,
  -- Numbers that differ by case and separators alone are one for people, and for the préfecture (A-Z, 0-9 and _).
  cle text GENERATED ALWAYS AS (trim(both '_' from regexp_replace(upper(numero), '[^A-Z0-9]+', '_', 'g'))) STORED,
  jour date NOT NULL,
  objet text NOT NULL,
  decision boolean NOT NULL,
  compte_rendu date,
  inscrit_le timestamptz NOT NULL DEFAULT now(),
  livre text NOT NULL DEFAULT 'arretes' CHECK (livre IN ('arretes', 'deliberations')),
  ancien_rang integer -- that it left in the other book
);
ALTER TABLE registre ADD COLUMN IF NOT EXISTS livre text NOT NULL DEFAULT 'arretes'
  CHECK (livre IN ('arretes', 'deliberations'));
ALTER TABLE registre ADD COLUMN IF NOT EXISTS ancien_rang integer;
ALTER TABLE registre DROP CONSTRAINT IF EXISTS registre_pkey;
CREATE UNIQUE INDEX IF NOT EXISTS registre_rang ON registre (commune, annee, livre, rang);
CREATE INDEX IF NOT EXISTS registre_cle ON registre (commune, annee, cle);
CREATE INDEX IF NOT EXISTS registre_decision ON registre (commune, compte_rendu, jour) WHERE decision;
CREATE INDEX IF NOT EXISTS acte_seance ON acte (commune, (donnees->>'date')) WHERE donnees->>'circuit' = 'deliberation';
"""
CIRCUIT = "arrete"
ARRETES, DELIBERATIONS = "arretes", "deliberations"
BOOKS = {
    ARRETES: "Registre des arrêtés",
    DELIBERATIONS: "Registre des délibérations, décisions du maire par délégation",
}
PAGE = 200  # inscriptions of a page
PDF_MAX = 2000  # inscriptions of a PDF: 15 seconds of work, 80 MB
_NUMBERS_MAX = 20_000  # numbers of a year among which holes are looked for
REPORT_MAX = 500  # décisions of a report to the council
_AHEAD = timedelta(days=183)  # a meeting to which a report may be prepared
UNNUMBERED = "sans numéro"  # what stands for the number of an act whose author gave none
_NUMBER = re.compile(r"(.*?)(\d{1,12})")


@dataclass(frozen=True)
class Entry:
    """An inscription, and its act, None once it was eliminated; `left` is the rank that it had in the other book."""

    year: int
    rank: int
    reference: str
    number: str
    day: date
    subject: str
    decision: bool
    reported: date | None
    act: Tracked | None
    left: int | None = None


def inscribe(connection: psycopg.Connection[Any], act: Act) -> None:
    """Inscribe an arrêté or a décision, once, in the transaction that takes it in; nothing of other acts.

    Raises ValueError: its date is none.
    """
    if act.circuit != CIRCUIT:
        return
    reference, commune, day = act.reference, act.commune, date.fromisoformat(act.day)
    book = DELIBERATIONS if act.nature == DECISION else ARRETES
    made = connection.execute(
        "INSERT INTO registre (commune, annee, rang, reference, numero, jour, objet, decision, livre)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (reference) DO NOTHING",
        (
            commune, day.year, _next(connection, commune, day.year, book), reference,
            act.number.replace(UNNUMBERED, ""), day, act.subject, book == DELIBERATIONS, book,
        ),
    )  # fmt: skip # a statement and its values
    if not made.rowcount:
        return
    others = connection.execute(
        "SELECT reference FROM registre WHERE commune = %s AND annee = %s AND reference <> %s"
        " AND cle <> '' AND cle = (SELECT cle FROM registre WHERE reference = %s) ORDER BY rang LIMIT 10",
        (commune, day.year, reference, reference),
    )
    for one in others.fetchall():
        told = f"même numéro que {one['reference'] if isinstance(one, dict) else one[0]} : les deux sont au registre"
        Store.note(connection, reference, "registre", told)


def _next(connection: psycopg.Connection[Any], commune: str, year: int, book: str) -> int:
    """The next rank of a book, which nobody else takes before the end of the transaction."""
    # Two at a time would read the same last rank.
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"registre {commune} {year}",))
    query = (
        "SELECT COALESCE(max(CASE WHEN livre = %s THEN rang ELSE ancien_rang END), 0) + 1 AS rang"
        " FROM registre WHERE commune = %s AND annee = %s"
    )
    [row] = connection.execute(query, (book, commune, year)).fetchall()
    return int(row["rang"] if isinstance(row, dict) else row[0])


def qualified(connection: psycopg.Connection[Any], reference: str, nature: str) -> None:
    """Have an act that is inscribed stand in the book of what it is said to be; one that the council was told of stays.

    The rank that it leaves is given to nobody: it takes it again if it comes back.
    """
    decision = nature == DECISION
    book = DELIBERATIONS if decision else ARRETES
    query = (
        "SELECT commune, annee, rang, ancien_rang FROM registre"
        " WHERE reference = %s AND compte_rendu IS NULL AND livre <> %s FOR UPDATE"
    )
    for row in connection.execute(query, (reference, book)).fetchall():
        commune, year, rank, left = row.values() if isinstance(row, dict) else row
        new = left or _next(connection, commune, year, book)
        connection.execute(
            "UPDATE registre SET livre = %s, decision = %s, rang = %s, ancien_rang = %s WHERE reference = %s",
            (book, decision, new, rank, reference),
        )
        told = f"porté au {BOOKS[book].lower()}, numéro d'ordre {new} ; il avait le {rank} de l'autre"
        Store.note(connection, reference, "registre", told)


def part(connection: psycopg.Connection[Any]) -> None:
    """Once: décisions that stand in the register of arrêtés, where they were before there were two, go to that of the
    délibérations (CGCT, R2122-7-1) under the rank that they have; each act's history says so."""
    moved = connection.execute(
        "UPDATE registre SET livre = %s, ancien_rang = rang WHERE decision AND livre = %s AND ancien_rang IS NULL"
        " RETURNING reference, rang",
        (DELIBERATIONS, ARRETES),
    ).fetchall()
    for reference, rank in moved:
        told = f"porté au registre des délibérations (CGCT, R2122-7-1), sous le même numéro d'ordre, {rank}"
        connection.execute(
            "INSERT INTO passage (reference, etape, detail) SELECT reference, 'registre', %s FROM acte"
            " WHERE reference = %s",
            (told, reference),
        )


def catch_up(connection: psycopg.Connection[Any]) -> None:
    """Inscribe, by date, what was taken in before there was a register. What has no date is left."""
    rows = connection.execute(
        "SELECT acte.reference, acte.commune, acte.donnees FROM acte LEFT JOIN registre USING (reference)"
        " WHERE registre.reference IS NULL AND donnees->>'circuit' = %s"
        " ORDER BY donnees->>'date', recu_le, reference",
        (CIRCUIT,),
    )
    for reference, commune, data in rows.fetchall():
        act = Act.from_wire(data, reference=reference, commune=commune)
        try:
            date.fromisoformat(act.day)
        except ValueError:
            continue
        inscribe(connection, act)


class Register:
    """Reads a commune's register, and keeps what its council was told of. Raises BadRequest, psycopg.Error."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def years(self, commune: Commune) -> list[int]:
        """Years that have an inscription, the last first."""
        # From one year to the one before, each by the index: nothing is counted.
        query = (
            "WITH RECURSIVE annees AS (SELECT max(annee) AS annee FROM registre WHERE commune = %s UNION ALL"
            " SELECT (SELECT max(annee) FROM registre WHERE commune = %s AND annee < annees.annee) FROM annees"
            " WHERE annees.annee IS NOT NULL) SELECT annee FROM annees WHERE annee IS NOT NULL LIMIT 200"
        )
        return [int(one["annee"]) for one in self._rows(query, commune.slug, commune.slug)]

    def entries(
        self, commune: Commune, year: int, after: int = 0, limit: int = PAGE, book: str = ARRETES
    ) -> list[Entry]:
        """Inscriptions of a year from a rank on, that one left out."""
        where = "registre.commune = %s AND annee = %s AND livre = %s AND rang > %s ORDER BY rang LIMIT %s"
        return self._entries(where, commune.slug, year, book, after, limit)

    def last(self, commune: Commune, year: int, book: str = ARRETES) -> int:
        """The last rank of a year."""
        query = "SELECT COALESCE(max(rang), 0) AS rang FROM registre WHERE commune = %s AND annee = %s AND livre = %s"
        return int(self._rows(query, commune.slug, year, book)[0]["rang"])

    def count(self, commune: Commune, year: int, book: str = ARRETES) -> int:
        """How many inscriptions a year has."""
        query = "SELECT count(*) AS nombre FROM registre WHERE commune = %s AND annee = %s AND livre = %s"
        return int(self._rows(query, commune.slug, year, book)[0]["nombre"])

    def left(self, commune: Commune, year: int, book: str = ARRETES) -> list[tuple[int, int, str]]:
        """Ranks of a book that stand in the other now: that of here, that of there, and the number."""
        query = (
            "SELECT ancien_rang, rang, numero FROM registre WHERE commune = %s AND annee = %s AND livre <> %s"
            " AND ancien_rang IS NOT NULL ORDER BY ancien_rang LIMIT %s"
        )
        rows = self._rows(query, commune.slug, year, book, PAGE)
        return [(one["ancien_rang"], one["rang"], one["numero"] or UNNUMBERED) for one in rows]

    def faults(self, commune: Commune, year: int) -> tuple[list[str], str]:
        """What is to be said of a year's numbers, in French, and the number that comes next, "" for none.

        Authors number arrêtés and décisions in one series, or in two: both books are looked at.
        """
        doubles = self._rows(
            "SELECT (array_agg(numero ORDER BY livre, rang))[1] AS numero, array_agg(CASE WHEN livre = 'arretes'"
            " THEN rang::text ELSE rang || ' des délibérations' END ORDER BY livre, rang) AS rangs"
            " FROM registre WHERE commune = %s AND annee = %s AND cle <> '' GROUP BY cle HAVING count(*) > 1"
            " ORDER BY 1 LIMIT 50",
            commune.slug,
            year,
        )
        told = []
        for one in doubles:
            ranks = ", ".join(one["rangs"])
            told.append(f"« {one['numero']} » a été donné {len(one['rangs'])} fois (numéros d'ordre {ranks}).")
        numbers = self._rows(
            "SELECT numero FROM registre WHERE commune = %s AND annee = %s ORDER BY rang LIMIT %s",
            commune.slug,
            year,
            _NUMBERS_MAX,
        )
        missing, following = holes([one["numero"] for one in numbers])
        return told + [f"{one} : aucun acte de ce numéro n'est au registre." for one in missing], following

    # -- décisions -----------------------------------------------------------------------------------------

    def to_report(self, commune: Commune) -> list[Entry]:
        """Décisions that the council was not told of, oldest first."""
        where = "registre.commune = %s AND decision AND compte_rendu IS NULL ORDER BY jour, annee, rang LIMIT %s"
        return self._entries(where, commune.slug, REPORT_MAX)

    def reported(self, commune: Commune, meeting: date) -> list[Entry]:
        """Décisions of the report to a meeting."""
        where = "registre.commune = %s AND decision AND compte_rendu = %s ORDER BY jour, annee, rang LIMIT %s"
        return self._entries(where, commune.slug, meeting, PDF_MAX)

    def meetings(self, commune: Commune) -> list[date]:
        """The last meetings that décisions were reported to."""
        query = (
            "SELECT DISTINCT compte_rendu FROM registre WHERE commune = %s AND decision AND compte_rendu IS NOT NULL"
            " ORDER BY compte_rendu DESC LIMIT 24"
        )
        return [one["compte_rendu"] for one in self._rows(query, commune.slug)]

    def last_meeting(self, commune: Commune) -> str:
        """Day of the council's last délibération that is known here (AAAA-MM-JJ), or ""."""
        query = (
            "SELECT max(donnees->>'date') AS jour FROM acte WHERE commune = %s AND donnees->>'circuit' = 'deliberation'"
        )
        return str(self._rows(query, commune.slug)[0]["jour"] or "")

    def report(self, commune: Commune, who: str, meeting: date, references: Sequence[str], today: date) -> int:
        """Note that décisions are reported to a meeting (CGCT, L2122-23); gives how many were not yet.

        The list is the one that the person saw: what was inscribed meanwhile waits for the next meeting.

        Raises:
            BadRequest: no décision or too many, one that is not of the commune's register, or a meeting too far ahead
                or before one of them.
        """
        if not 0 < len(references) <= REPORT_MAX:
            raise BadRequest("Choisissez au moins une décision à porter au compte rendu.")
        if meeting > today + _AHEAD:
            raise BadRequest(f"Séance du {meeting:%d/%m/%Y} : cette date est trop lointaine.")
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT reference, numero, jour, compte_rendu FROM registre"
                " WHERE commune = %s AND decision AND reference = ANY(%s) ORDER BY reference FOR UPDATE",
                (commune.slug, [one for one in references if "\0" not in one]),
            ).fetchall()
            if len(rows) != len(set(references)):
                raise BadRequest(
                    "Une de ces décisions n'est pas au registre de votre commune : rechargez la page.", 409
                )
            for one in rows:
                if one["jour"] > meeting:
                    day = f"{one['jour']:%d/%m/%Y}"
                    raise BadRequest(f"« {one['numero']} » est du {day}, après la séance du {meeting:%d/%m/%Y}.")
            new = [one["reference"] for one in rows if one["compte_rendu"] is None]
            for reference in new:
                connection.execute("UPDATE registre SET compte_rendu = %s WHERE reference = %s", (meeting, reference))
                told = f"séance du {meeting:%d/%m/%Y}, par {who[:200]}"
                Store.note(connection, reference, "compte rendu", told)
        return len(new)

    def take_back(self, commune: Commune, who: str, meeting: date) -> int:
        """Undo a report that was noted by mistake; it stays in each act's history."""
        with self._store.transaction() as connection:
            rows = connection.execute(
                "UPDATE registre SET compte_rendu = NULL WHERE commune = %s AND decision AND compte_rendu = %s"
                " RETURNING reference",
                (commune.slug, meeting),
            ).fetchall()
            for one in rows:
                told = f"séance du {meeting:%d/%m/%Y}, par {who[:200]}"
                Store.note(connection, one["reference"], "compte rendu retiré", told)
        return len(rows)

    # -- rows ----------------------------------------------------------------------------------------------

    def _entries(self, where: str, *values: object) -> list[Entry]:
        query = (
            "SELECT registre.annee, rang, registre.reference AS inscrite, numero, jour, objet, decision, compte_rendu,"
            " ancien_rang, acte.* FROM registre LEFT JOIN acte ON acte.reference = registre.reference WHERE "
        )
        return [
            Entry(
                one["annee"], one["rang"], one["inscrite"], one["numero"], one["jour"], one["objet"], one["decision"],
                one["compte_rendu"],
                # What is left of an act that was eliminated says nothing of its way any more.
                as_act(one) if one["reference"] and "eliminee" not in one["donnees"] else None,
                one["ancien_rang"],
            )
            for one in self._rows(query + where, *values)
        ]  # fmt: skip # one call by its parts

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self._store.transaction() as connection:
            return connection.execute(query.encode(), values).fetchall()


def holes(numbers: Sequence[str]) -> tuple[list[str], str]:
    """Numbers that lack inside each series, in French, and what follows the last of the longest series.

    Args:
        numbers: as authors wrote them: « 2026_112 » is the 112th of the series « 2026_ ».
    """
    series: dict[str, dict[int, int]] = {}
    for one in numbers:
        if found := _NUMBER.fullmatch(one.strip()):
            series.setdefault(found[1], {})[int(found[2])] = len(found[2])
    told: list[str] = []
    for start, known in sorted(series.items()):
        ranks = sorted(known)
        for before, after in itertools.pairwise(ranks):
            if after - before > 1:
                width = known[after]
                first, last = (f"{start}{rank:0{width}}" for rank in (before + 1, after - 1))
                told.append(f"« {first} »" if first == last else f"De « {first} » à « {last} »")
    if not series:
        return told, ""
    start, known = max(series.items(), key=lambda item: (len(item[1]), item[0]))
    last_rank = max(known)
    return told[:50], f"{start}{last_rank + 1:0{known[last_rank]}}"
