"""Where each act is, in PostgreSQL. What moves an act, and the job it calls for, are kept in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from creatic_agent.act import Act

from .steps import FINISHED, FOLLOWED, NAMES

SCHEMA = """
CREATE TABLE IF NOT EXISTS acte (
  reference text PRIMARY KEY,
  commune text NOT NULL,
  donnees jsonb NOT NULL,
  etape text NOT NULL,
  suivi jsonb NOT NULL DEFAULT '{}',
  blocage text NOT NULL DEFAULT '',
  retard text NOT NULL DEFAULT '',
  recu_le timestamptz NOT NULL DEFAULT now(),
  modifie_le timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS acte_etape ON acte (etape, commune);
CREATE TABLE IF NOT EXISTS passage (
  reference text NOT NULL REFERENCES acte,
  le timestamptz NOT NULL DEFAULT clock_timestamp(),
  etape text NOT NULL,
  detail text NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS passage_acte ON passage (reference);
CREATE INDEX IF NOT EXISTS acte_recu ON acte (recu_le);
CREATE TABLE IF NOT EXISTS connecteur (
  commune text PRIMARY KEY,
  vu_le timestamptz NOT NULL DEFAULT now()
);
"""


@dataclass(frozen=True, kw_only=True)
class Tracked(Act):
    """An act in the chain: what it is, where it is (`step`), and what others answered (`track`)."""

    eliminated: str  # which request of the archive had it forgotten, or ""
    step: str
    track: dict[str, Any]
    blocked: str  # why a person must look, or ""
    late: str  # why it is tried again, or ""
    since: datetime
    changed: datetime

    @property
    def tdt(self) -> dict[str, Any]:
        """What the connector said."""
        return self.track.get("tdt") or {}

    @property
    def document(self) -> str:
        """SHA-256 of what is transmitted and filed: the signed file once there is one."""
        return str(self.track.get("signe") or (self.main.sha256 if self.main else ""))

    @property
    def data(self) -> dict[str, Any]:
        """What it is, as its table keeps it."""
        return self.to_wire() | ({"eliminee": self.eliminated} if self.eliminated else {})

    def reached(self, word: str) -> bool:
        """Whether the connector has said this, or what comes after."""
        said = self.tdt.get("etat", "")
        return said in FOLLOWED and FOLLOWED.index(said) >= FOLLOWED.index(word)


def as_act(row: dict[str, Any]) -> Tracked:
    """The act of a row of its table."""
    return Tracked.from_wire(
        row["donnees"],
        reference=row["reference"], commune=row["commune"], eliminated=str(row["donnees"].get("eliminee") or ""),
        step=row["etape"], track=row["suivi"], blocked=row["blocage"], late=row["retard"],
        since=row["recu_le"], changed=row["modifie_le"],
    )  # fmt: skip # one call by its parts


class Store:
    """The acts. Raises psycopg.Error when the database is away."""

    def __init__(self, database: str, connections: int = 8) -> None:
        self.pool = ConnectionPool(
            database,
            min_size=1,
            max_size=connections,
            kwargs={"row_factory": dict_row},
            timeout=30,
            check=ConnectionPool.check_connection,
            open=True,
        )

    def close(self) -> None:
        """Give the connections back."""
        self.pool.close()

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """A connection whose work is kept whole, or not at all."""
        with self.pool.connection() as connection:
            yield connection

    # -- in a transaction ----------------------------------------------------------------------------------

    @staticmethod
    def add(connection: psycopg.Connection[Any], reference: str, commune: str, data: dict[str, Any], step: str) -> bool:
        """Take an act in, as `Tracked.to_wire` tells it; False when its reference is known."""
        made = connection.execute(
            "INSERT INTO acte (reference, commune, donnees, etape) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (reference, commune, Jsonb(data), step),
        )
        if made.rowcount:
            Store.note(connection, reference, "entree")
        return bool(made.rowcount)

    @staticmethod
    def lock(connection: psycopg.Connection[Any], reference: str) -> Tracked:
        """One act, held until the end of the transaction. Raises KeyError."""
        row = connection.execute("SELECT * FROM acte WHERE reference = %s FOR UPDATE", (reference,)).fetchone()
        if row is None:
            raise KeyError(reference)
        return as_act(row)

    @staticmethod
    def change(connection: psycopg.Connection[Any], reference: str, **values: Any) -> None:
        """Change `commune`, `step`, `data`, `track`, `blocked` or `late` of an act."""
        names = {
            "commune": "commune",
            "step": "etape",
            "data": "donnees",
            "track": "suivi",
            "blocked": "blocage",
            "late": "retard",
        }
        for key, value in values.items():
            query = psycopg.sql.SQL("UPDATE acte SET {} = %s, modifie_le = now() WHERE reference = %s")
            given = Jsonb(value) if isinstance(value, dict) else value
            connection.execute(query.format(psycopg.sql.Identifier(names[key])), (given, reference))

    @staticmethod
    def note(connection: psycopg.Connection[Any], reference: str, step: str, detail: str = "") -> None:
        """Write in the act's history."""
        connection.execute(
            "INSERT INTO passage (reference, etape, detail) VALUES (%s, %s, %s)", (reference, step, detail[:1000])
        )

    def remember(self, act: Tracked, **values: Any) -> Tracked:
        """Add to what others answered of an act, at once; gives the act as it is then."""
        with self.transaction() as connection:
            now = self.lock(connection, act.reference)
            self.change(connection, act.reference, track=now.track | values, late="")
        return replace(now, track=now.track | values, late="")

    def seen(self, commune: str) -> None:
        """Note that a commune's connector asks for its acts; once an hour is enough."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO connecteur (commune) VALUES (%s) ON CONFLICT (commune) DO UPDATE SET vu_le = now()"
                " WHERE connecteur.vu_le < now() - interval '1 hour'",
                (commune,),
            )

    # -- reading -------------------------------------------------------------------------------------------

    def get(self, reference: str) -> Tracked | None:
        """One act."""
        found = self._rows("SELECT * FROM acte WHERE reference = %s", (reference,))
        return found[0] if found else None

    def at(self, step: str, commune: str | None = None) -> list[Tracked]:
        """Acts of a step which nothing stops, oldest first."""
        return self._rows(
            "SELECT * FROM acte WHERE etape = %s AND blocage = '' AND (%s::text IS NULL OR commune = %s) "
            "ORDER BY recu_le, reference",
            (step, commune, commune),
        )

    def to_send(self, commune: str) -> list[Tracked]:
        """Acts of a commune which its connector has not taken yet, to be sent or only archived, oldest first."""
        return self._rows(
            "SELECT * FROM acte WHERE blocage = '' AND commune = %s AND (etape = 'teletransmission' "
            "OR (etape = 'versement' AND donnees->>'transmission' = 'non')) "
            "AND COALESCE(suivi->'tdt', 'null') IN ('null', '{}') ORDER BY recu_le, reference",
            (commune,),
        )

    def known(self, references: list[str]) -> dict[str, Tracked]:
        """Acts that are there, by reference."""
        asked = [one for one in references if "\0" not in one]  # which no text of the database holds
        return {one.reference: one for one in self._rows("SELECT * FROM acte WHERE reference = ANY(%s)", (asked,))}

    def shown(self, communes: list[str] | None, limit: int = 200) -> list[Tracked]:
        """Acts to show: those that wait for a person first, of each commune in turn, then the latest."""
        return self._rows(
            "SELECT acte.* FROM acte LEFT JOIN (SELECT reference, row_number() OVER (PARTITION BY commune ORDER BY"
            " modifie_le DESC) AS rang FROM acte WHERE blocage <> '' AND donnees->>'eliminee' IS NULL) AS bloque"
            " USING (reference) WHERE (%s::text[] IS NULL OR commune = ANY(%s)) AND donnees->>'eliminee' IS NULL"
            " ORDER BY (blocage <> '') DESC, rang, (etape = %s), modifie_le DESC LIMIT %s",
            (communes, communes, FINISHED, limit),
        )

    def unknown(self, where: str, communes: list[str] | None, limit: int) -> list[Tracked]:
        """Acts that fulfil a condition (an index's, in SQL of ours), past their signature, oldest first."""
        return self._rows(
            f"SELECT * FROM acte WHERE {where} AND (%s::text[] IS NULL OR commune = ANY(%s)) AND etape <> ALL(%s)"  # noqa: S608 - ours
            " ORDER BY recu_le, reference LIMIT %s",
            (communes, communes, list(NAMES[: NAMES.index("reprise") + 1]), limit),
        )

    def partly_published(self, limit: int = 200) -> list[Tracked]:
        """Some of the délibérations that went through and of which not all annexes are told to be on line.

        Those of a year, and those of which nothing was told at all, whatever their age: they are of before it was.
        """
        return self._rows(
            "SELECT * FROM acte WHERE etape = %s AND donnees ? 'uid' AND (recu_le > now() - interval '1 year'"
            " OR suivi->'publication'->>'annexes' IS NULL)"
            " AND donnees->>'eliminee' IS NULL AND suivi->'publication'->>'mode' = 'electronique'"
            " AND jsonb_array_length(COALESCE(donnees->'annexes', '[]')) > 0"
            " AND COALESCE((suivi->'publication'->>'annexes')::int, -1) <> jsonb_array_length(donnees->'annexes')"
            " ORDER BY random() LIMIT %s",  # some may never be told of: they keep no other from its turn
            (FINISHED, limit),
        )

    def unproven(self, limit: int = 200) -> list[Tracked]:
        """Some of the archived délibérations whose dossier de preuve waits for the papers of their meeting."""
        return self._rows(
            "SELECT * FROM acte WHERE etape = %s AND donnees ? 'uid' AND donnees->>'eliminee' IS NULL"
            " AND suivi->'tdt'->>'archive' IS NOT NULL AND suivi->>'preuve' IS NULL AND suivi->>'seance' IS NULL"
            " ORDER BY random() LIMIT %s",  # some may never have any: they keep no other from its turn
            (FINISHED, limit),
        )

    def blocked(self) -> list[Tracked]:
        """The dead letters, oldest first."""
        return self._rows("SELECT * FROM acte WHERE blocage <> '' ORDER BY modifie_le", ())

    def history(self, reference: str) -> list[tuple[datetime, str, str]]:
        """What happened to an act, in order."""
        with self.pool.connection() as connection:
            rows = connection.execute(
                "SELECT le, etape, detail FROM passage WHERE reference = %s ORDER BY le", (reference,)
            ).fetchall()
        return [(one["le"], one["etape"], one["detail"]) for one in rows]

    def counts(self) -> dict[str, int]:
        """How many acts at each step, and how many are blocked; none of those that the archive eliminated."""
        with self.pool.connection() as connection:
            rows = connection.execute(
                "SELECT CASE WHEN blocage <> '' THEN 'bloque' ELSE etape END AS etape, count(*) AS nombre "
                "FROM acte WHERE donnees->>'eliminee' IS NULL GROUP BY 1"
            ).fetchall()
        return {one["etape"]: one["nombre"] for one in rows}

    def stuck(self, seconds: float) -> bool:
        """Whether a job of the queue was begun that long ago and is not finished."""
        query = (
            "SELECT 1 FROM procrastinate_jobs JOIN procrastinate_events ON job_id = procrastinate_jobs.id "
            "WHERE status = 'doing' AND type = 'started' GROUP BY job_id "
            "HAVING max(at) < now() - make_interval(secs => %s)"
        )
        with self.pool.connection() as connection:
            return connection.execute(query, (seconds,)).fetchone() is not None

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[Tracked]:
        with self.pool.connection() as connection:
            return [as_act(one) for one in connection.execute(query.encode(), values).fetchall()]
