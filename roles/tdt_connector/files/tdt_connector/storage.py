"""Files that survive a crash: everything is on disk, directory entries included, before it is relied on."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BLOCK = 1 << 20


def sync_directory(path: Path) -> None:
    """Make the names inside a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: Path, content: bytes, mode: int = 0o640) -> None:
    """Create or replace a file at once: a reader sees the old content or the new one, whole."""
    temporary = path.with_name(f".{path.name}.part")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(handle, mode)  # whatever the umask
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
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
    with open_regular(source) as (handle, info):
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        with os.fdopen(out, "wb") as stream:
            while block := os.read(handle, _BLOCK):
                digest.update(block)
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())
    return info, digest.hexdigest()


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def move(source: Path, target: Path) -> None:
    """Rename inside one file system, durably on both sides. A target that is already there is an error."""
    if target.exists() or target.is_symlink():
        raise FileExistsError(f"{target} existe déjà")
    source.rename(target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)
