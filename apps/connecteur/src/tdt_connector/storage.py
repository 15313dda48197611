"""Plain files, read and moved; a link, a pipe or a directory is never opened."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from creatic_agent.durable import fresh, still, sync_directory


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


def copy(source: Path, target: Path, most: int | None = None) -> tuple[os.stat_result, str]:
    """Copy a plain file durably. Returns the source's stat when read and the SHA-256 of what was copied.

    Raises:
        OSError: it is none, has more than `most` bytes, or is being written.
    """
    found = hashlib.sha256()
    with _reading(source) as (stream, info), fresh(target) as written:
        for block in still(stream, most):
            found.update(block)
            written.write(block)
    return info, found.hexdigest()


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a plain file; a link, a pipe, a directory or what is being written raises OSError."""
    found = hashlib.new(algorithm)
    with _reading(path) as (stream, _info):
        for block in still(stream):
            found.update(block)
    return found.hexdigest()


@contextmanager
def _reading(path: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    with open_regular(path) as (handle, info), os.fdopen(handle, "rb", closefd=False) as stream:
        yield stream, info


def move(source: Path, target: Path) -> None:
    """Rename inside one file system, durably on both sides. A target that is already there is an error."""
    if target.exists() or target.is_symlink():
        raise FileExistsError(f"{target} existe déjà")
    source.rename(target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)
