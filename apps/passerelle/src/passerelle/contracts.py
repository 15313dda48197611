"""Contracts that are signed and wait at the parapheur for their file: their delay runs (CGCT, R2131-5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

import psycopg

from .acts import CONTRACT
from .store import Store

MOST = 2000
SCHEMA = """
CREATE TABLE IF NOT EXISTS contrat_en_attente (
  reference text PRIMARY KEY,
  commune text NOT NULL,
  numero text NOT NULL,
  signe_le date NOT NULL
)
"""


def note(store: Store, dossiers: Iterable[Mapping[str, Any]]) -> None:
    """Keep those that wait today, in the place of those of before; one that tells no day keeps no other.

    Args:
        dossiers: signed ones, as the parapheur lists them; `complet` is false for those that wait.
    """
    waiting: dict[str, tuple[str, str, date]] = {}
    for one in dossiers:
        if one.get("complet") is False and one.get("circuit") == CONTRACT and len(waiting) < MOST:
            try:
                signed = date.fromisoformat(str(one["depuis"])[:10])
                number = str(one.get("numero") or "").replace("\0", "")[:100]
                waiting[str(one["reference"])] = str(one["commune"]), number, signed
            except (KeyError, ValueError):
                continue
    with store.transaction() as connection:
        connection.execute("DELETE FROM contrat_en_attente WHERE NOT reference = ANY(%s)", (list(waiting),))
        for reference, (commune, number, signed) in waiting.items():
            connection.execute(
                "INSERT INTO contrat_en_attente VALUES (%s, %s, %s, %s) ON CONFLICT (reference) DO UPDATE"
                " SET numero = EXCLUDED.numero, signe_le = EXCLUDED.signe_le"
                " WHERE contrat_en_attente.numero <> EXCLUDED.numero"
                " OR contrat_en_attente.signe_le <> EXCLUDED.signe_le",
                (reference, commune, number, signed),
            )


def waiting(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[tuple[str, str, date]]:
    """Those that wait: commune, number, day of the signature."""
    for one in connection.execute("SELECT commune, numero, signe_le FROM contrat_en_attente").fetchall():
        yield one["commune"], one["numero"], one["signe_le"]
