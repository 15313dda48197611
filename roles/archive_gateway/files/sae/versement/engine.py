"""The versement itself: a folder of the spool per SIP, a state on disk per step, taken up where it stopped.

States (`etat.json`, replaced at once and fsynced): recu → emballe → repondu (of a refusal: an acceptance is in the
registry). A crash anywhere leaves a folder that `resume` or the same SIP sent again brings to its end: one AIP, one
line in the journal, one answer. The AIP's identifier is computed from the account and the SIP, and the storage never
overwrites: what is stored already is found again, and not even a lost spool makes two.

Attempts at checking and packing a SIP are counted on disk (`essais`) before each of them. A SIP that took its process
away with it too often is set aside, whole, with its refusal: neither the door nor the upkeep works on it again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
import sqlite3
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from creatic_agent.durable import sync_directory, write
from sae import inventory
from sae.config import Account, Config
from sae.journal import Journal, JournalError
from sae.store import AlreadyStored, Corrupted, Store, StoreError
from sae.versement import aip as aips
from sae.versement import antivirus, bagit, container, formats, seda
from sae.versement.container import Member
from sae.versement.description import SEDA_VERSION, Description, check_sender, compare, retention
from sae.versement.formats import Format
from sae.versement.refusal import Reason, Refusal, refuse
from sae.versement.registry import Answer, Archive, OverQuota, Registry, Taken
from sae.versement.seda import Happened

log = logging.getLogger("sae")
CONTAINER = "aip"
_BLOCK = 1 << 20
_STATE = "etat.json"
_ATTEMPTS, _MAX_ATTEMPTS, _ABORTED = "essais", 3, "INTERROMPU"
_MANY = 1000  # files of a SIP
_ENVELOPE = 1_000_000  # bytes an AIP has besides its files, for the quota


class TooBig(Exception):
    """More bytes were sent than a SIP may have; nothing is kept."""


class Busy(Exception):
    """The same SIP is being treated by another request."""


class Pending(Exception):
    """The SIP is checked and kept; the storage is away, its answer comes later."""

    def __init__(self, key: str, message: str, seda: str = SEDA_VERSION) -> None:
        super().__init__(message)
        self.key, self.message, self.seda = key, message, seda


@dataclass(frozen=True)
class State:
    """Where a versement stands. Everything that the next steps need is here."""

    step: str
    account: str
    received: str
    size: int
    sha512: str
    message: str = ""
    seda: str = SEDA_VERSION
    archive: dict[str, Any] | None = None
    members: tuple[dict[str, Any], ...] = ()
    formats: dict[str, dict[str, str]] | None = None
    events: tuple[dict[str, str], ...] = ()
    packed_size: int = 0
    packed_sha512: str = ""
    packed_md5: str = ""

    def happened(self) -> list[Happened]:
        """The events so far."""
        return [Happened(**one) for one in self.events]


class Engine:
    """Takes SIPs in. One per process; `on_step` hears the name of each step (tests kill the process there)."""

    def __init__(
        self,
        config: Config,
        store: Store,
        journal: Journal,
        registry: Registry,
        on_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.config, self.store, self.journal, self.registry = config, store, journal, registry
        self._step = on_step
        # What takes memory is done by one thread at a time: a description being read, a SIP of many files.
        self._reading, self._many = threading.Lock(), threading.RLock()
        config.spool.mkdir(mode=0o750, parents=True, exist_ok=True)

    @classmethod
    def of(cls, config: Config) -> Engine:
        """The engine of a configuration."""
        return cls(config, config.store(), Journal(config.journal), Registry(config.registry))

    # -- in ------------------------------------------------------------------------------------------------

    def receive(self, account: Account, source: BinaryIO) -> str:
        """Take a SIP's bytes to the disk; gives the versement's key. Raises TooBig, or OSError (disk)."""
        folder = self.config.spool / f".{secrets.token_hex(8)}"
        folder.mkdir(mode=0o750)
        try:
            digest, size = hashlib.sha512(), 0
            with (folder / "sip").open("xb") as stream:
                while block := source.read(_BLOCK):
                    size += len(block)
                    if size > self.config.limits.package:
                        raise TooBig
                    digest.update(block)
                    stream.write(block)
                stream.flush()
                os.fsync(stream.fileno())
            self._step("octets reçus")
            key = hashlib.sha256(f"{account.name}\n{digest.hexdigest()}".encode()).hexdigest()[:32]
            if (self.config.set_aside / key).is_dir() and self.registry.answer(key) is not None:
                shutil.rmtree(folder)
                return key  # its answer was given once for all
            state = State("recu", account.name, _now().isoformat(), size, digest.hexdigest())
            write(folder / _STATE, _dump(state))
            self._settle(folder, self.config.spool / key)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        sync_directory(self.config.spool)
        self._step("reçu")
        return key

    def _settle(self, folder: Path, place: Path) -> None:
        """Give the upload its place; where the same SIP is already there, it goes on from where it stands."""
        while True:
            try:
                folder.rename(place)
                return
            except OSError:
                if (place / _STATE).is_file():
                    shutil.rmtree(folder)
                    return
                if place.exists():
                    raise
            # Another request finished the same SIP between the two questions: the place is free.

    def deposit(self, account: Account, source: BinaryIO) -> Answer:
        """Take a SIP in and bring it to its answer. Raises TooBig, Busy, Pending, or OSError (disk)."""
        return self.treat(self.receive(account, source))

    def treat(self, key: str, wait: float = 60.0) -> Answer:
        """Bring a versement of the spool to its answer. Raises Busy, Pending, or OSError (disk)."""
        folder = self.config.spool / key
        try:
            with self._locked(folder, wait):
                return self._treat(key, folder)
        except FileNotFoundError:
            known = self.registry.answer(key)  # another request finished it meanwhile
            if known is None:
                raise
            return known

    def resume(self) -> Iterator[tuple[str, str]]:
        """Take up what a crash or an absent storage left; gives (key, what came of it) for each versement."""
        for folder in sorted(self.config.spool.iterdir(), key=lambda one: (_attempts(one), one.name)):
            if folder.name.startswith("."):
                if time.time() - folder.stat().st_mtime > 3600:
                    shutil.rmtree(folder, ignore_errors=True)  # an upload that was cut
                continue
            try:
                answer = self.treat(folder.name, wait=0)
                aside = not answer.accepted and (self.config.set_aside / folder.name).is_dir()
                yield folder.name, "OK" if answer.accepted else "mis de côté" if aside else "KO"
            except Busy:
                yield folder.name, "en cours"
            except Pending:
                yield folder.name, "en attente du stockage"
            except Exception:  # one versement's trouble does not hold the others back
                log.exception("versement %s : reprise impossible", folder.name)
                yield folder.name, "en erreur"

    @contextmanager
    def _locked(self, folder: Path, wait: float) -> Iterator[None]:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        end = time.monotonic() + wait
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end:
                        raise Busy from None
                    time.sleep(0.1)
            if folder.stat().st_ino != os.fstat(handle).st_ino:
                raise FileNotFoundError(folder)  # finished meanwhile, and perhaps begun again
            yield
        finally:
            os.close(handle)

    # -- the steps -----------------------------------------------------------------------------------------

    def _treat(self, key: str, folder: Path) -> Answer:
        state = _load(folder / _STATE)
        known = self.registry.answer(key)
        if known is not None and known.aip and inventory.leaving(self.journal, known.aip):
            known = None  # checked again, as what comes for the first time
            state = replace(state, step="recu") if state.step == "repondu" else state
        if state.step == "repondu" or (known is not None and known.accepted):
            if known is None:
                raise OSError(f"{folder} : réponse perdue")
            self._clear(folder)
            return known
        account = self.config.accounts.get(state.account)
        if account is None:
            raise OSError(f"{folder} : le compte « {state.account} » n'existe plus")
        refused = None
        try:
            if state.step != "emballe":
                with ExitStack() as alone:
                    with self._counted(folder):
                        state = self._check(key, folder, state, account, alone)
                        self._step("controle")
                        state = self._pack(key, folder, state, account, alone)
                    write(folder / _STATE, _dump(state))
                    self._step("emballe")
            state = self._keep(key, folder, state, account)
            self._step("range")
        except Refusal as refusal:
            refused = refusal.with_traceback(None)  # else it would hold what was read meanwhile
            refused.__cause__ = refused.__context__ = None
        except _Known as known_already:
            self._clear(folder)
            return known_already.answer
        if refused is not None:
            return self._refuse(key, folder, state, account, refused)
        return self._answer(key, folder, state, account)

    @contextmanager
    def _counted(self, folder: Path) -> Iterator[None]:
        """Count an attempt before it is made. Raises Refusal (code INTERROMPU) instead when there were too many.

        One that ends, well or badly, is no longer counted, unless the SIP itself made it fail. No fsync: what ends
        with the machine is not the SIP's doing. Once packed, nothing of its content is read any more.
        """
        before = _attempts(folder)
        if before >= _MAX_ATTEMPTS:
            raise refuse(
                _ABORTED,
                f"Ce SIP a interrompu {before} fois le service pendant son contrôle : il est mis de côté et n'est plus "
                "traité. Prévenez le service d'archivage, qui en cherchera la cause.",
            )
        (folder / _ATTEMPTS).write_text(f"{before + 1}\n", encoding="ascii")
        try:
            yield
        except (Refusal, _Known, Busy, Pending, StoreError, JournalError, sqlite3.Error, OSError):
            (folder / _ATTEMPTS).unlink(missing_ok=True)
            raise
        (folder / _ATTEMPTS).unlink(missing_ok=True)

    def _check(self, key: str, folder: Path, state: State, account: Account, alone: ExitStack) -> State:
        """Everything that may refuse the SIP, and its place in the registry."""
        content = folder / "contenu"
        shutil.rmtree(content, ignore_errors=True)
        content.mkdir(mode=0o750)
        events = [_event("réception", f"{state.size} octets, SHA-512 {state.sha512}", state.received)]
        members = container.unpack(folder / "sip", content, self.config.limits)
        self._step("déballé")
        if len(members) > _MANY:
            alone.enter_context(self._many)
        with self._reading:
            description = self._describe(members, account)
        check_sender(description, account)
        compare(description, members)
        events.append(_event("contrôle d'intégrité", f"{len(members)} fichiers, aucun de trop, empreintes exactes"))
        with ThreadPoolExecutor(1) as beside:
            formatted = beside.submit(formats.identify, members.values(), self.config.formats, description.manifests)
            scanner = antivirus.scan(members.values(), antivirus.Clamd(self.config.clamd))  # its refusal counts first
        events.append(_event("analyse antivirus", f"aucun virus, {scanner}"))
        known = formatted.result()
        listed = ", ".join(sorted({one.puid for one in known.values()}))
        events.append(_event("identification des formats", f"{formats.version()} : {listed}"))
        for name, one in known.items():
            if one.pdfa:
                events.append(_event("constat PDF/A", f"{name} : {one.pdfa}"))
        self._step("contrôlé")
        kept = retention(description, account, self.config, _now())
        archive = Archive(
            aip=self._identifier(account, description),
            account=account.name,
            message=description.message,
            fingerprint=description.fingerprint,
            versement=key,
            title=description.title,
            kind=description.kind,
            size=sum(member.size for member in members.values()) + _ENVELOPE,
            sha512=None,
            retain_until=kept.until,
            action=kept.action,
            files=[_listed(member, known.get(name)) for name, member in members.items()],
            taken=time.time(),
            stored=None,
            reply=None,
        )
        self._reserve(archive, account)
        return replace(
            state,
            message=description.message,
            seda=description.seda,
            archive=asdict(archive),
            members=tuple({**asdict(member), "path": str(member.path)} for member in members.values()),
            formats={name: asdict(one) for name, one in known.items()},
            events=tuple(asdict(one) for one in events),
        )

    def _describe(self, members: Mapping[str, Member], account: Account) -> Description:
        limits = self.config.limits
        manifest = members.get(seda.MANIFEST)
        if manifest is not None:
            return seda.read(manifest.path, manifest.sha512, limits.manifest, self.config.agency)
        root = bagit.root_of(members)
        if root is None:
            raise refuse("MANIFESTE", "Le SIP n'a ni manifest.xml (SEDA) ni bagit.txt (BagIt) à sa racine.")
        return bagit.read(members, root)

    def _identifier(self, account: Account, description: Description) -> str:
        """The first one that no eliminated archive has: what comes again after its elimination is another archive."""
        rank = 0
        while True:
            aip = aips.identifier(account.name, description.message, description.fingerprint, rank)
            if not inventory.leaving(self.journal, aip):
                return aip
            if not inventory.eliminated(self.journal, aip):
                text = f"L'archive {aip}, de ce même contenu, est en cours d'élimination. Réessayez plus tard."
                raise refuse("ELIMINATION", text, temporary=True)
            self.registry.forget(aip)  # if a crash kept it from being told
            rank += 1

    def _reserve(self, archive: Archive, account: Account) -> None:
        try:
            self.registry.reserve(archive, account.quota_mo * 1_000_000)
        except Taken as taken:
            other = taken.archive
            if not taken.same:
                raise refuse(
                    "IDENTIFIANT",
                    f"L'identifiant « {archive.message[:100]} » est déjà celui de l'archive {other.aip} : un autre "
                    "contenu demande un autre identifiant.",
                ) from taken
            known = self.registry.answer(other.versement)
            if other.stored is not None and other.reply is not None:
                raise _Known(known or other.answer()) from taken
            raise refuse("IDENTIFIANT", "Ce même SIP est en cours de versement. Réessayez.", temporary=True) from taken
        except OverQuota as over:
            text = f"Le quota de {account.label} est atteint : {over.used // 1_000_000} Mo sur {account.quota_mo}."
            raise refuse("QUOTA", text) from over

    def _pack(self, key: str, folder: Path, state: State, account: Account, alone: ExitStack) -> State:
        if len(state.members) > _MANY:
            alone.enter_context(self._many)
        archive = Archive(**(state.archive or {}))
        members = {one["name"]: Member(**{**one, "path": Path(one["path"])}) for one in state.members}
        missing = [member.name for member in members.values() if not member.path.is_file()]
        if missing:
            raise OSError(f"{folder} : « {missing[0]} » n'est plus dans le dossier de travail")
        events = [*state.happened(), _event("empaquetage", f"OCFL 1.1, archive {archive.aip}")]
        temporary = folder / "aip.part"
        packed = aips.build(
            temporary,
            aip=archive.aip,
            account=archive.account,
            title=archive.title,
            when=_now(),
            members=members,
            formats={name: Format(**one) for name, one in (state.formats or {}).items()},
            events=events,
        )
        self._step("tar écrit")
        temporary.rename(folder / "aip.tar")
        sync_directory(folder)
        return replace(
            state,
            step="emballe",
            events=tuple(asdict(one) for one in events),
            packed_size=packed.size,
            packed_sha512=packed.sha512,
            packed_md5=packed.md5,
        )

    def _keep(self, key: str, folder: Path, state: State, account: Account) -> State:
        """The AIP goes to the storage, once; what is found there under its name is it."""
        archive = Archive(**(state.archive or {}))
        name = object_name(archive.aip)
        size, sha512 = state.packed_size, state.packed_sha512
        try:
            with (folder / "aip.tar").open("rb") as stream:
                self.store.put(
                    archive.account,
                    CONTAINER,
                    name,
                    stream,
                    size=size,
                    sha512=sha512,
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
        except AlreadyStored:
            head = self.store.head(archive.account, CONTAINER, name) or {}
            if head.get("empreinte") != archive.fingerprint:
                log.error("archive %s : un autre contenu est au stockage sous ce nom", archive.aip)
                text = (
                    "Un autre contenu est déjà au stockage sous l'identifiant de cette archive : prévenez le service."
                )
                raise refuse("STOCKAGE", text) from None
            size, sha512 = int(head["bytes"]), head["sha512"]
        except (Corrupted, StoreError) as error:
            log.error("archive %s : %s", archive.aip, error)
            raise Pending(key, archive.message, state.seda) from error
        return replace(state, packed_size=size, packed_sha512=sha512)

    def _answer(self, key: str, folder: Path, state: State, account: Account) -> Answer:
        archive = Archive(**(state.archive or {}))
        detail = {
            "sip_sha512": state.sha512,
            "aip_sha512": state.packed_sha512,
            "octets": state.packed_size,
            "identifiant": archive.message,
            "conserve_jusqua": archive.retain_until,
            "sort_final": archive.action,
            "fichiers": len(state.members),
        }
        seq = self.journal.append(
            "versement.accepte",
            account=account.name,
            aip=archive.aip,
            outcome="succes",
            detail=detail,
            key=f"versement:{archive.aip}",
        )
        self._step("journalisé")
        now = _now()
        until = datetime.fromtimestamp(archive.retain_until, UTC)
        kept = _event("rangement", f"{state.packed_size} octets, SHA-512 {state.packed_sha512}, journal n° {seq}")
        answer = Answer(
            versement=key,
            account=account.name,
            message=archive.message,
            accepted=True,
            temporary=False,
            aip=archive.aip,
            when=now.timestamp(),
            reasons=[],
            content=seda.reply(
                identifier=f"urn:uuid:{uuid.uuid5(uuid.UUID(archive.aip), 'ArchiveTransferReply')}",
                request=archive.message,
                when=now,
                agency=self.config.agency,
                sender=account.siren,
                accepted=True,
                comments=[
                    f"Versement accepté : archive {archive.aip}, conservée jusqu'au {until:%d/%m/%Y} au moins "
                    f"(puis : {'conservation' if archive.action == 'Keep' else 'élimination possible'})."
                ],
                events=[*state.happened(), kept],
                aip=archive.aip,
                version=state.seda,
            ),
        )
        self.registry.accept(archive.aip, state.packed_size, state.packed_sha512, answer)
        self._step("au registre")
        self._clear(folder)
        self._step("rangé")
        return answer

    def _refuse(self, key: str, folder: Path, state: State, account: Account, refusal: Refusal) -> Answer:
        codes = sorted({reason.code for reason in refusal.reasons})
        aside = _ABORTED in codes
        message, version = state.message or seda.UNKNOWN, state.seda
        if not state.message and not aside:
            message, version = self._asked(folder)
        self.journal.append(
            "versement.refuse",
            account=account.name,
            aip=None,
            outcome="refus",
            detail={
                "sip_sha512": state.sha512,
                "identifiant": message[:200],
                "codes": codes,
                "motifs": [reason.text[:300] for reason in refusal.reasons[:10]],
            },
            key=f"ecarte:{key}:{state.received}" if aside else None,
        )
        self._step("refus journalisé")
        now = _now()
        reasons = [Reason(reason.code, reason.text) for reason in refusal.reasons]
        answer = Answer(
            versement=key,
            account=account.name,
            message=message,
            accepted=False,
            temporary=refusal.temporary,
            aip=None,
            when=now.timestamp(),
            reasons=[reason.text for reason in reasons],
            content=seda.reply(
                identifier=f"urn:uuid:{uuid.uuid4()}",
                request=message,
                when=now,
                agency=self.config.agency,
                sender=account.siren,
                accepted=False,
                comments=["Versement refusé : rien n'est conservé. " + " ".join(reason.text for reason in reasons)],
                events=[_event(reason.code, reason.text, outcome="KO") for reason in reasons],
                version=version,
            ),
        )
        self.registry.release(key)
        self.registry.refuse(answer)
        if aside:
            self._set_aside(key, folder)
        else:
            self._clear(folder, replace(state, step="repondu"))
        log.warning("versement de %s refusé (%s) : %s", account.name, ", ".join(codes), refusal)
        return answer

    def _set_aside(self, key: str, folder: Path) -> None:
        """The SIP stays, out of the way, until somebody has understood it and removes its folder."""
        place = self.config.set_aside / key
        self.config.set_aside.mkdir(mode=0o750, exist_ok=True)
        for name in ("contenu", "aip.part", "aip.tar"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        folder.rename(place)
        log.error("%s : ce SIP a interrompu le service, il est gardé pour être examiné", place)

    def _asked(self, folder: Path) -> tuple[str, str]:
        """The identifier and the version of SEDA of a refused SIP, if its manifest could be unpacked and read."""
        try:
            members = container.unpack(folder / "sip", _emptied(folder / "contenu"), self.config.limits)
        except (Refusal, OSError):
            return seda.UNKNOWN, SEDA_VERSION
        if seda.MANIFEST in members:
            return seda.asked(members[seda.MANIFEST].path, self.config.limits.manifest)
        root = bagit.root_of(members)
        return (bagit.identifier(members, root) if root is not None else "") or seda.UNKNOWN, SEDA_VERSION

    def _clear(self, folder: Path, last: State | None = None) -> None:
        """The answer is in the registry: the folder goes, its state last seen as this one."""
        try:
            if last is not None:
                write(folder / _STATE, _dump(last))
            gone = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
            folder.rename(gone)
            shutil.rmtree(gone)
        except OSError as error:
            log.error("%s n'a pas pu être effacé : %s", folder, error)

    # -- out -----------------------------------------------------------------------------------------------

    def open(self, account: Account, archive: Archive) -> BinaryIO:
        """The AIP's tar, from the storage; its reading is journaled. Raises StoreError."""
        stream = self.store.get(account.name, CONTAINER, object_name(archive.aip))
        self.journal.append("archive.communication", account=account.name, aip=archive.aip, outcome="succes", detail={})
        return stream

    def blocks(self, stream: BinaryIO, archive: Archive) -> Iterator[bytes]:
        """The tar's bytes. The last block is given only if the whole has the digest of the registry.

        Raises StoreError otherwise, so that a reader never takes a damaged archive for a whole one.
        """
        return _proved(stream, archive.sha512 or "", archive.aip)

    def file_blocks(self, stream: BinaryIO, archive: Archive, name: str) -> Iterator[bytes]:
        """A file's bytes, taken out of the AIP on the way, with the same proof. Raises StoreError."""
        wanted = next(str(one["sha512"]) for one in archive.files if one["nom"] == name)
        try:
            for found, _, content in aips.members_of(stream):
                if found == name:
                    yield from _proved(content, wanted, f"{archive.aip}/{name}")
                    return
        except tarfile.TarError as error:
            raise Corrupted(f"archive {archive.aip} illisible : {error}") from error
        raise Corrupted(f"archive {archive.aip} : « {name} » n'y est pas")


