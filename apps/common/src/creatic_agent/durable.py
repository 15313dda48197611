# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Files that survive a crash: everything is on disk, directory entries included, before it is relied on."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


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


def still(stream: BinaryIO, most: int | None = None, block: int = 1 << 20) -> Iterator[bytes]:
    """The content of a file that is open, which somebody else may be writing: never more than it had at first.

    Args:
        most: bytes that it may have.

    Raises:
        OSError: it grows or shrinks meanwhile, or has more than that.
    """
    size = left = os.fstat(stream.fileno()).st_size
    if most is not None and size > most:
        raise OSError(f"le fichier a {size} octets, {most} au plus")
    while left and (chunk := stream.read(min(block, left))):
        left -= len(chunk)
        yield chunk
    if left or stream.read(1):
        raise OSError("le fichier a changé pendant sa lecture")


def unused(folder: Path) -> Path:
    """A name in this folder that nobody can guess, for a file on its way; it ends in `.part`."""
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
