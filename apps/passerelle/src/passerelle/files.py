"""Documents on disk, each under the name of its SHA-256: written once, never changed, kept before anything says so."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from creatic_agent.durable import fresh, sync_directory, unused


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A name of the folder changes: no other does, of any process."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


@dataclass(frozen=True)
class Held:
    """A document that has no name yet: its SHA-256, and where it is."""

    sha256: str
    path: Path

    def keep(self) -> str:
        """Keep it; gives its SHA-256. On disk, name included, when this returns."""
        with _alone(self.path.parent):
            self.path.replace(self.path.with_name(self.sha256))
        sync_directory(self.path.parent)
        return self.sha256


class Files:
    """The folder of documents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "fichiers"

    def path(self, sha256: str) -> Path:
        """Where a document is."""
        return self.folder / sha256

    @contextmanager
    def held(self, write: Callable[[BinaryIO], object]) -> Iterator[Held]:
        """What `write` writes, on disk, and gone at the end unless somebody kept it.

        What is refused once it was read is never kept: nothing removes it, and nobody's share has it.
        """
        partial = unused(self.folder)
        try:
            with fresh(partial) as stream:
                write(stream)
            with partial.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            yield Held(digest, partial)
        finally:
            partial.unlink(missing_ok=True)

    def keep(self, write: Callable[[BinaryIO], object]) -> str:
        """Keep what `write` writes; gives its SHA-256. On disk, name included, when this returns."""
        with self.held(write) as one:
            return one.keep()

    def keep_bytes(self, content: bytes) -> str:
        """Keep a small document."""
        return self.keep(lambda stream: stream.write(content))

    def forget(self, sha256: str, age: float) -> bool:
        """Remove a document; False when it was written lately: it may be another's, on its way in.

        Args:
            sha256: of the document.
            age: how old it is at least, in seconds.

        Raises:
            FileNotFoundError: it is not there.
            OSError: it cannot be removed.
        """
        path = self.path(sha256)
        with _alone(self.folder):  # what comes under this name between the look and the removal would go with it
            if time.time() - path.stat().st_mtime < age:
                return False
            path.unlink()
        return True

    def clean(self) -> None:
        """Remove what a crash left half-written; for the one process that works, before it begins."""
        for partial in self.folder.glob(".*.part"):
            partial.unlink(missing_ok=True)
