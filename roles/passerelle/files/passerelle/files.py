"""Documents on disk, each under the name of its SHA-256: written once, never changed, kept before anything says so."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast


class Files:
    """The folder of documents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "fichiers"

    def path(self, sha256: str) -> Path:
        """Where a document is."""
        return self.folder / sha256

    def keep(self, write: Callable[[BinaryIO], object]) -> str:
        """Keep what `write` writes; gives its SHA-256. On disk, name included, when this returns."""
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", suffix=".part", delete=False) as stream:
            partial = Path(stream.name)
            try:
                write(cast(BinaryIO, stream))
                stream.flush()
                os.fsync(stream.fileno())
                stream.seek(0)
                with partial.open("rb") as written:
                    digest = hashlib.file_digest(written, "sha256").hexdigest()
                partial.chmod(0o640)
                partial.replace(self.path(digest))
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return digest

    def keep_bytes(self, content: bytes) -> str:
        """Keep a small document."""
        return self.keep(lambda stream: stream.write(content))

    def clean(self) -> None:
        """Remove what a crash left half-written; for the one process that works, before it begins."""
        for partial in self.folder.glob(".*.part"):
            partial.unlink(missing_ok=True)
