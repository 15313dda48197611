"""The versement itself: SIPs come in, each is brought to its answer, archives go out.

A crash anywhere leaves a folder that `resume` or the same SIP sent again brings to its end: one AIP, one line in the
journal, one answer. The AIP's identifier is computed from the account and the SIP, and the storage never overwrites:
what is stored already is found again, and not even a lost spool makes two.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from creatic_agent.durable import fresh, sync_directory
from sae import inventory
from sae.config import Account, Config
from sae.journal import Journal
from sae.store import CorruptedObjectError
from sae.versement import aip as aips
from sae.versement.passage import CONTAINER, Means, Passage, object_name
from sae.versement.registry import Answer, Archive, Registry
from sae.versement.spool import AnswerPendingError, Folder, SipBusyError, SipTooLargeError, State

log = logging.getLogger("sae")
_UPLOAD_BLOCK_BYTES = 1 << 20


@dataclass
class Engine(Means):
    """Takes SIPs in. One per process."""

    def __post_init__(self) -> None:
        self.config.spool.mkdir(mode=0o750, parents=True, exist_ok=True)

    @classmethod
    def from_config(cls, config: Config) -> Engine:
        """The engine of a configuration."""
        return cls(config, config.store(), Journal(config.journal), Registry(config.registry))

    # -- in ------------------------------------------------------------------------------------------------

    def receive(self, account: Account, source: BinaryIO) -> str:
        """Take a SIP's bytes to the disk; gives the versement's key. Raises TooBig, or OSError (disk)."""
        folder = self.config.spool / f".{secrets.token_hex(8)}"
        folder.mkdir(mode=0o750)
        try:
            digest, size = hashlib.sha512(), 0
            with fresh(folder / "sip") as stream:
                while block := source.read(_UPLOAD_BLOCK_BYTES):
                    size += len(block)
                    if size > self.config.limits.package:
                        raise SipTooLargeError
                    digest.update(block)
                    stream.write(block)
            self.step("octets reçus")
            key = hashlib.sha256(f"{account.name}\n{digest.hexdigest()}".encode()).hexdigest()[:32]
            if (self.config.set_aside / key).is_dir() and self.registry.answer(key) is not None:
                shutil.rmtree(folder)
                return key  # its answer was given once for all
            received = datetime.now(UTC).isoformat()
            Folder(folder).save(State("recu", account.name, received, size, digest.hexdigest()))
            self._settle_upload(folder, self.config.spool / key)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        sync_directory(self.config.spool)
        self.step("reçu")
        return key

    def _settle_upload(self, folder: Path, place: Path) -> None:
        """Give the upload its place; where the same SIP is already there, it goes on from where it stands."""
        while True:
            try:
                folder.rename(place)
                return
            except OSError:
                if Folder(place).begun():
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
        folder = Folder(self.config.spool / key)
        try:
            with folder.locked(wait):
                return self._treat_folder(folder)
        except FileNotFoundError:
            known = self.registry.answer(key)  # another request finished it meanwhile
            if known is None:
                raise
            return known

    def _treat_folder(self, folder: Folder) -> Answer:
        state, known = folder.load(), self.registry.answer(folder.key)
        if known is not None and known.aip and inventory.leaving(self.journal, known.aip):
            known = None  # checked again, as what comes for the first time
            state = replace(state, step="recu") if state.step == "repondu" else state
        if state.step == "repondu" or (known is not None and known.accepted):
            if known is None:
                raise OSError(f"{folder.path} : réponse perdue")
            folder.clear()
            return known
        account = self.config.accounts.get(state.account)
        if account is None:
            raise OSError(f"{folder.path} : le compte « {state.account} » n'existe plus")
        return Passage(self, folder, state, account).answer()

    def resume(self) -> Iterator[tuple[str, str]]:
        """Take up what a crash or an absent storage left; gives (key, what came of it) for each versement."""
        for folder in sorted(self.config.spool.iterdir(), key=lambda one: (Folder(one).attempts(), one.name)):
            if folder.name.startswith("."):
                with suppress(FileNotFoundError):  # the door has just given it its place
                    if time.time() - folder.stat().st_mtime > 3600:
                        shutil.rmtree(folder, ignore_errors=True)  # an upload that was cut
                continue
            try:
                answer = self.treat(folder.name, wait=0)
                aside = not answer.accepted and (self.config.set_aside / folder.name).is_dir()
                yield folder.name, "OK" if answer.accepted else "mis de côté" if aside else "KO"
            except SipBusyError:
                yield folder.name, "en cours"
            except AnswerPendingError:
                yield folder.name, "en attente du stockage"
            except Exception:  # one versement's trouble does not hold the others back
                log.exception("versement %s : reprise impossible", folder.name)
                yield folder.name, "en erreur"

    # -- out -----------------------------------------------------------------------------------------------

    def open(self, account: Account, archive: Archive, by: str = "", name: str = "") -> BinaryIO:
        """The AIP's tar, from the storage; its reading is journaled. Raises StoreError.

        Args:
            by: who reads, as his certificate names him; on the gateway itself, who typed.
            name: of the one file that is read; empty for the whole.
        """
        stream = self.store.get(account.name, CONTAINER, object_name(archive.aip))
        detail = ({"par": by[:200]} if by else {}) | ({"fichier": name[:500]} if name else {})
        self.journal.append(
            "archive.communication", account=account.name, aip=archive.aip, outcome="succes", detail=detail
        )
        return stream

    def blocks(self, stream: BinaryIO, archive: Archive) -> Iterator[bytes]:
        """The tar's bytes. The last block is given only if the whole has the digest of the registry.

        Raises StoreError otherwise, so that a reader never takes a damaged archive for a whole one.
        """
        return _verify_blocks(stream, archive.sha512 or "", archive.aip)

    def file_blocks(self, stream: BinaryIO, archive: Archive, name: str) -> Iterator[bytes]:
        """A file's bytes, taken out of the AIP on the way, with the same proof. Raises StoreError."""
        wanted = next(str(one["sha512"]) for one in archive.files if one["nom"] == name)
        try:
            for found, _, content in aips.members_of(stream):
                if found == name:
                    yield from _verify_blocks(content, wanted, f"{archive.aip}/{name}")
                    return
        except tarfile.TarError as error:
            raise CorruptedObjectError(f"archive {archive.aip} illisible : {error}") from error
        raise CorruptedObjectError(f"archive {archive.aip} : « {name} » n'y est pas")


def _verify_blocks(stream: BinaryIO, sha512: str, what: str) -> Iterator[bytes]:
    digest = hashlib.sha512()
    held = b""
    while block := stream.read(_UPLOAD_BLOCK_BYTES):
        if held:
            yield held
        digest.update(block)
        held = block
    if digest.hexdigest() != sha512:
        raise CorruptedObjectError(f"« {what} » n'a plus son empreinte : la lecture est interrompue")
    if held:
        yield held
