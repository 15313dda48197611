"""What the DGFiP sends back of the accounts (PES Retour): brought by the connector, shown to the commune's agents.

A return is named as the connector named its folder; the same one again changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from . import room
from .acts import BadRequest
from .config import Commune, Config
from .files import Files
from .room import LARGEST
from .store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS retour (
  commune text NOT NULL,
  nom text NOT NULL,
  fichier text NOT NULL,
  sha256 text NOT NULL,
  octets bigint NOT NULL,
  recu_le timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (commune, nom)
);
CREATE INDEX IF NOT EXISTS retour_sha256 ON retour (sha256);
"""
_NAME = re.compile(r"\d{8}-[A-Za-z0-9_-]{1,150}")
_FILE = re.compile(r"[A-Za-z0-9_-]{1,100}(\.[a-z]{1,4}){1,2}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BLOCK = 1 << 20


def keep_announced(files: Files, source: BinaryIO, sha256: str, most: int = LARGEST) -> int:
    """Keep what a connector gives, of the digest and at most the size that it announced; gives its size in bytes.

    Raises BadRequest.
    """
    size = 0

    def write(target: BinaryIO) -> None:
        nonlocal size
        digest = hashlib.sha256()
        while block := source.read(_BLOCK):
            size += len(block)
            if size > most:
                told = f"{most} octets annoncés" if most < LARGEST else f"{LARGEST // 1_000_000} Mo au plus"
                raise BadRequest(f"Ce fichier est trop grand : {told}.", 413)
            digest.update(block)
            target.write(block)
        if digest.hexdigest() != sha256:
            raise BadRequest("Ce fichier n'a pas l'empreinte annoncée.")

    files.keep(write)
    return size


class Returns:
    """Returns of the DGFiP, by commune."""

    def __init__(self, store: Store, files: Files) -> None:
        self._store, self._files = store, files
        self._coming: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @contextmanager
    def _alone(self, key: tuple[str, str]) -> Iterator[None]:
        """One return of a name at a time: of several files that come together, one would be noted, and all kept."""
        with self._lock:
            if key in self._coming:
                raise BadRequest(f"« {key[1]} » est déjà en train d'arriver : réessayez ensuite.", 429)
            self._coming.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._coming.discard(key)

    def take(
        self, commune: Commune, name: str, file: str, sha256: str, source: BinaryIO, announced: int | None = None
    ) -> None:
        """Keep a return.

        Args:
            announced: its size in bytes; without one, it counts as the largest that there is.

        Raises:
            BadRequest: it is not what was announced, another one has its name, or the commune used its share.
        """
        if not (_NAME.fullmatch(name) and _FILE.fullmatch(file) and _DIGEST.fullmatch(sha256)):
            raise BadRequest("Un retour a un nom, un fichier et une empreinte (sha256).")
        try:
            _day(name)
        except ValueError:
            raise BadRequest(f"« {name} » ne commence pas par la date du retour (AAAAMMJJ).") from None
        with self._alone((commune.slug, name)):
            self._take(commune, name, file, sha256, source, announced)

    def _take(
        self, commune: Commune, name: str, file: str, sha256: str, source: BinaryIO, announced: int | None
    ) -> None:
        known = self._rows("SELECT sha256 FROM retour WHERE commune = %s AND nom = %s", commune.slug, name)
        if known and known[0]["sha256"] != sha256:
            raise BadRequest(f"« {name} » est déjà le nom d'un autre retour.", 409)
        most = LARGEST if announced is None else announced
        if not known:  # before a byte of it is read
            with self._store.transaction() as connection:
                room.check(connection, commune, [most])
        size = keep_announced(self._files, source, sha256, most)
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO retour (commune, nom, fichier, sha256, octets) VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                (commune.slug, name, file, sha256, size),
            )

    def shown(self, config: Config, commune: Commune | None, limit: int = 50) -> list[dict[str, Any]]:
        """The latest returns of a commune, or of each in turn."""
        slug = commune.slug if commune else None
        rows = self._rows(
            "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY commune ORDER BY recu_le DESC, nom) AS rang"
            " FROM retour WHERE %s::text IS NULL OR commune = %s ORDER BY rang, recu_le DESC, nom LIMIT %s) AS un"
            " ORDER BY recu_le DESC, nom",
            slug,
            slug,
            limit,
        )
        known = config.communes
        return [
            {
                "nom": row["nom"][9:],
                "sha256": row["sha256"],
                "ko": max(1, row["octets"] // 1000),
                "le": _day(row["nom"]),
                "commune": known[row["commune"]].name if row["commune"] in known else row["commune"],
            }
            for row in rows
        ]

    def document(self, commune: Commune | None, sha256: str) -> tuple[Path, str] | None:
        """A return's file, and its name, for an agent of its commune or of the groupement."""
        slug = commune.slug if commune else None
        rows = self._rows(
            "SELECT fichier FROM retour WHERE sha256 = %s AND (%s::text IS NULL OR commune = %s) LIMIT 1",
            sha256,
            slug,
            slug,
        )
        return (self._files.path(sha256), str(rows[0]["fichier"])) if rows else None

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self._store.transaction() as connection:
            return connection.execute(query.encode(), values).fetchall()


def _day(name: str) -> str:
    """Day of a return, from its name. Raises ValueError."""
    return datetime.strptime(name[:8], "%Y%m%d").strftime("%d/%m/%Y")
