"""Elimination after the retention date, by two persons, with its certificate (`sae-elimination`).

One agent signs a request (a JSON document which lists archives), another one signs its approval; both sign at their own
desk, with the certificate of the groupement's authority which is theirs, as CMS. The gateway checks everything again
at each step: final action, retention date, identities. The storage checks the date too, with its own clock. What was
done is written down in a certificate of elimination: signed by the archive, timestamped, kept under WORM.

Code du patrimoine, article R212-14: public archives are eliminated with the visa of the director of the departmental
archives only; its reference is asked for, and goes into the documents.
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
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from creatic_agent.book import Book
from sae import config, inventory
from sae.config import TRUST, ConfigError, section
from sae.inventory import Known
from sae.journal import Journal, JournalError, canonical, timestamp
from sae.journal.log import format_time
from sae.journal.seal import ACCOUNT as SEALS_ACCOUNT
from sae.journal.seal import RETENTION, sealing
from sae.signature import SignatureError, Signer, sign, verify
from sae.store import AlreadyStored, NotStored, Retained, Store, StoreError, Unavailable, reference
from sae.versement.registry import Registry

CONTAINER = "eliminations"
REQUESTED, APPROVED, DONE, DROPPED = "demandee", "approuvee", "faite", "abandonnee"
REQUEST, APPROVAL, CERTIFICATE = "demande d'élimination", "approbation d'élimination", "attestation d'élimination"
# A request that nobody approved for that long must be made again: its list may be of another time.
VALIDITY = 90 * 86400
# Common name of the one certificate that attests (role archive_gateway asks for it, profile `signature`).
ATTESTS = "Attestations des archives"
_IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SCHEMA = """
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
"""


class Refused(Exception):
    """Nothing was done; the message, in French, gives every reason."""


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


def parties(path: Path) -> tuple[Trust, Proof]:
    """Who may eliminate, and how it is certified. Raises ConfigError."""
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
    trust = Trust(
        root=Path(given.get("autorites") or TRUST),
        crl=Path(given["revocations"]) if given.get("revocations") else None,
        agents=agents,
    )
    certificate = Path(given.get("certificat", "/etc/creatic/pki/attestation/current"))
    return trust, Proof(certificate, sealing(path).stamper)


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
        super().__init__(path, _SCHEMA)

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
    """

    journal: Journal
    store: Store
    book: Requests
    trust: Trust
    proof: Proof
    clock: Callable[[], float] = time.time
    storage_clock: Callable[[], float | None] = lambda: None
    forget: Callable[[str], None] = lambda aip: None
    accounts: Sequence[str] = field(default_factory=tuple)

    # -- asking --------------------------------------------------------------------------------------------

    def due(self, account: str) -> list[Known]:
        """Archives of an account that may be eliminated today, by retention date."""
        now = self._now()
        asked = self._asked()
        kept = inventory.of_account(self.journal, account).values()
        found = [one for one in kept if one.action == "Destroy" and one.retain_until <= now and one.aip not in asked]
        return sorted(found, key=lambda one: (one.retain_until, one.aip))

    def draft(self, account: str, aips: Iterable[str], visa: str, reason: str) -> bytes:
        """The document that the first agent signs. Raises Refused."""
        if account not in self.accounts:
            raise Refused(f"compte « {account} » inconnu ; connus : {', '.join(sorted(self.accounts))}")
        if not visa.strip():
            raise Refused("la référence du visa des archives départementales manque (--visa)")
        wanted = list(dict.fromkeys(aips))
        found = self._checked(account, wanted)
        document = {
            "document": REQUEST,
            "format": 1,
            "demande": str(uuid.uuid4()),
            "compte": account,
            "visa": visa.strip(),
            "motif": reason.strip(),
            "heure": format_time(datetime.fromtimestamp(self.clock(), UTC)),
            "archives": [
                {
                    "aip": one.aip,
                    "identifiant": one.title,
                    "sha512": one.sha512,
                    "octets": one.bytes,
                    "conserve_jusqua": one.retain_until,
                    "sort_final": one.action,
                }
                for one in found
            ],
        }
        return canonical.encode(document).encode()

    def _checked(self, account: str, aips: Sequence[str]) -> list[Known]:
        """The archives, if all of them may be eliminated now; Refused, with every reason, if one may not."""
        if not aips:
            raise Refused("aucune archive n'est donnée")
        now, asked, reasons, found = self._now(), self._asked(), [], []
        for aip in aips:
            known = inventory.find(self.journal, aip)
            if known is None or known.account != account:
                reasons.append(f"{aip[:80]} : aucune archive du compte « {account} » n'a cet identifiant")
            elif known.action != "Destroy":
                reasons.append(f"{aip} : son sort final est la conservation, elle ne s'élimine jamais")
            elif known.retain_until > now:
                reasons.append(f"{aip} : à conserver jusqu'au {_day(known.retain_until)}")
            elif aip in asked:
                reasons.append(f"{aip} : déjà dans la demande {asked[aip]}")
            else:
                found.append(known)
        if reasons:
            raise Refused("élimination refusée :\n" + "\n".join(f"  - {reason}" for reason in reasons[:50]))
        return found

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
        document = _read(text, REQUEST)
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
                raise Refused("la demande n'est pas celle que « sae-elimination demander » a écrite")
            listed = document.get("archives")
            if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
                raise Refused("la demande n'a pas de liste d'archives : refaites-la avec « sae-elimination demander »")
            aips = [str(one.get("aip")) for one in listed]
            if len(set(aips)) != len(aips):
                raise Refused("une archive est deux fois dans la demande : refaites-la")
            found = self._checked(account, aips)
            for one, archive in zip(listed, found, strict=True):
                if one.get("sha512") != archive.sha512 or not str(document.get("visa", "")).strip():
                    raise Refused("la demande n'est pas celle que « sae-elimination demander » a écrite")
        except Refused as error:
            self._note_refusal(account, identifier, str(error))
            raise
        now = self.clock()
        with self.book.transaction() as db:
            if taken := self._asked().keys() & set(aips):
                raise Refused(f"{min(taken)} : une autre demande vient de la prendre")
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
        }
        key = f"elimination:{request.id}:demande"
        self._note("elimination.demande", request.account, "succes", detail, key=key)

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
        self._note("elimination.approbation", request.account, "succes", detail, key=key)

    def _still(self, account: str, aips: Sequence[str]) -> None:
        now = self._now()
        for aip in aips:
            known = inventory.find(self.journal, aip)
            if known is None or known.account != account or known.action != "Destroy" or known.retain_until > now:
                raise Refused(f"{aip} ne peut pas (ou plus) être éliminée : abandonnez la demande et refaites-la")

    def drop(self, identifier: str, reason: str) -> None:
        """Give up a request that was not approved. Raises Refused."""
        request = self.book.request(identifier)
        if request.state != REQUESTED:
            raise Refused(f"la demande {identifier} est {request.state.replace('ee', 'ée')} : elle ne s'abandonne plus")
        with self.book.transaction() as db:
            db.execute("UPDATE demande SET etat = ? WHERE id = ? AND etat = ?", (DROPPED, identifier, REQUESTED))
        self._note("elimination.abandon", request.account, "succes", {"demande": identifier, "motif": reason[:300]})

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
        for row in self.book.rows("SELECT aip FROM objet WHERE demande = ? AND faite_le IS NULL", identifier):
            self._delete(request, str(row["aip"]))
        self._certify(request)
        with self.book.transaction() as db:
            db.execute("UPDATE demande SET etat = ? WHERE id = ?", (DONE, identifier))
        return len(request.document["archives"])

    def _delete(self, request: Request, aip: str) -> None:
        key = f"elimination:{request.id}:{aip}"
        known = inventory.find(self.journal, aip)
        if known is not None:  # None: deleted and journaled by a run that was cut just after
            self._still(request.account, [aip])
            self._note("elimination.debut", request.account, "succes", {"demande": request.id}, aip, f"{key}:debut")
            try:
                self.store.delete(request.account, inventory.CONTAINER, known.name)
            except NotStored:
                pass  # an earlier run deleted it
            except Retained as error:
                detail = {"demande": request.id, "raison": "le stockage refuse : sa date n'est pas passée"}
                self._note("elimination.refus", request.account, "refus", detail, aip, f"{key}:retenue")
                raise Refused(f"{aip} : le stockage refuse de l'éliminer avant sa date ({error})") from error
            if self.store.head(request.account, inventory.CONTAINER, known.name) is not None:
                raise StoreError(f"{aip} : supprimée, et pourtant encore au stockage ; relancez")
        seq = self._note(
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
        for suffix, column in (("json", "attestation"), ("json.p7s", "attestation_signature"),
                               ("json.tsr", "attestation_jeton")):  # fmt: skip
            self._put(f"attestation-{request.id}.{suffix}", bytes(rows[0][column]))
        detail = {"demande": request.id, "attestation_sha512": hashlib.sha512(rows[0]["attestation"]).hexdigest()}
        key = f"elimination:{request.id}:attestation"
        self._note("elimination.attestation", request.account, "succes", detail, key=key)

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
                "demande_signee": signed(request.text, request.signature),
                "approbation_signee": signed(request.approval, request.approval_signature),
            }
        ).encode()

    def _put(self, name: str, data: bytes) -> None:
        sha512 = hashlib.sha512(data).hexdigest()
        until = int(self.clock() + RETENTION.total_seconds())
        try:
            self.store.put(
                SEALS_ACCOUNT, CONTAINER, name, io.BytesIO(data), size=len(data), sha512=sha512, retain_until=until
            )
        except AlreadyStored:
            with self.store.get(SEALS_ACCOUNT, CONTAINER, name) as stream:
                if stream.read() != data:
                    raise StoreError(f"« {name} » est déjà au stockage avec un autre contenu") from None

    def resume(self) -> list[str]:
        """Requests that were approved and not finished."""
        return [request.id for request in self.book.requests(APPROVED)]

    # -- journal -------------------------------------------------------------------------------------------

    def _note(
        self,
        event: str,
        account: str,
        outcome: str,
        detail: Mapping[str, Any],
        aip: str | None = None,
        key: str | None = None,
    ) -> int:
        return self.journal.append(event, account=account, aip=aip, outcome=outcome, detail=dict(detail), key=key)

    def _note_refusal(self, account: str, identifier: str, reason: str) -> None:
        detail = {"demande": identifier[:80], "raison": reason[:1000]}
        self._note("elimination.refus", account, "refus", detail)


