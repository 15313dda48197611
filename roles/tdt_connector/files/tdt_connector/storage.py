"""Files that survive a crash: everything is on disk, directory entries included, before it is relied on."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 20


def sync_directory(path: Path) -> None:
    """Make the names inside a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Durable(io.BufferedWriter):
    """A file that is on disk once it is closed."""

    def close(self) -> None:
        try:
            if not self.closed:
                self.flush()
                os.fsync(self.fileno())
        finally:
            super().close()


def fresh(path: Path, mode: int = 0o640) -> BinaryIO:
    """Open a file that this call makes, to be written, and on disk once closed; OSError if anything has its name.

    Nothing is ever written through a link, a pipe or a file that somebody else put there.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    os.fchmod(handle, mode)  # whatever the umask
    return _Durable(io.FileIO(handle, "wb"))


def unused(folder: Path) -> Path:
    """A name in this folder that nobody can guess, for a file on its way; depot/ leaves such names alone."""
    return folder / f".{secrets.token_hex(16)}.part"


def write(path: Path, content: bytes, mode: int = 0o640) -> None:
    """Create or replace a file at once: a reader sees the old content or the new one, whole."""
    temporary = unused(path.parent)
    try:
        with fresh(temporary, mode) as stream:
            stream.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """Open a plain file for reading; a link, a pipe or a directory raises OSError. Yields (fd, stat)."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(f"{path.name} n'est pas un fichier ordinaire")
        yield handle, info
    finally:
        os.close(handle)


def copy(source: Path, target: Path) -> tuple[os.stat_result, str]:
    """Copy a plain file durably. Returns the source's stat when read and the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with open_regular(source) as (handle, info), fresh(target) as stream:
        while block := os.read(handle, _BLOCK):
            digest.update(block)
            stream.write(block)
    return info, digest.hexdigest()


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a plain file; a link, a pipe or a directory raises OSError."""
    with open_regular(path) as (handle, _), os.fdopen(handle, "rb", closefd=False) as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def move(source: Path, target: Path) -> None:
    """Rename inside one file system, durably on both sides. A target that is already there is an error."""
    if target.exists() or target.is_symlink():
        raise FileExistsError(f"{target} existe déjà")
    source.rename(target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)
