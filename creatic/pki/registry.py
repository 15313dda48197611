# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The registry: every certificate, every CRL, the settings, in SQLite. It is the truth."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    fingerprint,
    pem,
    serial_hex,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from creatic.pki.x509 import (
    ISSUING,
    ROOT,
    Settings,
    issuer_key,
    make_crl,
    name_part,
    subject_key,
)

STATUSES = VALID, REPLACED, REVOKED, EXPIRED = "valide", "remplace", "revoque", "expire"

UNFINISHED = "autorité de certification inachevée : relancez « fab pki.creer »"
_LISTED_COLUMNS = (
    *("serie", "titulaire", "organisme", "siren", "commune", "hote", "nom", "profil", "sujet"),
    *("debut", "fin", "motif", "revoque_le", "pem"),
)
_REGISTRY_SCHEMA = """
CREATE TABLE reglage (cle TEXT PRIMARY KEY, valeur TEXT NOT NULL) STRICT;
CREATE TABLE certificat (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  serie TEXT NOT NULL UNIQUE,
  emetteur TEXT NOT NULL,
  cle_sha256 TEXT NOT NULL,
  profil TEXT NOT NULL,
  sujet TEXT NOT NULL,
  titulaire TEXT NOT NULL,
  organisme TEXT NOT NULL,
  siren TEXT NOT NULL,
  commune TEXT NOT NULL,
  hote TEXT NOT NULL,
  nom TEXT NOT NULL,
  debut TEXT NOT NULL,
  fin TEXT NOT NULL,
  statut TEXT NOT NULL CHECK (statut IN ('valide', 'remplace', 'revoque')),
  motif TEXT,
  revoque_le TEXT,
  demande TEXT NOT NULL,
  pem TEXT NOT NULL
) STRICT;
CREATE INDEX certificat_hote ON certificat (hote, nom);
CREATE INDEX certificat_cle ON certificat (cle_sha256);
CREATE TABLE crl (emetteur TEXT PRIMARY KEY, numero INTEGER NOT NULL, pem TEXT NOT NULL) STRICT;
PRAGMA user_version = 1;
"""


@dataclass(frozen=True)
class Owner:
    """Whose certificate it is: inventory host and, when there is one, the commune's slug."""

    host: str
    commune: str = ""