def _read(text: bytes, kind: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
        if document["document"] != kind or document["format"] != 1:
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
    document = _read(text, CERTIFICATE)
    try:
        at = int(timestamp.verify(token, signature, root).timestamp())
        _attested(text, signature, root, at=at)
        signers = []
        for name in ("demande_signee", "approbation_signee"):
            part = document[name]
            signers.append(verify(part["texte"].encode(), base64.b64decode(part["signature"]), root, at=at))
        approval = json.loads(document["approbation_signee"]["texte"])
        asked = json.loads(document["demande_signee"]["texte"])
    except (timestamp.TimestampError, SignatureError) as error:
        raise Refused(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"l'attestation est abîmée ({error})") from error
    if signers[0].key == signers[1].key or signers[0].subject == signers[1].subject:
        raise Refused("une seule personne a signé la demande et l'approbation")
    if approval["demande_sha512"] != hashlib.sha512(document["demande_signee"]["texte"].encode()).hexdigest():
        raise Refused("l'approbation n'est pas celle de cette demande")
    if [one["aip"] for one in asked["archives"]] != [one["aip"] for one in document["archives"]]:
        raise Refused("les archives éliminées ne sont pas celles de la demande")
    return {**document, "horodatage": at, "signataires": [signer.subject for signer in signers]}


# -- command ----------------------------------------------------------------------------------------------

_EPILOG = """\
Une élimination se fait à deux, chacun signant à son poste avec son propre certificat :

  1. sae-elimination demander --compte gondecourt --visa "AD59 2026-123" --echues --vers demande.json
  2. le premier agent :  openssl cms -sign -binary -outform DER -signer cert.pem -inkey key.pem -certfile chain.pem \\
                           -in demande.json -out demande.p7s
  3. sae-elimination deposer demande.json demande.p7s --vers approbation.json
  4. le second agent signe approbation.json de même
  5. sae-elimination approuver approbation.json approbation.p7s     élimine, et écrit l'attestation"""


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
        print(f"sae-elimination : interrompu : {error}", file=sys.stderr)
    except Exception as error:
        if type(error).__name__ != "ConfigError":
            raise
        print(f"sae-elimination : {error}", file=sys.stderr)
    return 2


@contextmanager
def _eliminator(path: Path) -> Iterator[Eliminator]:
    loaded = config.load(path)
    store = loaded.store()
    trust, proof = parties(path)
    registry = Registry(loaded.registry)
    clocks = reference(store)

    def storage_clock() -> float | None:
        try:
            return min((at.timestamp() for at in clocks().values()), default=None)
        except Unavailable as error:
            why = str(error).partition(". ")[0]
            raise Unavailable(f"{why}. Aucune date de conservation n'est jugée passée ; relancez") from error

    with Journal(loaded.journal) as journal, closing(Requests(loaded.folder / "eliminations.sqlite")) as book:
        yield Eliminator(
            journal,
            store,
            book,
            trust,
            proof,
            storage_clock=storage_clock,
            forget=registry.forget,
            accounts=tuple(loaded.accounts),
        )


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    text = "Élimine des archives après leur durée d'utilité administrative, à deux personnes."
    parser = argparse.ArgumentParser("sae-elimination", description=text, epilog=_EPILOG, formatter_class=plain)
    parser.add_argument("--config", type=Path, default=config.DEFAULT_PATH, metavar="FICHIER",
                        help="configuration à employer")  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMANDE", title="commandes")

    def command(name: str, action: object, told: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=told, description=told)
        sub.set_defaults(action=action)
        return sub

    due = command("echues", _due, "montre les archives d'un compte qui peuvent être éliminées")
    due.add_argument("--compte", required=True)
    ask = command("demander", _ask, "écrit la demande, à signer par un premier agent")
    ask.add_argument("--compte", required=True)
    ask.add_argument("--visa", required=True, help="référence du visa des archives départementales")
    ask.add_argument("--motif", default="durée d'utilité administrative échue")
    ask.add_argument("--echues", action="store_true", help="toutes les archives échues du compte")
    ask.add_argument("--vers", type=Path, metavar="FICHIER", help="où écrire la demande (par défaut : à l'écran)")
    ask.add_argument("aip", nargs="*", metavar="AIP")
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
    check = command("verifier", _verify, "vérifie une attestation d'élimination, sans la porte des archives")
    check.add_argument("attestation", type=Path, help="attestation-….json, ses .p7s et .tsr à côté")
    check.add_argument("--racine", type=Path, required=True, metavar="PEM", help="racine de l'autorité du groupement")
    return parser


def _write(path: Path | None, text: bytes, what: str) -> None:
    if path is None:
        # Redirected to a file, it is signed as it is: not a byte more.
        sys.stdout.write(text.decode() + ("\n" if sys.stdout.isatty() else ""))
        return
    path.write_bytes(text)
    print(f"{path} : {what}")


def _due(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    found = eliminator.due(arguments.compte)
    for one in found:
        print(f"{one.aip}  {_day(one.retain_until)}  {one.bytes:>12}  {one.title}")
    print(f"{len(found)} archives du compte « {arguments.compte} » peuvent être éliminées.")
    return 0


def _ask(eliminator: Eliminator, arguments: argparse.Namespace) -> int:
    aips = [*arguments.aip]
    if arguments.echues:
        aips += [one.aip for one in eliminator.due(arguments.compte)]
    text = eliminator.draft(arguments.compte, aips, arguments.visa, arguments.motif)
    _write(arguments.vers, text, "à signer par un premier agent, puis « sae-elimination deposer ».")
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


def _verify(arguments: argparse.Namespace) -> int:
    path: Path = arguments.attestation
    parts = [path, path.with_name(f"{path.name}.p7s"), path.with_name(f"{path.name}.tsr")]
    missing = [str(part) for part in (*parts, arguments.racine) if not part.is_file()]
    if missing:
        raise Refused(f"introuvable : {', '.join(missing)}")
    text, signature, token = (part.read_bytes() for part in parts)
    found = verify_certificate(text, signature, token, arguments.racine)
    print(f"✓ {len(found['archives'])} archives du compte « {found['compte']} » éliminées, visa {found['visa']}.")
    print(f"  demandé par {found['demandeur']} ({found['signataires'][0]})")
    print(f"  approuvé par {found['approbateur']} ({found['signataires'][1]})")
    print(f"  horodaté le {datetime.fromtimestamp(found['horodatage'], UTC):%d/%m/%Y à %H:%M:%S} UTC")
    return 0
