# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Files that survive a crash: everything is on disk, directory entries included, before it is relied on."""

from __future__ import annotations

import io
import os
import secrets
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
