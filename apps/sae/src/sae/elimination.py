"""Elimination after the retention date, by two persons, with its certificate (`sae-elimination`).

One agent signs a request (a JSON document which lists archives), another one signs its approval; both sign at their own
desk, with the certificate of the groupement's authority which is theirs, as CMS. The gateway checks everything again
at each step: final action, retention date, identities. The storage checks the date too, with its own clock. What was
done is written down in a certificate of elimination: signed by the archive, timestamped, kept under WORM.

What is to be kept is kept without limit (Code du patrimoine, R212-12). It is eliminated here by the same two persons
once a public archives service has taken it over (`sae-transfert`), never otherwise.

Code du patrimoine, L212-2 and R212-14: public archives are eliminated with the prior visa of the director of the
departmental archives only. The list is made as a bordereau (`bordereau.py`), that the maire of the commune signs; the
visa is a document. Both are bound by their digests to the request before anybody signs it, and are kept with the
certificate.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import sqlite3
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, cast

from creatic_agent import attestation
from creatic_agent.book import Book
from sae import bordereau, config, inventory
from sae import copies as following
from sae.bordereau import NotSigned, Verifier
from sae.commands import commands
from sae.config import TRUST, Account, ConfigError, section
from sae.inventory import Known
from sae.journal import Journal, JournalError, canonical, timestamp
from sae.journal.log import format_time
from sae.journal.seal import ACCOUNT as SEALS_ACCOUNT
from sae.journal.seal import RETENTION, sealing
from sae.signature import SignatureError, Signer, sign, verify
from sae.store import (
    FOR_EVER,
    TRANSFERS,
    AlreadyStored,
    Corrupted,
    NotStored,
    Retained,
    Store,
    StoreError,
    earliest,
)
from sae.versement.aip import members_of
from sae.versement.registry import Registry

CONTAINER = "eliminations"
REQUESTED, APPROVED, DONE, DROPPED = "demandee", "approuvee", "faite", "abandonnee"
REQUEST, APPROVAL, CERTIFICATE = "demande d'élimination", "approbation d'élimination", "attestation d'élimination"
_BLOCK = 1 << 20
# A request that nobody approved for that long must be made again: its list may be of another time.
VALIDITY = 90 * 86400
# A list waits for the maire and the visa: no text says how long the Archives départementales may take.
LISTED = 366 * 86400
ATTESTS = attestation.SIGNER
_IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
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
LIST = "liste d'élimination"
ORIGINAL, SIGNED, VISA = "bordereau.pdf", "bordereau-signe.pdf", "visa.pdf"
# What the certificate says of copies that nobody can take back.
COPIES = (
    "Les copies du serveur de sauvegarde, où rien ne s'efface avant son temps, disparaissent avec le trimestre qui les "
    "porte."
)
FOLLOWING = (
    "Celles du connecteur de la commune, de la passerelle, de la GED et du parapheur suivent : leur attestation "
    "(copies-….json) dit, acte par acte, ce qu'elles sont devenues, et ce qui reste."
)
# What nothing here deletes, said where the rest is said to be gone. An act is published for good unless a person of the
# commune withdraws it (CGCT, L2131-1; R2131-1: two months at least); registers are kept (R2121-9, R2122-7).
STAYING = (
    {
        "quoi": "site des délibérations : l'acte publié, s'il l'a été, et le dossier de la séance (projet, acte signé "
        "reçu pour sa publication, procès-verbal)",
        "pourquoi": "la loi veut la publicité des actes (CGCT, L2131-1) et la tenue de ce que le conseil a délibéré "
        "(R2121-9) ; la commune retire elle-même une publication, avec son motif",
    },
    {
        "quoi": "passerelle : le numéro, la date et l'objet au registre des arrêtés et des décisions",
        "pourquoi": "le registre se tient sans lacune (CGCT, R2122-7)",
    },
    {
        "quoi": "connecteur et passerelle : les courriers de la préfecture à propos de l'acte",
        "pourquoi": "ils ne sont pas l'acte, et n'ont pas été versés avec lui",
    },
    {
        "quoi": "ce que la préfecture, le comptable et le tiers de télétransmission ont reçu",
        "pourquoi": "cela leur appartient",
    },
)
OTHERS = "Le service versant supprime lui-même celles qu'il a gardées."
COPIES_CERTIFICATE = "attestation de suppression des copies"


class Refused(Exception):
    """Nothing was done; the message, in French, gives every reason."""


def refuse(what: str, reasons: Sequence[str]) -> None:
    """Raise Refused with these reasons (French), if there is one."""
    if reasons:
        raise Refused(f"{what} :\n" + "\n".join(f"  - {reason}" for reason in reasons[:50]))


@dataclass(frozen=True)
class Agent:
    """Somebody who may ask for, or approve, an elimination.

    Attributes:
        name: the person; one person with two certificates is one person.
        subject: of the certificate, as RFC 4514 writes it.
        accounts: services versants concerned; empty for all.
    """

    name: str
    subject: str
    accounts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Trust:
    """Who may sign: authorities, revocation lists (None: not checked), agents."""

    root: Path
    crl: Path | None
    agents: Sequence[Agent]

    def agent(self, document: bytes, signature: bytes, account: str) -> tuple[Agent, Signer]:
        """The agent who signed this document. Raises Refused."""
        try:
            signer = verify(document, signature, self.root, self.crl)
        except SignatureError as error:
            raise Refused(f"signature refusée : {error}") from error
        found = next((agent for agent in self.agents if agent.subject == signer.subject), None)
        if found is None:
            raise Refused(f"« {signer.subject} » n'est pas un agent habilité à éliminer (archive_gateway_agents)")
        if found.accounts and account not in found.accounts:
            raise Refused(f"{found.name} n'est pas habilité pour le compte « {account} »")
        return found, signer


@dataclass(frozen=True)
class Proof:
    """What the archive's own certificates of elimination are made with: its signature, its timestamps."""

    certificate: Path
    stamper: timestamp.Stamper


def trust_of(path: Path) -> Trust:
    """Who may sign. Raises ConfigError."""
    given = section(path, "elimination")
    try:
        agents = [
            Agent(str(one["nom"]), str(one["sujet"]), frozenset(one.get("comptes", ())))
            for one in given.get("agents", [])
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} : « elimination.agents » est incorrect ({error}). Relancez le déploiement."
        ) from error
    return Trust(
        root=Path(given.get("autorites") or TRUST),
        crl=Path(given["revocations"]) if given.get("revocations") else None,
        agents=agents,
    )


def parties(path: Path) -> tuple[Trust, Proof, Verifier]:
    """Who may eliminate, how it is certified, and what judges a maire's signature. Raises ConfigError."""
    given = section(path, "elimination")
    certificate = Path(given.get("certificat", "/etc/creatic/pki/attestation/current"))
    verifier = Verifier(Path(given.get("verificateur", "/run/sae-signature.sock")))
    return trust_of(path), Proof(certificate, sealing(path).stamper), verifier


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
    approval: bytes | None
    approval_signature: bytes | None
    approver: str | None
    approver_certificate: str | None

    @property
    def document(self) -> dict[str, Any]:
        """Its fields."""
        found: dict[str, Any] = json.loads(self.text)
        return found


