"""What may be eliminated, by whom and in which order: after the retention date, by two persons.

One agent signs a request (a JSON document which lists archives), another one signs its approval; both sign at their own
desk, with the certificate of the groupement's authority which is theirs, as CMS. The gateway checks everything again
at each step: final action, retention date, identities. The storage checks the date too, with its own clock. What was
done is written down in a certificate of elimination: signed by the archive, timestamped, kept under WORM.

What is to be kept is kept without limit (Code du patrimoine, R212-12). It is eliminated here by the same two persons
once a public archives service has taken it over (`sae-transfert`), never otherwise.

Code du patrimoine, L212-2 and R212-14: public archives are eliminated with the prior visa of the director of the
departmental archives only. The list is made as a bordereau (`sae.bordereau`), that the maire of the commune signs; the
visa is a document. Both are bound by their digests to the request before anybody signs it, and are kept with the
certificate.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, cast

from sae import bordereau, inventory
from sae import copies as following
from sae.agents import Trust
from sae.bordereau import BordereauSignatureError, Verifier
from sae.config import Account
from sae.elimination import attestation
from sae.elimination.attestation import Proof
from sae.elimination.ledger import (
    APPROVED,
    DONE,
    ORIGINAL,
    REQUESTED,
    SCHEMA,
    SIGNED,
    VISA,
    Attested,
    Request,
    Requests,
)
from sae.inventory import AcceptedArchive
from sae.journal import Journal, canonical
from sae.journal.log import format_time
from sae.journal.seal import ACCOUNT as SEALS_ACCOUNT
from sae.journal.seal import RETENTION
from sae.refusal import OperationRefusedError, refuse
from sae.signature import sign
from sae.store import (
    FOR_EVER,
    TRANSFERS,
    CorruptedObjectError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRetainedError,
    Store,
    StoreError,
)
from sae.versement.aip import members_of

CONTAINER = "eliminations"
LIST = "liste d'élimination"
# A request that nobody approved for that long must be made again: its list may be of another time.
VALIDITY = 90 * 86400
_ELIMINATION_BLOCK_BYTES = 1 << 20
_REQUEST_ID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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

    def due(self, account: str) -> list[AcceptedArchive]:
        """Archives of an account that may be eliminated today, by retention date."""
        now = self._earliest_time()
        asked = self.book.pending_archives()
        kept = inventory.of_account(self.journal, account).values()
        due = [one for one in kept if one.retain_until <= now and one.aip not in asked]
        found = [one for one in due if self._may_leave(one)]
        return sorted(found, key=lambda one: (one.retain_until, one.aip))

    def draft(self, account: str, aips: Iterable[str], reason: str) -> tuple[dict[str, Any], bytes]:
        """The list to eliminate, and its bordereau (PDF), for the maire and the Archives départementales.

        Raises Refused.
        """
        if account not in self.accounts:
            raise OperationRefusedError(f"compte « {account} » inconnu ; connus : {', '.join(sorted(self.accounts))}")
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
            for one in self._check_archives(account, wanted)
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
        self.book.keep_list(document, made, self.clock())
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
        listed = self.book.find_list(identifier)
        account = str(listed["compte"])
        self.book.check_open(identifier)
        original = self.book.pieces(identifier)[ORIGINAL]
        try:
            if not reference.strip():
                raise OperationRefusedError("la référence du visa des archives départementales manque (--reference)")
            for name, content in ((SIGNED, signed), (VISA, visa)):
                if not content.startswith(b"%PDF-") or len(content) > bordereau.MAX_SIGNED_DOCUMENT_BYTES:
                    raise OperationRefusedError(
                        f"{name} : un PDF de {bordereau.MAX_SIGNED_DOCUMENT_BYTES // 1_000_000} Mo au plus est attendu"
                    )
            if visa in (original, signed):
                raise OperationRefusedError(
                    "visa.pdf : c'est le bordereau de la commune, et rien du directeur des Archives départementales : "
                    "donnez le fichier qu'il a visé, ou sa lettre (Code du patrimoine, R212-14)"
                )
            its_own = visa.startswith(original)
            if not its_own and not quoted.strip():
                raise OperationRefusedError(
                    f"ce visa n'est pas le bordereau lui-même : recopiez la liste qu'il cite (--liste BE-…), celle de "
                    f"ce bordereau est {listed['liste']}"
                )
            if quoted.strip() and bordereau.normal(quoted) != listed["liste"]:
                raise OperationRefusedError(
                    f"le visa est donné pour la liste {bordereau.normal(quoted)[:40]}, et non pour {listed['liste']} : "
                    "le visa d'une autre liste ne permet rien (Code du patrimoine, R212-14)"
                )
            who = self._signed_by_commune(account, signed, original)
        except OperationRefusedError as error:
            self._note_refusal(account, identifier, str(error))
            raise
        # Judging a signature takes time: somebody may have deposited it meanwhile.
        self.book.keep_pieces(identifier, {SIGNED: signed, VISA: visa})
        document = listed | {
            "document": attestation.REQUEST,
            "format": 2,
            "visa": reference.strip(),
            "signataire": who["signataire"],
            **self.book.digests(identifier),
        }
        return canonical.encode(document).encode()

    def _signed_by_commune(self, account: str, signed: bytes, original: bytes) -> dict[str, str]:
        if account not in self.accounts:  # the commune left meanwhile
            raise OperationRefusedError(f"compte « {account} » inconnu ; connus : {', '.join(sorted(self.accounts))}")
        try:
            return self.verifier.check(signed, original, self.accounts[account])
        except BordereauSignatureError as error:
            raise OperationRefusedError(f"bordereau refusé : {error}") from error

    def _check_bindings(self, document: Mapping[str, Any]) -> None:
        """Check that a request is the one that its list, its bordereau and its visa make. Raises Refused."""
        identifier, account = str(document.get("demande")), str(document.get("compte"))
        listed, digests = self.book.find_list(identifier), self.book.digests(identifier)
        same = [
            field for field in ("compte", "liste", "archives", "motif", "heure") if document.get(field) != listed[field]
        ]
        if (
            same
            or len(digests) < len((ORIGINAL, SIGNED, VISA))
            or any(document.get(field) != value for field, value in digests.items())
        ):
            raise OperationRefusedError("la demande n'est pas celle que « sae-elimination constituer » a écrite")
        pieces = self.book.pieces(identifier)
        who = self._signed_by_commune(account, pieces[SIGNED], pieces[ORIGINAL])
        if who["signataire"] != document.get("signataire") or not str(document.get("visa", "")).strip():
            raise OperationRefusedError("la demande n'est pas celle que « sae-elimination constituer » a écrite")

    def _check_archives(self, account: str, aips: Sequence[str]) -> list[AcceptedArchive]:
        """The archives, if all of them may be eliminated now; Refused, with every reason, if one may not."""
        if not aips:
            raise OperationRefusedError("aucune archive n'est donnée")
        now, asked, reasons, found = self._earliest_time(), self.book.pending_archives(), [], []
        going = {*aips, *asked}
        for aip in aips:
            known = inventory.find(self.journal, aip)
            if known is None or known.account != account:
                reasons.append(f"{aip[:80]} : aucune archive du compte « {account} » n'a cet identifiant")
            elif not self._may_leave(known):
                reasons.append(
                    f"{aip} : son sort final est la conservation, elle ne s'élimine qu'après son transfert à un "
                    "service public d'archives (sae-transfert)"
                )
            elif known.retain_until > now:
                reasons.append(f"{aip} : à conserver jusqu'au {day(known.retain_until)}")
            elif aip in asked:
                reasons.append(f"{aip} : déjà dans la demande {asked[aip]}")
            elif known.action == "Destroy" and (left := [*{*inventory.copies(self.journal, aip)} - going]):
                reasons.append(f"{aip} : sa copie en PDF/A {min(left)} resterait ; éliminez-les ensemble")
            else:
                found.append(known)
        refuse("élimination refusée", reasons)
        return found

    def _may_leave(self, known: AcceptedArchive) -> bool:
        return known.action == "Destroy" or bool(inventory.transferred(self.journal, known))

    def _earliest_time(self) -> float:
        """A wrong clock must not bring a date nearer: the earlier of this machine's and the storage's."""
        other = self.storage_clock()
        return self.clock() if other is None else min(self.clock(), other)

    # -- two persons ---------------------------------------------------------------------------------------

    def deposit(self, text: bytes, signature: bytes) -> bytes:
        """Take a signed request; gives the document that another agent must sign to approve it. Raises Refused.

        Depositing the same request again gives the same document.
        """
        document = attestation.read(text, attestation.REQUEST, 2)
        account, identifier = str(document.get("compte")), str(document.get("demande"))
        if account not in self.accounts:
            raise OperationRefusedError(
                f"compte « {account[:80]} » inconnu ; connus : {', '.join(sorted(self.accounts))}"
            )
        try:
            agent, signer = self.trust.agent(text, signature, account)
            if self.book.is_deposited(identifier):
                known = self.book.request(identifier)
                if known.text != text:
                    raise OperationRefusedError(f"une autre demande porte déjà l'identifiant {identifier}")
                self._note_request(known)  # if a crash kept it from being journaled
                return attestation.approval(known)
            if not _REQUEST_ID_PATTERN.fullmatch(identifier):
                raise OperationRefusedError("la demande n'est pas celle que « sae-elimination constituer » a écrite")
            listed = document.get("archives")
            if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
                raise OperationRefusedError(
                    "la demande n'a pas de liste d'archives : refaites-la avec « sae-elimination demander »"
                )
            aips = [str(one.get("aip")) for one in listed]
            if len(set(aips)) != len(aips):
                raise OperationRefusedError("une archive est deux fois dans la demande : refaites-la")
            found = self._check_archives(account, aips)
            for one, archive in zip(listed, found, strict=True):
                if one.get("sha512") != archive.sha512:
                    raise OperationRefusedError(
                        "la demande n'est pas celle que « sae-elimination constituer » a écrite"
                    )
            self._check_bindings(document)
        except OperationRefusedError as error:
            self._note_refusal(account, identifier, str(error))
            raise
        asked = Request(identifier, account, REQUESTED, self.clock(), text, signature, agent.name, signer.shown)
        request = self.book.deposit(asked, aips)
        self._note_request(request)
        return attestation.approval(request)

    def _note_request(self, request: Request) -> None:
        document = request.document
        detail = {
            "demande": request.id,
            "demande_sha512": hashlib.sha512(request.text).hexdigest(),
            "demandeur": request.requester,
            "certificat": request.requester_certificate,
            "visa": document["visa"],
            "archives": len(document["archives"]),
        } | attestation.bindings(document)
        key = f"elimination:{request.id}:demande"
        self.journal.note("elimination.demande", request.account, "succes", detail, key=key)

    def approve(self, text: bytes, signature: bytes) -> str:
        """Take the approval of another agent; gives the request's identifier. Nothing is deleted yet.

        Raises Refused.
        """
        document = attestation.read(text, attestation.APPROVAL)
        request = self.book.request(str(document.get("demande")))
        if request.state in (APPROVED, DONE):
            return request.id
        try:
            if request.state != REQUESTED:
                raise OperationRefusedError(f"la demande {request.id} est {request.state.replace('ee', 'ée')}")
            if request.document["format"] == 1:
                raise OperationRefusedError(
                    f"la demande {request.id} est d'avant les bordereaux signés : abandonnez-la, et refaites-la avec "
                    "« sae-elimination demander »"
                )
            if text != attestation.approval(request):
                raise OperationRefusedError(
                    "l'approbation n'est pas celle de cette demande : signez le document tel qu'il est écrit"
                )
            if self.clock() - request.received > VALIDITY:
                raise OperationRefusedError(
                    f"la demande {request.id} a plus de {VALIDITY // 86400} jours : refaites-la"
                )
            agent, signer = self.trust.agent(text, signature, request.account)
            first_agent, first = self.trust.agent(request.text, request.signature, request.account)
            if agent.name == first_agent.name or signer.key == first.key or signer.subject == first.subject:
                raise OperationRefusedError(f"{agent.name} a fait la demande : une autre personne doit l'approuver")
            others = [one["aip"] for one in request.document["archives"]]
            self._check_still_eliminable(request.account, others)
        except OperationRefusedError as error:
            self._note_refusal(request.account, request.id, str(error))
            raise
        self._note_approval(self.book.approve(request.id, text, signature, agent.name, signer.shown))
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

    def _check_still_eliminable(self, account: str, aips: Sequence[str]) -> None:
        now = self._earliest_time()
        for aip in aips:
            known = inventory.find(self.journal, aip)
            if known is None or known.account != account or not self._may_leave(known) or known.retain_until > now:
                raise OperationRefusedError(
                    f"{aip} ne peut pas (ou plus) être éliminée : abandonnez la demande et refaites-la"
                )

    def drop(self, identifier: str, reason: str) -> None:
        """Give up a request that was not approved. Raises Refused."""
        request = self.book.request(identifier)
        if request.state != REQUESTED:
            raise OperationRefusedError(
                f"la demande {identifier} est {request.state.replace('ee', 'ée')} : elle ne s'abandonne plus"
            )
        self.book.drop(identifier)
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
            raise OperationRefusedError(f"la demande {identifier} n'est pas approuvée par une seconde personne")
        self.proof.sign(b"", self.trust.root, self.trust.crl)  # nothing is deleted that could not be attested
        self._note_request(request)  # both are there already, unless a crash came first
        self._note_approval(request)
        for name, content in self.book.pieces(identifier).items():
            if name != ORIGINAL:  # the signed one has it
                self._store_document(f"{Path(name).stem}-{identifier}.pdf", content)
        for aip in self.book.remaining(identifier):
            self._delete_archive(request, aip)
        self._give_word(request)
        self._write_certificate(request)
        self.book.finish(identifier)
        return len(request.document["archives"])

    def _delete_archive(self, request: Request, aip: str) -> None:
        key = f"elimination:{request.id}:{aip}"
        known = inventory.find(self.journal, aip)
        if known is not None:  # None: deleted and journaled by a run that was cut just after
            self._check_still_eliminable(request.account, [aip])
            self.journal.note(
                "elimination.debut", request.account, "succes", {"demande": request.id}, aip, f"{key}:debut"
            )
            if known.action != "Destroy":
                self._note_transfer(known)
            self._note_digests(request, known)
            try:
                self.store.delete(request.account, inventory.CONTAINER, known.name)
            except ObjectNotFoundError:
                pass  # an earlier run deleted it
            except ObjectRetainedError as error:
                detail = {"demande": request.id, "raison": str(error)[:1000]}
                self.journal.note("elimination.refus", request.account, "refus", detail, aip, f"{key}:retenue")
                raise OperationRefusedError(f"{aip} : le stockage refuse de l'éliminer : {error}") from error
            if self.store.head(request.account, inventory.CONTAINER, known.name) is not None:
                raise StoreError(f"{aip} : supprimée, et pourtant encore au stockage ; relancez")
        seq = self.journal.note(
            "elimination.faite",
            request.account,
            "succes",
            {"demande": request.id, "aip_sha512": self._archive_digest(request, aip)},
            aip,
            f"{key}:faite",
        )
        self.forget(aip)
        event = next(self.journal.events(seq, seq))
        self.book.keep_gone(request.id, aip, event.time, seq)

    def _note_digests(self, request: Request, known: AcceptedArchive) -> None:
        """Keep the digests of what is in an archive before it goes: by them, who has copies knows them.

        One that cannot be read as the journal knows it has none, and no copy of it follows by itself.
        """
        if not self._has_followed_copies(request.account):
            return
        try:
            found = list(_file_digests(self.store, known))
        except ObjectNotFoundError:
            return  # an earlier run deleted it, and had noted them
        except (CorruptedObjectError, tarfile.TarError):
            found = []
        self.book.keep_digests(request.id, known.aip, found)

    def _give_word(self, request: Request) -> None:
        """Sign, archive by archive, that it is gone: nobody deletes a copy without (creatic_agent.attestation)."""
        if not self._has_followed_copies(request.account):  # it has nobody to tell
            return
        siren = self.accounts[request.account].siren
        document = request.document
        listed = {str(one["aip"]): one for one in document["archives"]}
        for aip, when, digests in self.book.unsaid(request.id):
            if "transfert" in listed[aip]:  # its document lives, and so do its copies
                continue
            text = attestation.word(siren, document, listed[aip], when, digests)
            self.book.keep_word(request.id, aip, text, sign(text, self.proof.certificate))

    def _note_transfer(self, known: AcceptedArchive) -> None:
        """Without this note, which nobody takes away, the storage lets no archive leave that is to be kept."""
        told = {"aip": known.aip, "aip_sha512": known.sha512, "transfert": inventory.transferred(self.journal, known)}
        name = f"AUTH_{known.account}/{inventory.CONTAINER}/{known.name}"
        self._store_document(
            name, canonical.encode(told).encode(), TRANSFERS, FOR_EVER, {"archive-sha512": known.sha512}
        )

    @staticmethod
    def _archive_digest(request: Request, aip: str) -> str:
        return next(str(one["sha512"]) for one in request.document["archives"] if one["aip"] == aip)

    def _write_certificate(self, request: Request) -> None:
        made = self.book.certificate(request.id)
        if made is None:
            gone, told = self.book.list_eliminated(request.id), self._has_followed_copies(request.account)
            text = attestation.certificate(request, gone, self.journal.identifier, told)
            made = self.proof.attest(text, self.trust.root, self.trust.crl)
            made = self.book.keep_certificate(request.id, made)
        self._put_certificate(request, "attestation", "attestation", made)

    def _put_certificate(self, request: Request, stem: str, event: str, made: Attested) -> None:
        for suffix, part in (("json", made.text), ("json.p7s", made.signature), ("json.tsr", made.token)):
            self._store_document(f"{stem}-{request.id}.{suffix}", part)
        detail = {"demande": request.id, "attestation_sha512": hashlib.sha512(made.text).hexdigest()}
        key = f"elimination:{request.id}:{event.replace('_', '-')}"
        self.journal.note(f"elimination.{event}", request.account, "succes", detail, key=key)

    def _has_followed_copies(self, account: str) -> bool:
        return account in self.accounts and following.followed(self.accounts[account])

    # -- its copies ----------------------------------------------------------------------------------------

    def certify_copies(self) -> list[str]:
        """Write the certificates of copies that are all gone; gives their requests. Again after a crash: goes on.

        Raises:
            Refused: what is done could not be attested.
            StoreError: the storage does not answer; run again.
        """
        attested = self.book.copies_certified()
        waits = self.copies.list_waiting(self.accounts)
        done = []
        for request in self.book.requests(DONE):
            if request.id in attested or request.id in waits or not self._has_followed_copies(request.account):
                continue
            if told := self.copies.said_of(request.id):
                self._certify_copies(request, told)
                done.append(request.id)
        return done

    def _certify_copies(self, request: Request, told: Mapping[str, Any]) -> None:
        made = self.book.copies_certificate(request.id)
        if made is None:
            text = attestation.copies_certificate(request, told, self.journal.identifier)
            made = self.proof.attest(text, self.trust.root, self.trust.crl)
            made = self.book.keep_copies_certificate(request.id, made)
        self._put_certificate(request, "copies", "attestation_copies", made)
        self.book.finish_copies(request.id)

    def _store_document(
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
        except ObjectExistsError:
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


def _file_digests(store: Store, known: AcceptedArchive) -> Iterator[str]:
    """SHA-256 of each file of an archive, read once. Raises Corrupted: its bytes are not those of the journal."""
    with store.get(known.account, inventory.CONTAINER, known.name) as stream:
        source = _Hashed(stream)
        for _name, _info, content in members_of(cast(BinaryIO, source)):
            yield hashlib.file_digest(cast(Any, content), "sha256").hexdigest()
        while source.read(_ELIMINATION_BLOCK_BYTES):
            pass
    if source.digest.hexdigest() != known.sha512:
        raise CorruptedObjectError(f"{known.aip} : les octets du stockage ne sont pas ceux du journal")


class _Hashed:
    """What tarfile reads, digested on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.digest = stream, hashlib.sha512()

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self.digest.update(block)
        return block


def day(stamp: float) -> str:
    """A date as it is shown."""
    return f"{datetime.fromtimestamp(stamp, UTC):%d/%m/%Y}"