class Registry:
    """The file ``registre.sqlite`` of the authority's folder; whoever writes holds the lock ``verrou``."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.path = directory / "registre.sqlite"

    @property
    def exists(self) -> bool:
        """Whether the authority was made, even if part of it is lost."""
        return any((self.directory / name).exists() for name in (self.path.name, ROOT, ISSUING))

    @contextlib.contextmanager
    def open(self) -> Iterator[Book]:
        """Open the registry.

        Raises:
            PkiError: it is absent, damaged, locked or of another version; says what to do.
        """
        if not self.path.is_file():
            if self.exists:
                raise PkiError(
                    f"registre des certificats absent : {self.path}. Restaurez-le depuis la sauvegarde ; "
                    "sans lui, les révocations seraient perdues, donc rien n'est émis"
                )
            raise PkiError(f"aucune autorité de certification dans {self.directory} : lancez d'abord « fab pki.creer »")
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=60, isolation_level=None
        )
        connection.row_factory = sqlite3.Row
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != 1:
                raise PkiError(
                    f"registre {self.path} illisible (version {version}) : restaurez-le depuis la sauvegarde"
                )
            connection.execute("PRAGMA synchronous = EXTRA")
            yield Book(connection)
        except sqlite3.DatabaseError as error:
            raise PkiError(
                f"registre {self.path} endommagé ou verrouillé ({error}) : rien n'a été émis ; "
                "restaurez-le depuis la sauvegarde"
            ) from error
        finally:
            connection.close()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Wait for another process that writes, and keep others out."""
        with (self.directory / "verrou").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def create(self) -> None:
        """Make an empty registry, whole or not at all; one that another process just made is left."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.locked():
            if self.path.exists():
                return
            temporary = self.path.with_suffix(".nouveau")
            temporary.unlink(missing_ok=True)
            connection = sqlite3.connect(temporary)
            connection.executescript(_REGISTRY_SCHEMA)
            connection.close()
            write(self.path, temporary.read_bytes(), 0o600)
            temporary.unlink()


class Book:
    """An open registry: what it says, and what is written in it."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all that is written inside, whole and durable, at the end, or none of it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def integrity(self) -> str:
        """Return ``ok``, or what SQLite finds damaged."""
        return str(self.connection.execute("PRAGMA integrity_check").fetchone()[0])

    def get_value(self, key: str) -> Any:
        """Return what was kept under a key, or None."""
        row = self.connection.execute("SELECT valeur FROM reglage WHERE cle = ?", (key,)).fetchone()
        return json.loads(row["valeur"]) if row else None

    def set_value(self, key: str, value: Any) -> None:
        """Keep plain data under a key."""
        self.connection.execute(
            "INSERT OR REPLACE INTO reglage VALUES (?, ?)", (key, json.dumps(value, ensure_ascii=False))
        )

    def settings(self) -> Settings | None:
        """Return the settings of the authority, or None before they were kept."""
        found = self.get_value("autorite")
        return Settings(**found) if found else None

    def keep_settings(self, settings: Settings) -> None:
        """Keep the settings of the authority."""
        self.set_value("autorite", settings.__dict__)

    # -- certificates ----------------------------------------------------------------------------------

    def rows(self, where: str = "1", *values: object, order: str = "id") -> list[sqlite3.Row]:
        """Return the certificates' rows for which that SQL condition, one of this package's, holds."""
        asked = f"SELECT * FROM certificat WHERE {where} ORDER BY {order}"  # noqa: S608 - this package's own words
        return self.connection.execute(asked, values).fetchall()

    def record(self, certificate: x509.Certificate, request: Mapping[str, Any], owner: Owner) -> None:
        """Write a new certificate, which replaces the owner's of the same name."""
        self.connection.execute(
            "UPDATE certificat SET statut = 'remplace' WHERE hote = ? AND nom = ? AND statut = 'valide'",
            (owner.host, request["name"]),
        )
        self.connection.execute(
            "INSERT INTO certificat (serie, emetteur, cle_sha256, profil, sujet, titulaire, organisme, siren,"
            " commune, hote, nom, debut, fin, statut, demande, pem)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'valide', ?, ?)",
            (
                serial_hex(certificate),
                issuer_key(certificate),
                fingerprint(certificate.public_key()),
                request["profile"],
                certificate.subject.rfc4514_string(),
                name_part(certificate, NameOID.COMMON_NAME),
                name_part(certificate, NameOID.ORGANIZATION_NAME),
                request.get("siren", ""),
                owner.commune,
                owner.host,
                request["name"],
                certificate.not_valid_before_utc.isoformat(),
                certificate.not_valid_after_utc.isoformat(),
                json.dumps(request, ensure_ascii=False, sort_keys=True),
                pem(certificate),
            ),
        )

    def replace(self, name: str) -> None:
        """Mark an authority as one that signs no more."""
        self.connection.execute(
            "UPDATE certificat SET statut = 'remplace' WHERE hote = '' AND nom = ? AND statut = 'valide'", (name,)
        )

    def revoke(self, rows: Iterable[sqlite3.Row], motif: str, when: dt.datetime) -> None:
        """Mark certificates revoked; their CRL is for the caller to sign, in the same transaction."""
        self.connection.executemany(
            "UPDATE certificat SET statut = 'revoque', motif = ?, revoque_le = ? WHERE id = ?",
            [(motif, when.isoformat(), row["id"]) for row in rows],
        )

    # -- revocation lists ------------------------------------------------------------------------------

    def sign_crl(self, issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey, days: int) -> None:
        """Sign and write the next CRL of an authority, good for that many days."""
        identifier = subject_key(issuer).digest.hex()
        row = self.connection.execute("SELECT numero FROM crl WHERE emetteur = ?", (identifier,)).fetchone()
        number = row["numero"] + 1 if row else 1
        revoked = [
            (int(row["serie"], 16), instant(row["revoque_le"]), row["motif"])
            for row in self.rows("emetteur = ? AND statut = 'revoque'", identifier)
        ]
        crl = make_crl(issuer, key, number, days, revoked)
        self.connection.execute("INSERT OR REPLACE INTO crl VALUES (?, ?, ?)", (identifier, number, pem(crl)))

    def crl(self, issuer: x509.Certificate) -> x509.CertificateRevocationList | None:
        """Return the last CRL of an authority, or None."""
        row = self.connection.execute(
            "SELECT pem FROM crl WHERE emetteur = ?", (subject_key(issuer).digest.hex(),)
        ).fetchone()
        return x509.load_pem_x509_crl(row["pem"].encode()) if row else None

    def crl_days(self, issuer: x509.Certificate | None, now: dt.datetime) -> int:
        """Return the whole days that a CRL still has, -1 when there is none."""
        crl = self.crl(issuer) if issuer else None
        if crl is None or crl.next_update_utc is None:
            return -1
        return (crl.next_update_utc - now).days


def normal_serial(text: str) -> str:
    """Return a serial number as the registry writes it, from what tools print (colons, upper case, 0x).

    Raises:
        PkiError: not a hexadecimal number.
    """
    plain = text.strip().lower().removeprefix("0x").replace(":", "").replace(" ", "")
    if not re.fullmatch(r"[0-9a-f]{1,40}", plain):
        raise PkiError(f"numéro de série « {text} » : nombre hexadécimal attendu")
    return plain.zfill(40)


def instant(text: str) -> dt.datetime:
    """Read a date of the registry."""
    return dt.datetime.fromisoformat(text)


def describe_row(row: sqlite3.Row, now: dt.datetime) -> dict[str, Any]:
    """Return a row of the registry as `Authority.listing` describes it."""
    found: dict[str, Any] = {column: row[column] for column in _LISTED_COLUMNS}
    end = instant(row["fin"])
    found["demande"] = json.loads(row["demande"])
    found["jours"] = (end - now).days
    found["statut"] = EXPIRED if row["statut"] != REVOKED and end <= now else row["statut"]
    return found
