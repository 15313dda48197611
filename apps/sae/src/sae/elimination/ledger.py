"""The book of eliminations: lists, their documents, requests, what each did. SQL is here, and nowhere else."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from creatic_agent.book import Book
from sae import copies as following
from sae.journal import canonical
from sae.refusal import OperationRefusedError

REQUESTED, APPROVED, DONE, DROPPED = "demandee", "approuvee", "faite", "abandonnee"
ORIGINAL, SIGNED, VISA = "bordereau.pdf", "bordereau-signe.pdf", "visa.pdf"
# A list waits for the maire and the visa: no text says how long the Archives départementales may take.
LIST_VALIDITY_SECONDS = 366 * 86400
SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS demande (
  id TEXT PRIMARY KEY, compte TEXT NOT NULL, etat TEXT NOT NULL, recue_le REAL NOT NULL,
  texte BLOB NOT NULL, signature BLOB NOT NULL, demandeur TEXT NOT NULL, demandeur_certificat TEXT NOT NULL,
  approbation BLOB, approbation_signature BLOB, approbateur TEXT, approbateur_certificat TEXT,
  attestation BLOB, attestation_signature BLOB, attestation_jeton BLOB
);
CREATE TABLE IF NOT EXISTS objet (
  demande TEXT NOT NULL REFERENCES demande(id), aip TEXT NOT NULL, faite_le TEXT, seq INTEGER,
  PRIMARY KEY (demande, aip)
);
CREATE TABLE IF NOT EXISTS mot (
  demande TEXT NOT NULL, aip TEXT NOT NULL, sha256 TEXT NOT NULL, texte BLOB, signature BLOB,
  PRIMARY KEY (demande, aip)
);
CREATE TABLE IF NOT EXISTS liste (demande TEXT PRIMARY KEY, faite_le REAL NOT NULL, texte BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS piece (
  demande TEXT NOT NULL REFERENCES liste(demande) ON DELETE CASCADE, nom TEXT NOT NULL, contenu BLOB NOT NULL,
  PRIMARY KEY (demande, nom)
);
"""
    + following.SCHEMA
)
_CERTIFICATE = (
    "SELECT attestation, attestation_signature, attestation_jeton FROM demande WHERE id = ? AND attestation IS NOT NULL"
)
_COPIES_CERTIFICATE = "SELECT texte, signature, jeton FROM attestation_copies WHERE demande = ?"


@dataclass(frozen=True)
class Request:
    """A request that the gateway has."""

    id: str
    account: str
    state: str
    received: float
    text: bytes
    signature: bytes
    requester: str
    requester_certificate: str
    approval: bytes | None = None
    approval_signature: bytes | None = None
    approver: str | None = None
    approver_certificate: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """Its fields."""
        found: dict[str, Any] = json.loads(self.text)
        return found


@dataclass(frozen=True)
class Attested:
    """A certificate of the archive: its text, signature and timestamp."""

    text: bytes
    signature: bytes
    token: bytes