class Requests(Book):
    """Requests and how far they are."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)
        self.path = path

    def listed(self, identifier: str) -> dict[str, Any]:
        """A list that was made. Raises Refused."""
        rows = self.rows("SELECT texte FROM liste WHERE demande = ?", identifier)
        if not rows:
            raise Refused(
                f"aucune liste « {identifier[:80]} » n'a été faite ici depuis un an (« sae-elimination demander »)"
            )
        found: dict[str, Any] = json.loads(rows[0]["texte"])
        return found

    def pieces(self, identifier: str) -> dict[str, bytes]:
        """The documents of a request, by name."""
        rows = self.rows("SELECT nom, contenu FROM piece WHERE demande = ?", identifier)
        return {str(row["nom"]): bytes(row["contenu"]) for row in rows}

    def requests(self, *states: str) -> list[Request]:
        """Requests in one of these states, all of them if none is given, oldest first."""
        found = [_request(row) for row in self.rows("SELECT * FROM demande ORDER BY recue_le")]
        return [one for one in found if not states or one.state in states]

    def request(self, identifier: str) -> Request:
        """Raises Refused if there is none."""
        rows = self.rows("SELECT * FROM demande WHERE id = ?", identifier)
        if not rows:
            raise Refused(f"aucune demande « {identifier[:80]} » n'est déposée ici")
        return _request(rows[0])


def _request(row: sqlite3.Row) -> Request:
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


@dataclass
class Eliminator:
    """Does eliminations.

    Attributes:
        clock: seconds since the epoch, as this machine believes.
        storage_clock: the same by the storage; the earlier of the two decides. None when it cannot be told.
        forget: told of each archive that is gone (the registry of versements).
        accounts: services versants, by name.
        agency: identifier of this archive.
        title: what an archive is called, by account and identifier (the registry); empty when it is not known.
        durations: agreement of the Archives départementales to the table of durations; empty before it is given.
    """

    journal: Journal
    store: Store
    book: Requests
    trust: Trust
    proof: Proof
    verifier: Verifier
    clock: Callable[[], float] = time.time
    storage_clock: Callable[[], float | None] = lambda: None
    forget: Callable[[str], None] = lambda aip: None
    accounts: Mapping[str, Account] = field(default_factory=dict)
    agency: str = ""
    title: Callable[[str, str], str] = lambda account, aip: ""
    durations: str = ""
    copies: following.Copies = field(init=False)

    def __post_init__(self) -> None:
        self.copies = following.Copies(self.book.path.parent, SCHEMA, self.clock)

    # -- asking --------------------------------------------------------------------------------------------

    def due(self, account: str) -> list[Known]:
        """Archives of an account that may be eliminated today, by retention date."""
        now = self._now()
        asked = self._asked()
        kept = inventory.of_account(self.journal, account).values()
        due = [one for one in kept if one.retain_until <= now and one.aip not in asked]
        found = [one for one in due if self._leaves(one)]
        return sorted(found, key=lambda one: (one.retain_until, one.aip))

    def draft(self, account: str, aips: Iterable[str], reason: str) -> tuple[dict[str, Any], bytes]:
        """The list to eliminate, and its bordereau (PDF), for the maire and the Archives départementales.

        Raises Refused.
        """
        if account not in self.accounts:
            raise Refused(f"compte « {account} » inconnu ; connus : {', '.join(sorted(self.accounts))}")
        wanted = list(dict.fromkeys(aips))
        archives = [
            {
                "aip": one.aip,
                "identifiant": one.title,
                "titre": self.title(account, one.aip),
                "sha512": one.sha512,
                "octets": one.bytes,
                "verse_le": int(one.taken),
                "conserve_jusqua": one.retain_until,
                "sort_final": one.action,
            }
            | ({} if one.action == "Destroy" else {"transfert": inventory.transferred(self.journal, one)})
            for one in self._checked(account, wanted)
        ]
        document = {
            "document": LIST,
            "format": 1,
            "demande": str(uuid.uuid4()),
            "compte": account,
            "liste": bordereau.mark(account, archives),
            "motif": reason.strip(),
            "heure": format_time(datetime.fromtimestamp(self.clock(), UTC)),
            "archives": archives,
        }
        made = bordereau.make(document, self.accounts[account], self.agency, self.durations)
        old = self.clock() - LISTED
        with self.book.transaction() as db:
            db.execute(
                "DELETE FROM piece WHERE demande IN (SELECT demande FROM liste WHERE faite_le < ?)"
                " AND demande NOT IN (SELECT id FROM demande)",
                (old,),
            )
            db.execute("DELETE FROM liste WHERE faite_le < ? AND demande NOT IN (SELECT id FROM demande)", (old,))
            text = canonical.encode(document).encode()
            db.execute("INSERT INTO liste VALUES (?, ?, ?)", (document["demande"], self.clock(), text))
            db.execute("INSERT INTO piece VALUES (?, ?, ?)", (document["demande"], ORIGINAL, made))
        return document, made

    def assemble(self, identifier: str, signed: bytes, visa: bytes, reference: str, quoted: str = "") -> bytes:
        """The request that the first agent signs: the list, its bordereau signed by the commune, and the visa.

        Args:
            identifier: of the list.
            signed: the bordereau, signed by the maire.
            visa: the visa's document (PDF).
            reference: by which the Archives départementales know it.
            quoted: the list that it is given for, as it says; needless when it is the bordereau itself.

        Raises:
            Refused: a visa for another list, a signature that does not count.
        """
        listed = self.book.listed(identifier)
        account = str(listed["compte"])
        self._is_open(identifier)
        original = self.book.pieces(identifier)[ORIGINAL]
        try:
            if not reference.strip():
                raise Refused("la référence du visa des archives départementales manque (--reference)")
            for name, content in ((SIGNED, signed), (VISA, visa)):
                if not content.startswith(b"%PDF-") or len(content) > bordereau.MOST:
                    raise Refused(f"{name} : un PDF de {bordereau.MOST // 1_000_000} Mo au plus est attendu")
            if visa in (original, signed):
                raise Refused(
                    "visa.pdf : c'est le bordereau de la commune, et rien du directeur des Archives départementales : "
                    "donnez le fichier qu'il a visé, ou sa lettre (Code du patrimoine, R212-14)"
                )
            its_own = visa.startswith(original)
            if not its_own and not quoted.strip():
                raise Refused(
                    f"ce visa n'est pas le bordereau lui-même : recopiez la liste qu'il cite (--liste BE-…), celle de "
                    f"ce bordereau est {listed['liste']}"
                )
            if quoted.strip() and bordereau.normal(quoted) != listed["liste"]:
                raise Refused(
                    f"le visa est donné pour la liste {bordereau.normal(quoted)[:40]}, et non pour {listed['liste']} : "
                    "le visa d'une autre liste ne permet rien (Code du patrimoine, R212-14)"
                )
            who = self._signed_by_commune(account, signed, original)
        except Refused as error:
            self._note_refusal(account, identifier, str(error))
            raise
        with self.book.transaction() as db:
            self._is_open(identifier)  # judging a signature takes time: somebody may have deposited it meanwhile
            for name, content in ((SIGNED, signed), (VISA, visa)):
                db.execute("INSERT OR REPLACE INTO piece VALUES (?, ?, ?)", (identifier, name, content))
        document = listed | {
            "document": REQUEST,
            "format": 2,
            "visa": reference.strip(),
            "signataire": who["signataire"],
            **self._digests(identifier),
        }
        return canonical.encode(document).encode()

    def _is_open(self, identifier: str) -> None:
        if self.book.rows("SELECT id FROM demande WHERE id = ?", identifier):
            raise Refused(f"la demande {identifier} est déjà déposée : ses pièces ne changent plus")

    def _signed_by_commune(self, account: str, signed: bytes, original: bytes) -> dict[str, str]:
        if account not in self.accounts:  # the commune left meanwhile
            raise Refused(f"compte « {account} » inconnu ; connus : {', '.join(sorted(self.accounts))}")
        try:
            return self.verifier.check(signed, original, self.accounts[account])
        except NotSigned as error:
            raise Refused(f"bordereau refusé : {error}") from error

    def _digests(self, identifier: str) -> dict[str, str]:
        """Of the documents that a request is bound to, by field."""
        pieces = self.book.pieces(identifier)
        fields = (("bordereau_sha512", ORIGINAL), ("bordereau_signe_sha512", SIGNED), ("visa_sha512", VISA))
        return {field: hashlib.sha512(pieces[name]).hexdigest() for field, name in fields if name in pieces}

    def _bound(self, document: Mapping[str, Any]) -> None:
        """Check that a request is the one that its list, its bordereau and its visa make. Raises Refused."""
        identifier, account = str(document.get("demande")), str(document.get("compte"))
        listed, digests = self.book.listed(identifier), self._digests(identifier)
        same = [
            field for field in ("compte", "liste", "archives", "motif", "heure") if document.get(field) != listed[field]
        ]
        if (
            same
            or len(digests) < len((ORIGINAL, SIGNED, VISA))
            or any(document.get(field) != value for field, value in digests.items())
        ):
            raise Refused("la demande n'est pas celle que « sae-elimination constituer » a écrite")
        pieces = self.book.pieces(identifier)
        who = self._signed_by_commune(account, pieces[SIGNED], pieces[ORIGINAL])
        if who["signataire"] != document.get("signataire") or not str(document.get("visa", "")).strip():
            raise Refused("la demande n'est pas celle que « sae-elimination constituer » a écrite")

    def _checked(self, account: str, aips: Sequence[str]) -> list[Known]:
        """The archives, if all of them may be eliminated now; Refused, with every reason, if one may not."""
        if not aips:
            raise Refused("aucune archive n'est donnée")
        now, asked, reasons, found = self._now(), self._asked(), [], []
        going = {*aips, *asked}
        for aip in aips:
            known = inventory.find(self.journal, aip)
            if known is None or known.account != account:
                reasons.append(f"{aip[:80]} : aucune archive du compte « {account} » n'a cet identifiant")
            elif not self._leaves(known):
                reasons.append(
                    f"{aip} : son sort final est la conservation, elle ne s'élimine qu'après son transfert à un "
                    "service public d'archives (sae-transfert)"
                )
            elif known.retain_until > now:
                reasons.append(f"{aip} : à conserver jusqu'au {_day(known.retain_until)}")
            elif aip in asked:
                reasons.append(f"{aip} : déjà dans la demande {asked[aip]}")
            elif known.action == "Destroy" and (left := [*{*inventory.copies(self.journal, aip)} - going]):
                reasons.append(f"{aip} : sa copie en PDF/A {min(left)} resterait ; éliminez-les ensemble")
            else:
                found.append(known)
        refuse("élimination refusée", reasons)
        return found

    def _leaves(self, known: Known) -> bool:
        return known.action == "Destroy" or bool(inventory.transferred(self.journal, known))

    def _now(self) -> float:
        """A wrong clock must not bring a date nearer: the earlier of this machine's and the storage's."""
        other = self.storage_clock()
        return self.clock() if other is None else min(self.clock(), other)

    def _asked(self) -> dict[str, str]:
        """Archives of requests that go on, with the request."""
        rows = self.book.rows(
            "SELECT aip, demande FROM objet JOIN demande ON demande.id = objet.demande WHERE etat IN (?, ?)",
            REQUESTED,
            APPROVED,
        )
        return {str(row["aip"]): str(row["demande"]) for row in rows}

    # -- two persons ---------------------------------------------------------------------------------------

    def deposit(self, text: bytes, signature: bytes) -> bytes:
        """Take a signed request; gives the document that another agent must sign to approve it. Raises Refused.

        Depositing the same request again gives the same document.
        """
        document = _read(text, REQUEST, 2)
        account, identifier = str(document.get("compte")), str(document.get("demande"))
        if account not in self.accounts:
            raise Refused(f"compte « {account[:80]} » inconnu ; connus : {', '.join(sorted(self.accounts))}")
        try:
            agent, signer = self.trust.agent(text, signature, account)
            known = self.book.rows("SELECT texte FROM demande WHERE id = ?", identifier)
            if known:
                if bytes(known[0]["texte"]) != text:
                    raise Refused(f"une autre demande porte déjà l'identifiant {identifier}")
                self._note_request(self.book.request(identifier))  # if a crash kept it from being journaled
                return self._approval(self.book.request(identifier))
            if not _IDENTIFIER.fullmatch(identifier):
                raise Refused("la demande n'est pas celle que « sae-elimination constituer » a écrite")
            listed = document.get("archives")
            if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
                raise Refused("la demande n'a pas de liste d'archives : refaites-la avec « sae-elimination demander »")
            aips = [str(one.get("aip")) for one in listed]
            if len(set(aips)) != len(aips):
                raise Refused("une archive est deux fois dans la demande : refaites-la")
            found = self._checked(account, aips)
            for one, archive in zip(listed, found, strict=True):
                if one.get("sha512") != archive.sha512:
                    raise Refused("la demande n'est pas celle que « sae-elimination constituer » a écrite")
            self._bound(document)
        except Refused as error:
            self._note_refusal(account, identifier, str(error))
            raise
        now = self.clock()
        with self.book.transaction() as db:
            if taken := self._asked().keys() & set(aips):
                raise Refused(f"{min(taken)} : une autre demande vient de la prendre")
            if any(document.get(field) != value for field, value in self._digests(identifier).items()):
                raise Refused(f"les pièces de la demande {identifier} viennent de changer : signez celle d'aujourd'hui")
            db.execute(
                "INSERT INTO demande (id, compte, etat, recue_le, texte, signature, demandeur, demandeur_certificat)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (identifier, account, REQUESTED, now, text, signature, agent.name, signer.shown),
            )
            db.executemany("INSERT INTO objet (demande, aip) VALUES (?, ?)", [(identifier, one.aip) for one in found])
        request = self.book.request(identifier)
        self._note_request(request)
        return self._approval(request)

    def _note_request(self, request: Request) -> None:
        document = request.document
        detail = {
            "demande": request.id,
            "demande_sha512": hashlib.sha512(request.text).hexdigest(),
            "demandeur": request.requester,
            "certificat": request.requester_certificate,
            "visa": document["visa"],
            "archives": len(document["archives"]),
        } | _bindings(document)
        key = f"elimination:{request.id}:demande"
        self.journal.note("elimination.demande", request.account, "succes", detail, key=key)

    def _approval(self, request: Request) -> bytes:
        """What the second agent signs: it names the request and the signature that it approves."""
        document = request.document
        return canonical.encode(
            {
                "document": APPROVAL,
                "format": 1,
                "demande": request.id,
                "compte": request.account,
                "visa": document["visa"],
                "archives": len(document["archives"]),
                "demandeur": request.requester,
                "demande_sha512": hashlib.sha512(request.text).hexdigest(),
                "signature_sha512": hashlib.sha512(request.signature).hexdigest(),
            }
            | _bindings(document)
        ).encode()

    def approve(self, text: bytes, signature: bytes) -> str:
        """Take the approval of another agent; gives the request's identifier. Nothing is deleted yet.

        Raises Refused.
        """
        document = _read(text, APPROVAL)
        request = self.book.request(str(document.get("demande")))
        if request.state in (APPROVED, DONE):
            return request.id
        try:
            if request.state != REQUESTED:
                raise Refused(f"la demande {request.id} est {request.state.replace('ee', 'ée')}")
            if request.document["format"] == 1:
                raise Refused(
                    f"la demande {request.id} est d'avant les bordereaux signés : abandonnez-la, et refaites-la avec "
                    "« sae-elimination demander »"
                )
            if text != self._approval(request):
                raise Refused("l'approbation n'est pas celle de cette demande : signez le document tel qu'il est écrit")
            if self.clock() - request.received > VALIDITY:
                raise Refused(f"la demande {request.id} a plus de {VALIDITY // 86400} jours : refaites-la")
            agent, signer = self.trust.agent(text, signature, request.account)
            first_agent, first = self.trust.agent(request.text, request.signature, request.account)
            if agent.name == first_agent.name or signer.key == first.key or signer.subject == first.subject:
                raise Refused(f"{agent.name} a fait la demande : une autre personne doit l'approuver")
            others = [one["aip"] for one in request.document["archives"]]
            self._still(request.account, others)
        except Refused as error:
            self._note_refusal(request.account, request.id, str(error))
            raise
        with self.book.transaction() as db:
            db.execute(
                "UPDATE demande SET etat = ?, approbation = ?, approbation_signature = ?, approbateur = ?,"
                " approbateur_certificat = ? WHERE id = ? AND etat = ?",
                (APPROVED, text, signature, agent.name, signer.shown, request.id, REQUESTED),
            )
        self._note_approval(self.book.request(request.id))
        return request.id

    def _note_approval(self, request: Request) -> None:
        detail = {
            "demande": request.id,
            "approbation_sha512": hashlib.sha512(request.approval or b"").hexdigest(),
            "approbateur": str(request.approver),
            "certificat": str(request.approver_certificate),
        }
        key = f"elimination:{request.id}:approbation"
        self.journal.note("elimination.approbation", request.account, "succes", detail, key=key)

    def _still(self, account: str, aips: Sequence[str]) -> None:
        now = self._now()
        for aip in aips:
            known = inventory.find(self.journal, aip)
            if known is None or known.account != account or not self._leaves(known) or known.retain_until > now:
                raise Refused(f"{aip} ne peut pas (ou plus) être éliminée : abandonnez la demande et refaites-la")

    def drop(self, identifier: str, reason: str) -> None:
        """Give up a request that was not approved. Raises Refused."""
        request = self.book.request(identifier)
        if request.state != REQUESTED:
            raise Refused(f"la demande {identifier} est {request.state.replace('ee', 'ée')} : elle ne s'abandonne plus")
        with self.book.transaction() as db:
            db.execute("UPDATE demande SET etat = ? WHERE id = ? AND etat = ?", (DROPPED, identifier, REQUESTED))
        self.journal.note(
            "elimination.abandon", request.account, "succes", {"demande": identifier, "motif": reason[:300]}
        )

    # -- doing ---------------------------------------------------------------------------------------------

    def execute(self, identifier: str) -> int:
        """Delete what was approved, then write the certificate; gives how many archives. Again after a crash: goes on.

        Raises:
            Refused: the request is not approved, what is done could not be attested, or the storage keeps an archive
                (its clock says it is too early).
            StoreError: the storage does not answer; run again.
        """
        request = self.book.request(identifier)
        if request.state == DONE:
            return len(request.document["archives"])
        if request.state != APPROVED:
            raise Refused(f"la demande {identifier} n'est pas approuvée par une seconde personne")
        self._sign(b"")  # nothing is deleted that could not be attested
        self._note_request(request)  # both are there already, unless a crash came first
        self._note_approval(request)
        for name, content in self.book.pieces(identifier).items():
            if name != ORIGINAL:  # the signed one has it
                self._put(f"{Path(name).stem}-{identifier}.pdf", content)
        for row in self.book.rows("SELECT aip FROM objet WHERE demande = ? AND faite_le IS NULL", identifier):
            self._delete(request, str(row["aip"]))
        self._give_word(request)
        self._certify(request)
        with self.book.transaction() as db:
            db.execute("UPDATE demande SET etat = ? WHERE id = ?", (DONE, identifier))
        return len(request.document["archives"])

    def _delete(self, request: Request, aip: str) -> None:
        key = f"elimination:{request.id}:{aip}"
        known = inventory.find(self.journal, aip)
        if known is not None:  # None: deleted and journaled by a run that was cut just after
            self._still(request.account, [aip])
            self.journal.note(
                "elimination.debut", request.account, "succes", {"demande": request.id}, aip, f"{key}:debut"
            )
            if known.action != "Destroy":
                self._note_transfer(known)
            self._note_digests(request, known)
            try:
                self.store.delete(request.account, inventory.CONTAINER, known.name)
            except NotStored:
                pass  # an earlier run deleted it
            except Retained as error:
                detail = {"demande": request.id, "raison": str(error)[:1000]}
                self.journal.note("elimination.refus", request.account, "refus", detail, aip, f"{key}:retenue")
                raise Refused(f"{aip} : le stockage refuse de l'éliminer : {error}") from error
            if self.store.head(request.account, inventory.CONTAINER, known.name) is not None:
                raise StoreError(f"{aip} : supprimée, et pourtant encore au stockage ; relancez")
        seq = self.journal.note(
            "elimination.faite",
            request.account,
            "succes",
            {"demande": request.id, "aip_sha512": self._digest(request, aip)},
            aip,
            f"{key}:faite",
        )
        self.forget(aip)
        event = next(self.journal.events(seq, seq))
        with self.book.transaction() as db:
            db.execute(
                "UPDATE objet SET faite_le = ?, seq = ? WHERE demande = ? AND aip = ?",
                (event.time, seq, request.id, aip),
            )

    def _note_digests(self, request: Request, known: Known) -> None:
        """Keep the digests of what is in an archive before it goes: by them, who has copies knows them.

        One that cannot be read as the journal knows it has none, and no copy of it follows by itself.
        """
        if not self._follows(request.account):
            return
        try:
            found = list(_digests(self.store, known))
        except NotStored:
            return  # an earlier run deleted it, and had noted them
        except (Corrupted, tarfile.TarError):
            found = []
        with self.book.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO mot (demande, aip, sha256) VALUES (?, ?, ?)",
                (request.id, known.aip, json.dumps(found)),
            )

    def _give_word(self, request: Request) -> None:
        """Sign, archive by archive, that it is gone: nobody deletes a copy without (creatic_agent.attestation)."""
        if not self._follows(request.account):  # it has nobody to tell
            return
        siren = self.accounts[request.account].siren
        listed = {str(one["aip"]): one for one in request.document["archives"]}
        rows = self.book.rows(
            "SELECT objet.aip, objet.faite_le, mot.sha256 FROM objet"
            " JOIN mot ON mot.demande = objet.demande AND mot.aip = objet.aip"
            " WHERE objet.demande = ? AND objet.faite_le IS NOT NULL AND mot.texte IS NULL",
            request.id,
        )
        for row in rows:
            one = listed[str(row["aip"])]
            if "transfert" in one:  # its document lives, and so do its copies
                continue
            text = canonical.encode(
                attestation.fields(
                    siren, str(row["aip"]), request.id, str(one.get("identifiant", "")),
                    json.loads(row["sha256"]), str(row["faite_le"]), str(request.document["visa"]),
                )
            ).encode()  # fmt: skip # one call by its parts
            signature = sign(text, self.proof.certificate)
            with self.book.transaction() as db:
                db.execute(
                    "UPDATE mot SET texte = ?, signature = ? WHERE demande = ? AND aip = ?",
                    (text, signature, request.id, row["aip"]),
                )

    def _note_transfer(self, known: Known) -> None:
        """Without this note, which nobody takes away, the storage lets no archive leave that is to be kept."""
        told = {"aip": known.aip, "aip_sha512": known.sha512, "transfert": inventory.transferred(self.journal, known)}
        name = f"AUTH_{known.account}/{inventory.CONTAINER}/{known.name}"
        self._put(name, canonical.encode(told).encode(), TRANSFERS, FOR_EVER, {"archive-sha512": known.sha512})

    @staticmethod
    def _digest(request: Request, aip: str) -> str:
        return next(str(one["sha512"]) for one in request.document["archives"] if one["aip"] == aip)

    def _certify(self, request: Request) -> None:
        rows = self.book.rows("SELECT * FROM demande WHERE id = ?", request.id)
        if rows[0]["attestation"] is None:
            text = self._certificate(request)
            signature = self._sign(text)
            token = self.proof.stamper(signature)
            with self.book.transaction() as db:
                db.execute(
                    "UPDATE demande SET attestation = ?, attestation_signature = ?, attestation_jeton = ?"
                    " WHERE id = ? AND attestation IS NULL",
                    (text, signature, token, request.id),
                )
            rows = self.book.rows("SELECT * FROM demande WHERE id = ?", request.id)
        for suffix, column in (
            ("json", "attestation"),
            ("json.p7s", "attestation_signature"),
            ("json.tsr", "attestation_jeton"),
        ):
            self._put(f"attestation-{request.id}.{suffix}", bytes(rows[0][column]))
        detail = {"demande": request.id, "attestation_sha512": hashlib.sha512(rows[0]["attestation"]).hexdigest()}
        key = f"elimination:{request.id}:attestation"
        self.journal.note("elimination.attestation", request.account, "succes", detail, key=key)

    def _sign(self, text: bytes) -> bytes:
        signature = sign(text, self.proof.certificate)
        try:
            _attested(text, signature, self.trust.root, self.trust.crl)
        except (Refused, SignatureError) as error:
            raise Refused(
                f"{self.proof.certificate} ne peut pas attester l'élimination : {error}. Relancez le déploiement de la "
                "porte des archives, puis « sae-elimination reprendre »"
            ) from error
        return signature

    def _certificate(self, request: Request) -> bytes:
        """The certificate of elimination; it holds both signed documents, so that it is verified alone."""
        document = request.document
        done = {
            str(row["aip"]): row
            for row in self.book.rows("SELECT aip, faite_le, seq FROM objet WHERE demande = ?", request.id)
        }
        archives = [
            {**one, "eliminee_le": done[one["aip"]]["faite_le"], "journal": done[one["aip"]]["seq"]}
            for one in document["archives"]
        ]

        def signed(text: bytes | None, signature: bytes | None) -> dict[str, str]:
            encoded = base64.b64encode(signature or b"").decode()
            return {"texte": (text or b"").decode(), "signature": encoded}

        return canonical.encode(
            {
                "document": CERTIFICATE,
                "format": 1,
                "demande": request.id,
                "compte": request.account,
                "visa": document["visa"],
                "motif": document["motif"],
                "demandeur": request.requester,
                "approbateur": str(request.approver),
                "journal": self.journal.identifier,
                "archives": archives,
                "copies": f"{FOLLOWING if self._follows(request.account) else OTHERS} {COPIES}",
                **_bindings(document),
                "demande_signee": signed(request.text, request.signature),
                "approbation_signee": signed(request.approval, request.approval_signature),
            }
        ).encode()

    def _follows(self, account: str) -> bool:
        return account in self.accounts and following.followed(self.accounts[account])

    # -- its copies ----------------------------------------------------------------------------------------

    def certify_copies(self) -> list[str]:
        """Write the certificates of copies that are all gone; gives their requests. Again after a crash: goes on.

        Raises:
            Refused: what is done could not be attested.
            StoreError: the storage does not answer; run again.
        """
        kept = "SELECT demande FROM attestation_copies WHERE rangee = 1"
        attested = {str(row["demande"]) for row in self.book.rows(kept)}
        waits = self.copies.waiting(self.accounts)
        done = []
        for request in self.book.requests(DONE):
            if request.id in attested or request.id in waits or not self._follows(request.account):
                continue
            if told := self.copies.told(request.id):
                self._certify_copies(request, told)
                done.append(request.id)
        return done

    def _certify_copies(self, request: Request, told: Mapping[str, Any]) -> None:
        query = "SELECT * FROM attestation_copies WHERE demande = ?"
        rows = self.book.rows(query, request.id)
        if not rows:
            text = canonical.encode(
                {
                    "document": COPIES_CERTIFICATE,
                    "format": 1,
                    "demande": request.id,
                    "compte": request.account,
                    "journal": self.journal.identifier,
                    "archives": [{"aip": aip, **one} for aip, one in told.items()],
                    "dit_par": "le connecteur de la commune",
                    "copies": COPIES,
                    "restent": list(STAYING),
                }
                | ({"liste": request.document["liste"]} if "liste" in request.document else {})
            ).encode()
            signature = self._sign(text)
            token = self.proof.stamper(signature)
            with self.book.transaction() as db:
                db.execute(
                    "INSERT OR IGNORE INTO attestation_copies (demande, texte, signature, jeton) VALUES (?, ?, ?, ?)",
                    (request.id, text, signature, token),
                )
            rows = self.book.rows(query, request.id)
        for suffix, column in (("json", "texte"), ("json.p7s", "signature"), ("json.tsr", "jeton")):
            self._put(f"copies-{request.id}.{suffix}", bytes(rows[0][column]))
        detail = {"demande": request.id, "attestation_sha512": hashlib.sha512(rows[0]["texte"]).hexdigest()}
        key = f"elimination:{request.id}:attestation-copies"
        self.journal.note("elimination.attestation_copies", request.account, "succes", detail, key=key)
        with self.book.transaction() as db:
            db.execute("UPDATE attestation_copies SET rangee = 1 WHERE demande = ?", (request.id,))

    def _put(
        self,
        name: str,
        data: bytes,
        place: tuple[str, str] = (SEALS_ACCOUNT, CONTAINER),
        until: int | None = None,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        sha512 = hashlib.sha512(data).hexdigest()
        until = until or int(self.clock() + RETENTION.total_seconds())
        try:
            self.store.put(
                *place, name, io.BytesIO(data), size=len(data), sha512=sha512, retain_until=until, metadata=metadata
            )
        except AlreadyStored:
            with self.store.get(*place, name) as stream:
                if stream.read() != data:
                    raise StoreError(f"« {name} » est déjà au stockage avec un autre contenu") from None

    def resume(self) -> list[str]:
        """Requests that were approved and not finished."""
        return [request.id for request in self.book.requests(APPROVED)]

    # -- journal -------------------------------------------------------------------------------------------

    def _note_refusal(self, account: str, identifier: str, reason: str) -> None:
        detail = {"demande": identifier[:80], "raison": reason[:1000]}
        self.journal.note("elimination.refus", account, "refus", detail)


def _digests(store: Store, known: Known) -> Iterator[str]:
    """SHA-256 of each file of an archive, read once. Raises Corrupted: its bytes are not those of the journal."""
    with store.get(known.account, inventory.CONTAINER, known.name) as stream:
        source = _Hashed(stream)
        for _name, _info, content in members_of(cast(BinaryIO, source)):
            yield hashlib.file_digest(cast(Any, content), "sha256").hexdigest()
        while source.read(_BLOCK):
            pass
    if source.digest.hexdigest() != known.sha512:
        raise Corrupted(f"{known.aip} : les octets du stockage ne sont pas ceux du journal")


class _Hashed:
    """What tarfile reads, digested on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.digest = stream, hashlib.sha512()

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self.digest.update(block)
        return block


