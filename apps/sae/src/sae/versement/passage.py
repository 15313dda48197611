"""The passage of one SIP: checked, packed, kept, answered; each step taken up where it stopped."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from creatic_agent.durable import sync_directory
from sae import inventory
from sae.config import Account, Config
from sae.journal import Journal, JournalError
from sae.store import CorruptedObjectError, ObjectExistsError, Store, StoreError
from sae.versement import aip as aips
from sae.versement import antivirus, bagit, container, formats, seda
from sae.versement.container import Member
from sae.versement.description import SEDA_VERSION, Description, check_agreement, check_sender, compare, retention
from sae.versement.formats import Format
from sae.versement.refusal import SipRefusedError, refuse
from sae.versement.registry import Answer, Archive, IdentifierTakenError, QuotaExceededError, Registry
from sae.versement.seda import Happened
from sae.versement.spool import ABORTED, AnswerPendingError, Folder, SipBusyError, State

log = logging.getLogger("sae")
CONTAINER = "aip"
_MAX_FILES_PER_SIP = 1000  # files of a SIP
_AIP_OVERHEAD_BYTES = 1_000_000  # bytes an AIP has besides its files, for the quota


@dataclass
class Means:
    """What a passage works with; `step` hears the name of each step (tests kill the process there)."""

    config: Config
    store: Store
    journal: Journal
    registry: Registry
    step: Callable[[str], None] = lambda step: None
    # What takes memory is done by one thread at a time: a description being read, a SIP of many files.
    reading: threading.Lock = field(default_factory=threading.Lock, init=False)
    many: threading.Lock = field(default_factory=threading.Lock, init=False)
    # One SIP at a time of each account is unpacked, scanned and packed: one account's never have all of the scanner's
    # threads, and what waits has its own bytes alone on the disk of all.
    turns: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock), init=False)


class _AlreadyAcceptedError(Exception):
    """This very SIP was accepted before; its answer is given again."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


# What is not held against the SIP it happened to.
_FORGIVEN = (
    SipRefusedError,
    _AlreadyAcceptedError,
    SipBusyError,
    AnswerPendingError,
    StoreError,
    JournalError,
    sqlite3.Error,
    OSError,
)


