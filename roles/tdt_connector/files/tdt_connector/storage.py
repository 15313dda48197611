"""Plain files, read and moved; a link, a pipe or a directory is never opened."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from creatic_agent.durable import fresh, sync_directory

_BLOCK = 1 << 20


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