def _bindings(document: Mapping[str, Any]) -> dict[str, str]:
    """What a request is bound to; nothing for one of before the signed bordereaux."""
    names = ("liste", "signataire", "bordereau_signe_sha512", "visa_sha512")
    return {name: str(document[name]) for name in names if name in document}


def _read(text: bytes, kind: str, form: int = 1) -> dict[str, Any]:
    try:
        document = json.loads(text)
        if document["document"] != kind or document["format"] != form:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused(f"ce n'est pas une {kind}") from None
    found: dict[str, Any] = document
    return found


def _day(stamp: float) -> str:
    return f"{datetime.fromtimestamp(stamp, UTC):%d/%m/%Y}"


def _attested(text: bytes, signature: bytes, root: Path, crl: Path | None = None, at: int | None = None) -> None:
    """Check that the archive's own certificate signed: this name in the authority's organization, nothing more in it.

    Raises:
        Refused: another one did.
        SignatureError: the signature is not good.
    """
    signer = verify(text, signature, root, crl, at, purpose="smimesign")
    organization = re.sub(r"\ACN=(?:[^,+\\]|\\.)*,", "", signer.issuer)
    if signer.subject != f"CN={ATTESTS},{organization}":
        raise Refused(f"« {signer.subject} » a signé, et non le certificat « {ATTESTS} » du groupement")