class _Known(Exception):
    """This very SIP was accepted before; its answer is given again."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


def object_name(aip: str) -> str:
    """Name of an AIP in the storage."""
    return f"{aip}.tar"


def _proved(stream: BinaryIO, sha512: str, what: str) -> Iterator[bytes]:
    digest = hashlib.sha512()
    held = b""
    while block := stream.read(_BLOCK):
        if held:
            yield held
        digest.update(block)
        held = block
    if digest.hexdigest() != sha512:
        raise Corrupted(f"« {what} » n'a plus son empreinte : la lecture est interrompue")
    if held:
        yield held


def _listed(member: Member, known: Format | None) -> dict[str, Any]:
    listed: dict[str, Any] = {"nom": member.name, "octets": member.size, "sha512": member.sha512}
    return listed | ({"format": known.puid, "pdfa": known.pdfa} if known else {})


def _attempts(folder: Path) -> int:
    """How many attempts at this versement ended with their process."""
    try:
        return int((folder / _ATTEMPTS).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o750)
    return folder


def _now() -> datetime:
    return datetime.now(UTC)


def _event(kind: str, detail: str, when: str = "", outcome: str = "OK") -> Happened:
    return Happened(kind, when or _now().isoformat(timespec="milliseconds"), outcome, detail)


def _dump(state: State) -> bytes:
    return json.dumps(asdict(state), ensure_ascii=False).encode("utf-8", "surrogateescape")


def _load(path: Path) -> State:
    raw = json.loads(path.read_bytes())
    sequences: Sequence[str] = ("members", "events")
    return State(**{**raw, **{name: tuple(raw[name]) for name in sequences}})