class Requests(Book):
    """Requests and how far they are."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)
        self.path = path

    # -- lists and their documents -------------------------------------------------------------------------

    def keep_list(self, document: Mapping[str, Any], made: bytes, now: float) -> None:
        """Keep a list and its bordereau; those of long ago that nobody deposited go."""
        old = now - LIST_VALIDITY_SECONDS
        with self.transaction() as db:
            db.execute(
                "DELETE FROM piece WHERE demande IN (SELECT demande FROM liste WHERE faite_le < ?)"
                " AND demande NOT IN (SELECT id FROM demande)",
                (old,),
            )
            db.execute("DELETE FROM liste WHERE faite_le < ? AND demande NOT IN (SELECT id FROM demande)", (old,))
            text = canonical.encode(document).encode()
            db.execute("INSERT INTO liste VALUES (?, ?, ?)", (document["demande"], now, text))
            db.execute("INSERT INTO piece VALUES (?, ?, ?)", (document["demande"], ORIGINAL, made))

    def find_list(self, identifier: str) -> dict[str, Any]:
        """A list that was made. Raises Refused."""
        rows = self.rows("SELECT texte FROM liste WHERE demande = ?", identifier)
        if not rows:
            raise OperationRefusedError(
                f"aucune liste « {identifier[:80]} » n'a été faite ici depuis un an (« sae-elimination demander »)"
            )
        found: dict[str, Any] = json.loads(rows[0]["texte"])
        return found

    def pieces(self, identifier: str) -> dict[str, bytes]:
        """The documents of a request, by name."""
        rows = self.rows("SELECT nom, contenu FROM piece WHERE demande = ?", identifier)
        return {str(row["nom"]): bytes(row["contenu"]) for row in rows}

    def digests(self, identifier: str) -> dict[str, str]:
        """Of the documents that a request is bound to, by field."""
        pieces = self.pieces(identifier)
        fields = (("bordereau_sha512", ORIGINAL), ("bordereau_signe_sha512", SIGNED), ("visa_sha512", VISA))
        return {field: hashlib.sha512(pieces[name]).hexdigest() for field, name in fields if name in pieces}

    def keep_pieces(self, identifier: str, pieces: Mapping[str, bytes]) -> None:
        """Keep documents of a list, in the place of those of before. Raises Refused: it is deposited meanwhile."""
        with self.transaction() as db:
            self.check_open(identifier)
            for name, content in pieces.items():
                db.execute("INSERT OR REPLACE INTO piece VALUES (?, ?, ?)", (identifier, name, content))

    def check_open(self, identifier: str) -> None:
        """Raises Refused if a list is deposited."""
        if self.is_deposited(identifier):
            raise OperationRefusedError(f"la demande {identifier} est déjà déposée : ses pièces ne changent plus")

    def is_deposited(self, identifier: str) -> bool:
        return bool(self.rows("SELECT id FROM demande WHERE id = ?", identifier))

    # -- requests ------------------------------------------------------------------------------------------

    def requests(self, *states: str) -> list[Request]:
        """Requests in one of these states, all of them if none is given, oldest first."""
        found = [_build_request(row) for row in self.rows("SELECT * FROM demande ORDER BY recue_le")]
        return [one for one in found if not states or one.state in states]

    def request(self, identifier: str) -> Request:
        """Raises Refused if there is none."""
        rows = self.rows("SELECT * FROM demande WHERE id = ?", identifier)
        if not rows:
            raise OperationRefusedError(f"aucune demande « {identifier[:80]} » n'est déposée ici")
        return _build_request(rows[0])

    def pending_archives(self) -> dict[str, str]:
        """Archives of requests that go on, with the request."""
        rows = self.rows(
            "SELECT aip, demande FROM objet JOIN demande ON demande.id = objet.demande WHERE etat IN (?, ?)",
            REQUESTED,
            APPROVED,
        )
        return {str(row["aip"]): str(row["demande"]) for row in rows}

    def deposit(self, request: Request, aips: Collection[str]) -> Request:
        """Keep a request and its archives. Raises Refused: what it stands on changed while it was judged."""
        with self.transaction() as db:
            if taken := self.pending_archives().keys() & {*aips}:
                raise OperationRefusedError(f"{min(taken)} : une autre demande vient de la prendre")
            document = request.document
            if any(document.get(field) != value for field, value in self.digests(request.id).items()):
                raise OperationRefusedError(
                    f"les pièces de la demande {request.id} viennent de changer : signez celle d'aujourd'hui"
                )
            db.execute(
                "INSERT INTO demande (id, compte, etat, recue_le, texte, signature, demandeur, demandeur_certificat)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    request.id, request.account, request.state, request.received, request.text, request.signature,
                    request.requester, request.requester_certificate,
                ),
            )  # fmt: skip # a row
            db.executemany("INSERT INTO objet (demande, aip) VALUES (?, ?)", [(request.id, aip) for aip in aips])
        return self.request(request.id)

    def approve(self, identifier: str, text: bytes, signature: bytes, approver: str, certificate: str) -> Request:
        with self.transaction() as db:
            db.execute(
                "UPDATE demande SET etat = ?, approbation = ?, approbation_signature = ?, approbateur = ?,"
                " approbateur_certificat = ? WHERE id = ? AND etat = ?",
                (APPROVED, text, signature, approver, certificate, identifier, REQUESTED),
            )
        return self.request(identifier)

    def drop(self, identifier: str) -> None:
        with self.transaction() as db:
            db.execute("UPDATE demande SET etat = ? WHERE id = ? AND etat = ?", (DROPPED, identifier, REQUESTED))

    def finish(self, identifier: str) -> None:
        with self.transaction() as db:
            db.execute("UPDATE demande SET etat = ? WHERE id = ?", (DONE, identifier))

    # -- archives ------------------------------------------------------------------------------------------

    def remaining(self, identifier: str) -> list[str]:
        """Archives of a request that are not eliminated yet."""
        rows = self.rows("SELECT aip FROM objet WHERE demande = ? AND faite_le IS NULL", identifier)
        return [str(row["aip"]) for row in rows]

    def list_eliminated(self, identifier: str) -> dict[str, tuple[str | None, int | None]]:
        """When each archive of a request was eliminated, and its rank in the journal."""
        rows = self.rows("SELECT aip, faite_le, seq FROM objet WHERE demande = ?", identifier)
        return {str(row["aip"]): (row["faite_le"], row["seq"]) for row in rows}

    def keep_gone(self, identifier: str, aip: str, when: str, rank: int) -> None:
        with self.transaction() as db:
            db.execute(
                "UPDATE objet SET faite_le = ?, seq = ? WHERE demande = ? AND aip = ?", (when, rank, identifier, aip)
            )

    def keep_digests(self, identifier: str, aip: str, digests: Collection[str]) -> None:
        """Keep the digests of what was in an archive."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO mot (demande, aip, sha256) VALUES (?, ?, ?)",
                (identifier, aip, json.dumps([*digests])),
            )

    def unsaid(self, identifier: str) -> list[tuple[str, str, list[str]]]:
        """Eliminated archives whose own attestation is not written yet: when each went, digests of what it held."""
        rows = self.rows(
            "SELECT objet.aip, objet.faite_le, mot.sha256 FROM objet"
            " JOIN mot ON mot.demande = objet.demande AND mot.aip = objet.aip"
            " WHERE objet.demande = ? AND objet.faite_le IS NOT NULL AND mot.texte IS NULL",
            identifier,
        )
        return [(str(row["aip"]), str(row["faite_le"]), json.loads(row["sha256"])) for row in rows]

    def keep_word(self, identifier: str, aip: str, text: bytes, signature: bytes) -> None:
        with self.transaction() as db:
            db.execute(
                "UPDATE mot SET texte = ?, signature = ? WHERE demande = ? AND aip = ?",
                (text, signature, identifier, aip),
            )

    # -- certificates --------------------------------------------------------------------------------------

    def certificate(self, identifier: str) -> Attested | None:
        """The certificate of elimination, once it is made."""
        return self._find_attested(_CERTIFICATE, identifier)

    def keep_certificate(self, identifier: str, made: Attested) -> Attested:
        """Keep the certificate of elimination; gives the one that is kept, for the first one is."""
        with self.transaction() as db:
            db.execute(
                "UPDATE demande SET attestation = ?, attestation_signature = ?, attestation_jeton = ?"
                " WHERE id = ? AND attestation IS NULL",
                (made.text, made.signature, made.token, identifier),
            )
        return self._find_attested(_CERTIFICATE, identifier) or made

    def copies_certificate(self, identifier: str) -> Attested | None:
        """The certificate of its copies, once it is made."""
        return self._find_attested(_COPIES_CERTIFICATE, identifier)

    def keep_copies_certificate(self, identifier: str, made: Attested) -> Attested:
        """Keep the certificate of copies; gives the one that is kept, for the first one is."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO attestation_copies (demande, texte, signature, jeton) VALUES (?, ?, ?, ?)",
                (identifier, made.text, made.signature, made.token),
            )
        return self._find_attested(_COPIES_CERTIFICATE, identifier) or made

    def copies_certified(self) -> set[str]:
        """Requests whose certificate of copies is at the storage."""
        return {str(row["demande"]) for row in self.rows("SELECT demande FROM attestation_copies WHERE rangee = 1")}

    def finish_copies(self, identifier: str) -> None:
        """The certificate of copies is at the storage."""
        with self.transaction() as db:
            db.execute("UPDATE attestation_copies SET rangee = 1 WHERE demande = ?", (identifier,))

    def _find_attested(self, query: str, identifier: str) -> Attested | None:
        return next((Attested(*map(bytes, row)) for row in self.rows(query, identifier)), None)


def _build_request(row: sqlite3.Row) -> Request:
    return Request(
        id=row["id"],
        account=row["compte"],
        state=row["etat"],
        received=row["recue_le"],
        text=row["texte"],
        signature=row["signature"],
        requester=row["demandeur"],
        requester_certificate=row["demandeur_certificat"],
        approval=row["approbation"],
        approval_signature=row["approbation_signature"],
        approver=row["approbateur"],
        approver_certificate=row["approbateur_certificat"],
    )