def verify_certificate(text: bytes, signature: bytes, token: bytes, root: Path) -> dict[str, Any]:
    """Verify a certificate of elimination from outside: the archive's signature, its timestamp, those of both agents.

    The archive's is the one of its certificate of attestations; no other of the same authority attests.

    Certificates are judged at the time of the timestamp; revocation is not looked up.

    Raises:
        Refused: with what is wrong.
    """
    document = _stamped(text, CERTIFICATE, signature, token, root)
    try:
        signers = []
        for name in ("demande_signee", "approbation_signee"):
            part = document[name]
            signers.append(
                verify(part["texte"].encode(), base64.b64decode(part["signature"]), root, at=document["horodatage"])
            )
        approval = json.loads(document["approbation_signee"]["texte"])
        asked = json.loads(document["demande_signee"]["texte"])
    except SignatureError as error:
        raise Refused(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"l'attestation est abîmée ({error})") from error
    if signers[0].key == signers[1].key or signers[0].subject == signers[1].subject:
        raise Refused("une seule personne a signé la demande et l'approbation")
    if approval["demande_sha512"] != hashlib.sha512(document["demande_signee"]["texte"].encode()).hexdigest():
        raise Refused("l'approbation n'est pas celle de cette demande")
    if [one["aip"] for one in asked["archives"]] != [one["aip"] for one in document["archives"]]:
        raise Refused("les archives éliminées ne sont pas celles de la demande")
    if _bindings(document) != _bindings(asked):
        raise Refused("le bordereau ou le visa de l'attestation n'est pas celui de la demande")
    if "liste" in asked and bordereau.mark(asked["compte"], asked["archives"]) != asked["liste"]:
        raise Refused("la liste signée par la commune n'est pas celle de la demande")
    return {**document, "signataires": [signer.subject for signer in signers]}


