"""The spool: a folder per SIP, its state on disk after each step, one process at a time in each.

States (`etat.json`, replaced at once and fsynced): recu → emballe → repondu (of a refusal: an acceptance is in the
registry). Attempts at checking and packing a SIP are counted on disk (`essais`) before each of them. A SIP that took
its process away with it too often is set aside, whole, with its refusal: neither the door nor the upkeep works on it
again.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from creatic_agent.durable import write
from sae.versement.container import Member
from sae.versement.description import SEDA_VERSION
from sae.versement.formats import Format
from sae.versement.refusal import refuse
from sae.versement.registry import Archive
from sae.versement.seda import Happened

log = logging.getLogger("sae")
ABORTED = "INTERROMPU"
_STATE, _ATTEMPTS, _MAX_ATTEMPTS = "etat.json", "essais", 3


class SipTooLargeError(Exception):
    """More bytes were sent than a SIP may have; nothing is kept."""


class SipBusyError(Exception):
    """The same SIP is being treated by another request."""


class AnswerPendingError(Exception):
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
    archive: Archive | None = None
    members: tuple[Member, ...] = ()
    formats: dict[str, Format] = field(default_factory=dict)
    events: tuple[Happened, ...] = ()
    packed_size: int = 0
    packed_sha512: str = ""
    packed_md5: str = ""


class Folder:
    """A SIP's folder. Everything here may raise OSError (disk)."""

    def __init__(self, path: Path) -> None:
        self.path, self.key, self.sip = path, path.name, path / "sip"

    def begun(self) -> bool:
        """Whether a SIP is here."""
        return (self.path / _STATE).is_file()

    def load(self) -> State:
        """Where it stands."""
        raw = json.loads((self.path / _STATE).read_bytes())
        made = {
            "archive": Archive(**raw["archive"]) if raw["archive"] else None,
            "members": tuple(Member(**{**one, "path": Path(one["path"])}) for one in raw["members"]),
            "formats": {name: Format(**one) for name, one in (raw["formats"] or {}).items()},
            "events": tuple(Happened(**one) for one in raw["events"]),
        }
        return State(**(raw | made))

    def save(self, state: State) -> None:
        """Put on disk where it stands."""
        text = json.dumps(asdict(state), ensure_ascii=False, default=os.fspath)
        write(self.path / _STATE, text.encode("utf-8", "surrogateescape"))

    @contextmanager
    def locked(self, wait: float) -> Iterator[None]:
        """Work here alone. Raises Busy after `wait` seconds, FileNotFoundError once it is finished."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        end = time.monotonic() + wait
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end:
                        raise SipBusyError from None
                    time.sleep(0.1)
            if self.path.stat().st_ino != os.fstat(handle).st_ino:
                raise FileNotFoundError(self.path)  # finished meanwhile, and perhaps begun again
            yield
        finally:
            os.close(handle)

    def attempts(self) -> int:
        """How many attempts at this versement ended with their process."""
        try:
            return int((self.path / _ATTEMPTS).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    @contextmanager
    def counted(self, forgiven: tuple[type[Exception], ...]) -> Iterator[None]:
        """Count an attempt before it is made. Raises Refusal (code INTERROMPU) instead when there were too many.

        One that ends, well or by an error that is forgiven, is no longer counted. No fsync: what ends with the machine
        is not the SIP's doing. Once packed, nothing of its content is read any more.
        """
        before = self.attempts()
        if before >= _MAX_ATTEMPTS:
            raise refuse(
                ABORTED,
                f"Ce SIP a interrompu {before} fois le service pendant son contrôle : il est mis de côté et n'est plus "
                "traité. Prévenez le service d'archivage, qui en cherchera la cause.",
            )
        mark = self.path / _ATTEMPTS
        mark.write_text(f"{before + 1}\n", encoding="ascii")
        try:
            yield
        except forgiven:
            mark.unlink(missing_ok=True)
            raise
        mark.unlink(missing_ok=True)

    def content(self) -> Path:
        """An empty folder, for what the SIP holds."""
        self.empty()
        content = self.path / "contenu"
        content.mkdir(mode=0o750)
        return content

    def empty(self) -> None:
        """Remove what the SIP holds: once packed, it is there twice already."""
        shutil.rmtree(self.path / "contenu", ignore_errors=True)

    def clear(self, last: State | None = None) -> None:
        """The answer is in the registry: the folder goes, its state last seen as this one."""
        try:
            if last is not None:
                self.save(last)
            gone = self.path.with_name(f".{self.key}-{secrets.token_hex(4)}")
            self.path.rename(gone)
            shutil.rmtree(gone)
        except OSError as error:
            log.error("%s n'a pas pu être effacé : %s", self.path, error)

    def set_aside(self, parent: Path) -> None:
        """The SIP stays, out of the way, until somebody has understood it and removes its folder."""
        place = parent / self.key
        parent.mkdir(mode=0o750, exist_ok=True)
        for name in ("contenu", "aip.part", "aip.tar"):
            shutil.rmtree(self.path / name, ignore_errors=True)
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        self.path.rename(place)
        log.error("%s : ce SIP a interrompu le service, il est gardé pour être examiné", place)