class Passage:
    """One SIP's way from its folder to its answer. The folder is locked meanwhile."""

    def __init__(self, means: Means, folder: Folder, state: State, account: Account) -> None:
        self.folder, self.state = folder, state
        self._means, self._account, self._step = means, account, means.step

    def answer(self) -> Answer:
        """Bring it to its answer. Raises Busy, Pending, or OSError (disk)."""
        try:
            if self.state.step != "emballe":
                self._prepare_aip()
            archive = self._load_archive()
            self._store_archive(archive)
            self._step("range")
        except SipRefusedError as refusal:
            refused = refusal.with_traceback(None)  # else it would hold what was read meanwhile
            refused.__cause__ = refused.__context__ = None
        except _AlreadyAcceptedError as known_already:
            self.folder.clear()
            return known_already.answer
        else:
            return self._accept_sip(archive)
        return self._refuse_sip(refused)

    def _load_archive(self) -> Archive:
        if self.state.archive is None:
            raise OSError(f"{self.folder.path} : archive perdue")
        return self.state.archive

    def _prepare_aip(self) -> None:
        """Check and pack; from then on nothing of the SIP's content is read any more."""
        with ExitStack() as alone:
            alone.enter_context(self._means.turns[self._account.name])  # before it counts: what waits attempts nothing
            with self.folder.counted(_FORGIVEN):
                self._check_sip(alone)
                self._step("controle")
                self._pack_aip()
            self.folder.save(self.state)
            self.folder.empty()
            self._step("emballe")

    # -- checked -------------------------------------------------------------------------------------------

    def _check_sip(self, alone: ExitStack) -> None:
        """Everything that may refuse the SIP, and its place in the registry."""
        state, config, account = self.state, self._means.config, self._account
        events = [_make_event("réception", f"{state.size} octets, SHA-512 {state.sha512}", state.received)]
        members = container.unpack(self.folder.sip, self.folder.content(), config.limits)
        self._step("déballé")
        if len(members) > _MAX_FILES_PER_SIP:
            alone.enter_context(self._means.many)
        with self._means.reading:
            description = self._read_description(members)
        check_sender(description, account)
        compare(description, members)
        events.append(
            _make_event("contrôle d'intégrité", f"{len(members)} fichiers, aucun de trop, empreintes exactes")
        )
        with ThreadPoolExecutor(1) as beside:
            formatted = beside.submit(formats.identify, members.values(), config.formats, description.manifests)
            scanner = antivirus.scan(members.values(), antivirus.Clamd(config.clamd))  # its refusal counts first
        events.append(_make_event("analyse antivirus", f"aucun virus, {scanner}"))
        known = formatted.result()
        listed = ", ".join(sorted({one.puid for one in known.values()}))
        events.append(_make_event("identification des formats", f"{formats.version()} : {listed}"))
        events += [_make_event("constat PDF/A", f"{name} : {one.pdfa}") for name, one in known.items() if one.pdfa]
        self._step("contrôlé")
        try:
            kept = retention(description, account, config, _current_time())
        except SipRefusedError:
            self._check_already_accepted(description)
            raise
        archive = Archive(
            aip=self._choose_identifier(description),
            account=account.name,
            message=description.message,
            fingerprint=description.fingerprint,
            versement=self.folder.key,
            title=description.title,
            kind=description.kind,
            size=sum(member.size for member in members.values()) + _AIP_OVERHEAD_BYTES,
            sha512=None,
            retain_until=kept.until,
            action=kept.action,
            files=[_file_entry(member, known.get(name)) for name, member in members.items()],
            taken=time.time(),
            stored=None,
            reply=None,
        )
        self._reserve_place(archive)
        check_agreement(description, account)  # the same SIP, accepted before there was one, is answered above
        if account.agreement:
            events.append(_make_event("accord de versement", account.agreement))
        self.state = replace(
            state,
            message=description.message,
            seda=description.seda,
            archive=archive,
            members=tuple(members.values()),
            formats=dict(known),
            events=tuple(events),
        )

    def _read_description(self, members: dict[str, Member]) -> Description:
        config, manifest = self._means.config, members.get(seda.MANIFEST)
        if manifest is not None:
            return seda.read(manifest.path, manifest.sha512, config.limits.manifest, config.agency)
        root = bagit.root_of(members)
        if root is None:
            raise refuse("MANIFESTE", "Le SIP n'a ni manifest.xml (SEDA) ni bagit.txt (BagIt) à sa racine.")
        return bagit.read(members, root)

    def _choose_identifier(self, description: Description) -> str:
        """The first one that no eliminated archive has: what comes again after its elimination is another archive."""
        journal, rank = self._means.journal, 0
        while True:
            aip = aips.identifier(self._account.name, description.message, description.fingerprint, rank)
            if not inventory.leaving(journal, aip):
                return aip
            if not inventory.eliminated(journal, aip):
                text = f"L'archive {aip}, de ce même contenu, est en cours d'élimination. Réessayez plus tard."
                raise refuse("ELIMINATION", text, temporary=True)
            self._means.registry.forget(aip)  # if a crash kept it from being told
            rank += 1

    def _check_already_accepted(self, description: Description) -> None:
        """Give again the answer of this very SIP: rules change, what was accepted under the former ones stays so."""
        other = self._means.registry.archive(self._account.name, self._choose_identifier(description))
        if other is not None and other.stored is not None and other.reply is not None:
            raise _AlreadyAcceptedError(self._means.registry.answer(other.versement) or other.answer())

    def _reserve_place(self, archive: Archive) -> None:
        account, registry = self._account, self._means.registry
        try:
            registry.reserve(archive, account.quota_mo * 1_000_000)
        except IdentifierTakenError as taken:
            other = taken.archive
            if not taken.same:
                raise refuse(
                    "IDENTIFIANT",
                    f"L'identifiant « {archive.message[:100]} » est déjà celui de l'archive {other.aip} : un autre "
                    "contenu demande un autre identifiant.",
                ) from taken
            known = registry.answer(other.versement)
            if other.stored is not None and other.reply is not None:
                raise _AlreadyAcceptedError(known or other.answer()) from taken
            raise refuse("IDENTIFIANT", "Ce même SIP est en cours de versement. Réessayez.", temporary=True) from taken
        except QuotaExceededError as over:
            text = f"Le quota de {account.label} est atteint : {over.used // 1_000_000} Mo sur {account.quota_mo}."
            raise refuse("QUOTA", text) from over

    # -- packed, kept --------------------------------------------------------------------------------------

    def _pack_aip(self) -> None:
        state, archive, path = self.state, self._load_archive(), self.folder.path
        missing = [member.name for member in state.members if not member.path.is_file()]
        if missing:
            raise OSError(f"{path} : « {missing[0]} » n'est plus dans le dossier de travail")
        events = (*state.events, _make_event("empaquetage", f"OCFL 1.1, archive {archive.aip}"))
        temporary = path / "aip.part"
        packed = aips.build(
            temporary,
            aip=archive.aip,
            account=archive.account,
            title=archive.title,
            when=_current_time(),
            members={member.name: member for member in state.members},
            formats=state.formats,
            events=events,
        )
        self._step("tar écrit")
        temporary.rename(path / "aip.tar")
        sync_directory(path)
        size, sha512, md5 = packed.size, packed.sha512, packed.md5
        self.state = replace(
            state, step="emballe", events=events, packed_size=size, packed_sha512=sha512, packed_md5=md5
        )

    def _store_archive(self, archive: Archive) -> None:
        """The AIP goes to the storage, once; what is found there under its name is it."""
        state, store, name = self.state, self._means.store, object_name(archive.aip)
        try:
            with (self.folder.path / "aip.tar").open("rb") as stream:
                store.put(
                    archive.account,
                    CONTAINER,
                    name,
                    stream,
                    size=state.packed_size,
                    sha512=state.packed_sha512,
                    md5=state.packed_md5,
                    retain_until=archive.retain_until,
                    metadata={
                        "message": archive.message[:100],
                        "empreinte": archive.fingerprint,
                        "sort-final": archive.action,
                        "titre": archive.title[:60],
                    },
                )
            self._step("déposé au stockage")
        except ObjectExistsError:
            head = store.head(archive.account, CONTAINER, name) or {}
            if head.get("empreinte") != archive.fingerprint:
                log.error("archive %s : un autre contenu est au stockage sous ce nom", archive.aip)
                text = (
                    "Un autre contenu est déjà au stockage sous l'identifiant de cette archive : prévenez le service."
                )
                raise refuse("STOCKAGE", text) from None
            self.state = replace(state, packed_size=int(head["bytes"]), packed_sha512=head["sha512"])
        except (CorruptedObjectError, StoreError) as error:
            log.error("archive %s : %s", archive.aip, error)
            raise AnswerPendingError(self.folder.key, archive.message, state.seda) from error

    # -- answered ------------------------------------------------------------------------------------------

    def _accept_sip(self, archive: Archive) -> Answer:
        state = self.state
        detail = {
            "sip_sha512": state.sha512,
            "aip_sha512": state.packed_sha512,
            "octets": state.packed_size,
            "identifiant": archive.message,
            "conserve_jusqua": archive.retain_until,
            "sort_final": archive.action,
            "fichiers": len(state.members),
        }
        seq = self._means.journal.append(
            "versement.accepte",
            account=archive.account,
            aip=archive.aip,
            outcome="succes",
            detail=detail,
            key=f"versement:{archive.aip}",
        )
        self._step("journalisé")
        until = datetime.fromtimestamp(archive.retain_until, UTC)
        after = "conservation" if archive.action == "Keep" else "élimination possible"
        kept = _make_event("rangement", f"{state.packed_size} octets, SHA-512 {state.packed_sha512}, journal n° {seq}")
        comment = (
            f"Versement accepté : archive {archive.aip}, conservée jusqu'au {until:%d/%m/%Y} au moins (puis : {after})."
        )
        identifier = uuid.uuid5(uuid.UUID(archive.aip), "ArchiveTransferReply")
        events = [*state.events, kept]
        answer = self._make_answer(archive.message, state.seda, identifier, comment, events, aip=archive.aip)
        self._means.registry.accept(archive.aip, state.packed_size, state.packed_sha512, answer)
        self._step("au registre")
        self.folder.clear()
        self._step("rangé")
        return answer

    def _refuse_sip(self, refusal: SipRefusedError) -> Answer:
        state, reasons = self.state, refusal.reasons
        codes = sorted({reason.code for reason in reasons})
        aside = ABORTED in codes
        message, version = state.message or seda.UNKNOWN, state.seda
        if not state.message and not aside:
            message, version = self._read_transfer_identity()
        self._means.journal.append(
            "versement.refuse",
            account=self._account.name,
            aip=None,
            outcome="refus",
            detail={
                "sip_sha512": state.sha512,
                "identifiant": message[:200],
                "codes": codes,
                "motifs": [reason.text[:300] for reason in reasons[:10]],
            },
            key=f"ecarte:{self.folder.key}:{state.received}" if aside else None,
        )
        self._step("refus journalisé")
        texts = [reason.text for reason in reasons]
        comment = f"Versement refusé : rien n'est conservé. {' '.join(texts)}"
        events = [_make_event(reason.code, reason.text, outcome="KO") for reason in reasons]
        answer = self._make_answer(
            message, version, uuid.uuid4(), comment, events, temporary=refusal.temporary, reasons=texts
        )
        self._means.registry.release(self.folder.key)
        self._means.registry.refuse(answer)
        if aside:
            self.folder.set_aside(self._means.config.set_aside)
        else:
            self.folder.clear(replace(state, step="repondu"))
        log.warning("versement de %s refusé (%s) : %s", self._account.name, ", ".join(codes), refusal)
        return answer

    def _make_answer(
        self,
        message: str,
        version: str,
        identifier: uuid.UUID,
        comment: str,
        events: Sequence[Happened],
        *,
        aip: str | None = None,
        temporary: bool = False,
        reasons: Sequence[str] = (),
    ) -> Answer:
        """An acceptance where there is an AIP, else a refusal."""
        account, now, accepted = self._account, _current_time(), aip is not None
        content = seda.reply(
            identifier=f"urn:uuid:{identifier}",
            request=message,
            when=now,
            agency=self._means.config.agency,
            sender=account.siren,
            accepted=accepted,
            comments=[comment],
            events=events,
            aip=aip,
            version=version,
        )
        when = now.timestamp()
        return Answer(self.folder.key, account.name, message, accepted, temporary, aip, when, [*reasons], content)

    def _read_transfer_identity(self) -> tuple[str, str]:
        """The identifier and the version of SEDA of a refused SIP, if its manifest could be unpacked and read."""
        limits = self._means.config.limits
        try:
            members = container.unpack(self.folder.sip, self.folder.content(), limits)
        except (SipRefusedError, OSError):
            return seda.UNKNOWN, SEDA_VERSION
        if seda.MANIFEST in members:
            return seda.read_transfer_identity(members[seda.MANIFEST].path, limits.manifest)
        root = bagit.root_of(members)
        return (bagit.identifier(members, root) if root is not None else "") or seda.UNKNOWN, SEDA_VERSION


def object_name(aip: str) -> str:
    """Name of an AIP in the storage."""
    return f"{aip}.tar"


def _file_entry(member: Member, known: Format | None) -> dict[str, Any]:
    listed: dict[str, Any] = {"nom": member.name, "octets": member.size, "sha512": member.sha512}
    return listed | ({"format": known.puid, "pdfa": known.pdfa} if known else {})


def _current_time() -> datetime:
    return datetime.now(UTC)


def _make_event(kind: str, detail: str, when: str = "", outcome: str = "OK") -> Happened:
    return Happened(kind, when or _current_time().isoformat(timespec="milliseconds"), outcome, detail)