def verify_copies(text: bytes, signature: bytes, token: bytes, root: Path) -> dict[str, Any]:
    """Verify a certificate of copies from outside: the archive's signature, its timestamp.

    Raises:
        Refused: with what is wrong.
    """
    return _stamped(text, COPIES_CERTIFICATE, signature, token, root)


def _stamped(text: bytes, kind: str, signature: bytes, token: bytes, root: Path) -> dict[str, Any]:
    """What the archive attested, and when (`horodatage`, seconds since the epoch). Raises Refused."""
    document = _read(text, kind)
    try:
        at = int(timestamp.verify(token, signature, root).timestamp())
        _attested(text, signature, root, at=at)
    except (timestamp.TimestampError, SignatureError) as error:
        raise Refused(str(error)) from error
    return {**document, "horodatage": at}


# -- command ----------------------------------------------------------------------------------------------

_EPILOG = """\
La commune signe la liste, les Archives départementales la visent, puis deux agents éliminent (Code du patrimoine,
L212-2 et R212-14), chacun signant à son poste avec son propre certificat :

  1. sae-elimination demander --compte gondecourt --echues --vers bordereau.pdf     dit le numéro de la demande
  2. le maire signe bordereau.pdf (signer-acte) ; le directeur des Archives départementales vise cette liste
  3. sae-elimination constituer DEMANDE --bordereau bordereau-signe.pdf --visa visa.pdf --reference "AD59 2026-123" \\
       --liste BE-… --vers demande.json
  4. le premier agent :  openssl cms -sign -binary -outform DER -signer cert.pem -inkey key.pem -certfile chain.pem \\
                           -in demande.json -out demande.p7s
  5. sae-elimination deposer demande.json demande.p7s --vers approbation.json
  6. le second agent relit le visa et le bordereau (sae-elimination pieces DEMANDE --vers DOSSIER), puis signe
     approbation.json de même
  7. sae-elimination approuver approbation.json approbation.p7s     élimine, et écrit l'attestation
  8. sae-elimination attestation DEMANDE --vers DOSSIER     l'attestation, le bordereau signé et le visa"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Gives 0 when it is done, 1 when it is refused, 2 when it must be run again."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.action is _verify:
            return _verify(arguments)
        with _eliminator(arguments.config) as eliminator:
            return int(arguments.action(eliminator, arguments))
    except Refused as error:
        print(f"sae-elimination : {error}", file=sys.stderr)
        return 1
    except (StoreError, JournalError, timestamp.TimestampError, SignatureError, sqlite3.Error, OSError) as error:
        print(f"sae-elimination : interrompu : {_why(error, arguments)}", file=sys.stderr)
    except Exception as error:
        if type(error).__name__ != "ConfigError":
            raise
        print(f"sae-elimination : {error}", file=sys.stderr)
    return 2


@contextmanager
def _eliminator(path: Path) -> Iterator[Eliminator]:
    loaded = config.load(path)
    store = loaded.store()
    trust, proof, verifier = parties(path)
    registry = Registry(loaded.registry)

    with Journal(loaded.journal) as journal, closing(Requests(loaded.folder / following.NAME)) as book:
        yield Eliminator(
            journal,
            store,
            book,
            trust,
            proof,
            verifier,
            storage_clock=earliest(store, "Aucune date de conservation n'est jugée passée ; relancez"),
            forget=registry.forget,
            accounts=loaded.accounts,
            agency=loaded.agency,
            title=registry.title,
            durations=str(section(path, "elimination").get("durees", "")),
        )


def _parser() -> argparse.ArgumentParser:
    parser, command = commands(
        "sae-elimination", "Élimine des archives après leur durée d'utilité administrative, à deux personnes.", _EPILOG
    )
    due = command("echues", _due, "montre les archives d'un compte qui peuvent être éliminées")
    due.add_argument("--compte", required=True)
    ask = command("demander", _ask, "fait la liste et son bordereau, à signer par le maire et à faire viser")
    ask.add_argument("--compte", required=True)
    ask.add_argument("--motif", default="durée d'utilité administrative échue")
    ask.add_argument("--echues", action="store_true", help="toutes les archives échues du compte")
    ask.add_argument("--vers", type=Path, metavar="FICHIER", required=True, help="où écrire le bordereau (PDF)")
    ask.add_argument("aip", nargs="*", metavar="AIP")
    gather = command("constituer", _gather, "écrit la demande, à signer par un premier agent : liste, bordereau, visa")
    gather.add_argument("demande")
    gather.add_argument("--bordereau", type=Path, required=True, metavar="PDF", help="signé par le maire")
    gather.add_argument("--visa", type=Path, required=True, metavar="PDF", help="visa des archives départementales")
    gather.add_argument("--reference", required=True, help="référence du visa")
    gather.add_argument("--liste", default="", metavar="BE-…", help="liste que le visa cite, si ce n'est le bordereau")
    gather.add_argument("--vers", type=Path, metavar="FICHIER", help="où écrire la demande (par défaut : à l'écran)")
    pieces = command("pieces", _pieces, "rend le bordereau et le visa d'une demande, à relire avant de l'approuver")
    pieces.add_argument("demande")
    pieces.add_argument("--vers", type=Path, required=True, metavar="DOSSIER")
    deposit = command("deposer", _deposit, "dépose la demande signée, et écrit l'approbation à signer par un autre")
    approve = command("approuver", _approve, "dépose l'approbation signée d'un autre agent, et élimine")
    for sub in (deposit, approve):
        sub.add_argument("document", type=Path)
        sub.add_argument("signature", type=Path, help="signature CMS détachée (DER)")
    deposit.add_argument("--vers", type=Path, metavar="FICHIER", help="où écrire l'approbation")
    command("reprendre", _resume, "finit les éliminations approuvées qui ont été interrompues")
    drop = command("abandonner", _drop, "abandonne une demande qui n'est pas approuvée")
    drop.add_argument("demande")
    drop.add_argument("--motif", default="")
    command("liste", _list, "montre les demandes")
    give = command("attestation", _give, "rend l'attestation d'une élimination, son bordereau signé et son visa")
    give.add_argument("demande")
    give.add_argument("--vers", type=Path, required=True, metavar="DOSSIER")
    copies = command("copies", _copies, "montre les copies d'archives éliminées qui ne sont pas encore supprimées")
    copies.add_argument("--attester", action="store_true", help="atteste d'abord celles qui le sont toutes")
    check = command("verifier", _verify, "vérifie une attestation d'élimination, sans la porte des archives")
    check.add_argument("attestation", type=Path, help="attestation-….json, ses .p7s et .tsr à côté")
    check.add_argument("--racine", type=Path, required=True, metavar="PEM", help="racine de l'autorité du groupement")
    return parser


def _why(error: Exception, arguments: argparse.Namespace) -> str:
    """A failure in French: of a file that was named, with who cannot have it."""
    name = str(getattr(error, "filename", None) or "")
    named = {str(value) for value in vars(arguments).values() if isinstance(value, Path)}
    if not {name, str(Path(name).parent)} & named or not isinstance(error, PermissionError | FileNotFoundError):
        return str(error)
    told = "introuvable" if isinstance(error, FileNotFoundError) else "le compte sae n'y a pas accès"
    return (
        f"{name} : {told}. À faire : cette commande travaille sous le compte sae, donnez-lui les fichiers d'un dossier "
        "à lui (install -d -o sae /var/lib/sae/elimination), puis relancez"
    )


def _write(path: Path | None, text: bytes, what: str) -> None:
    if path is None:
        # Redirected to a file, it is signed as it is: not a byte more.
        sys.stdout.write(text.decode() + ("\n" if sys.stdout.isatty() else ""))
        return
    path.write_bytes(text)
    print(f"{path} : {what}")


def show_due(found: Sequence[Known], what: str) -> int:
    """Print archives whose period is over, and what may become of them, in French."""
    for one in found:
        print(f"{one.aip}  {_day(one.retain_until)}  {one.bytes:>12}  {one.title}")
    print(f"{len(found)} archives {what}.")
    return 0


def chosen(arguments: argparse.Namespace, due: Callable[[str], Sequence[Known]]) -> list[str]:
    """The archives that a command names, and with `--echues` all that are due."""
    return [*arguments.aip, *(one.aip for one in (due(arguments.compte) if arguments.echues else ()))]


def _due(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    return show_due(eliminator.due(arguments.compte), f"du compte « {arguments.compte} » peuvent être éliminées")


def _ask(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    document, made = eliminator.draft(arguments.compte, chosen(arguments, eliminator.due), arguments.motif)
    arguments.vers.write_bytes(made)
    who = eliminator.accounts[arguments.compte].signatory or "le maire"
    print(f"Demande {document['demande']}, liste {document['liste']} : {len(document['archives'])} archives.")
    print(f"{arguments.vers} : à signer par {who}, à faire viser, puis « sae-elimination constituer ».")
    return 0


def _gather(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    signed, visa = arguments.bordereau.read_bytes(), arguments.visa.read_bytes()
    text = eliminator.assemble(arguments.demande, signed, visa, arguments.reference, arguments.liste)
    _write(arguments.vers, text, "à signer par un premier agent, puis « sae-elimination deposer ».")
    return 0


def _give(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    if eliminator.book.request(arguments.demande).state != DONE:
        raise Refused(f"la demande {arguments.demande} n'est pas faite : elle n'a pas d'attestation")
    arguments.vers.mkdir(exist_ok=True)
    for name in eliminator.store.names(SEALS_ACCOUNT, CONTAINER):
        if arguments.demande in name:
            with eliminator.store.get(SEALS_ACCOUNT, CONTAINER, name) as stream:
                (arguments.vers / name).write_bytes(stream.read())
            print(arguments.vers / name)
    return 0


def _pieces(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    eliminator.book.listed(arguments.demande)
    arguments.vers.mkdir(exist_ok=True)
    for name, content in eliminator.book.pieces(arguments.demande).items():
        (arguments.vers / name).write_bytes(content)
        print(arguments.vers / name)
    return 0


def _deposit(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    text = eliminator.deposit(arguments.document.read_bytes(), arguments.signature.read_bytes())
    _write(arguments.vers, text, "à signer par un autre agent, puis « sae-elimination approuver ».")
    return 0


def _approve(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    identifier = eliminator.approve(arguments.document.read_bytes(), arguments.signature.read_bytes())
    return _finish(eliminator, identifier)


def _finish(eliminator: Eliminator, identifier: str) -> int:
    count = eliminator.execute(identifier)
    print(
        f"{count} archives éliminées (demande {identifier}). Attestation : attestation-{identifier}.json, au stockage."
    )
    return 0


def _resume(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    status = 0
    for identifier in eliminator.resume():
        try:
            _finish(eliminator, identifier)
        except Refused as error:
            print(f"sae-elimination : {error}", file=sys.stderr)
            status = 1
    return status


def _drop(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    eliminator.drop(arguments.demande, arguments.motif)
    print(f"La demande {arguments.demande} est abandonnée.")
    return 0


def _list(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    for request in eliminator.book.requests():
        who = f"{request.requester} → {request.approver or '?'}"
        state = request.state.replace("ee", "ée")
        print(
            f"{request.id}  {_day(request.received)}  {state:<11} {request.account:<14} "
            f"{len(request.document['archives']):>6} archives  {who}"
        )
    return 0


def _copies(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    if arguments.attester:
        for identifier in eliminator.certify_copies():
            print(
                f"Les copies de la demande {identifier} sont toutes supprimées : copies-{identifier}.json, au stockage."
            )
    waits, nothing = (
        eliminator.copies.waiting(eliminator.accounts),
        "le connecteur de la commune n'en a encore rien dit",
    )
    for identifier, listed in waits.items():
        print(f"Demande {identifier} : {len(listed)} archives dont les copies ne sont pas toutes supprimées.")
        for one, said in listed:
            lacks = [
                f"{place} ({told.get('detail') or 'pas encore'})"
                for place, told in said.items()
                if told["etat"] == following.WAITS
            ]
            print(f"  {one.aip}  {one.message}  {', '.join(lacks) or nothing}")
    if not waits:
        print("Aucune copie d'archive éliminée n'attend.")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    path: Path = arguments.attestation
    parts = [path, path.with_name(f"{path.name}.p7s"), path.with_name(f"{path.name}.tsr")]
    missing = [str(part) for part in (*parts, arguments.racine) if not part.is_file()]
    if missing:
        raise Refused(f"introuvable : {', '.join(missing)}")
    text, signature, token = (part.read_bytes() for part in parts)
    if path.name.startswith("copies-"):
        told = verify_copies(text, signature, token, arguments.racine)
        print(f"✓ les copies de {len(told['archives'])} archives du compte « {told['compte']} » sont supprimées.")
        for one in told.get("restent", ()):  # those of before say nothing of it
            print(f"  reste : {one['quoi']} ({one['pourquoi']})")
        return 0
    found = verify_certificate(text, signature, token, arguments.racine)
    for digest, name in (("bordereau_signe_sha512", "bordereau-signe"), ("visa_sha512", "visa")):
        beside = path.with_name(f"{name}-{found['demande']}.pdf")
        if digest in found and beside.is_file() and hashlib.sha512(beside.read_bytes()).hexdigest() != found[digest]:
            raise Refused(f"{beside} : ce n'est pas le document dont l'attestation a l'empreinte")
    print(f"✓ {len(found['archives'])} archives du compte « {found['compte']} » éliminées, visa {found['visa']}.")
    if "signataire" in found:
        print(f"  liste {found['liste']}, bordereau signé par {found['signataire']}")
    print(f"  demandé par {found['demandeur']} ({found['signataires'][0]})")
    print(f"  approuvé par {found['approbateur']} ({found['signataires'][1]})")
    print(f"  horodaté le {datetime.fromtimestamp(found['horodatage'], UTC):%d/%m/%Y à %H:%M:%S} UTC")
    return 0
