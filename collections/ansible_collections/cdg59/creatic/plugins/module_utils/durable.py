# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Files that survive a crash: everything is on disk, names of folders included, before it is relied on.

The one place that asks the kernel for it: for the control node, for modules, and for the agents, which have this very
file by a link (`creatic_agent.durable`).
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO


def sync(stream: IO[Any]) -> None:
    """Put on disk what was written to a stream that goes on."""
    stream.flush()
    os.fsync(stream.fileno())


def _sync_path(path: Path, kind: int = 0) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | kind)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Put on disk a file that something else wrote: a program, an unpacking."""
    _sync_path(path)


def sync_directory(folder: Path) -> None:
    """Put the names of a folder on disk."""
    _sync_path(folder, os.O_DIRECTORY)


def sync_tree(top: Path) -> None:
    """Put on disk a file, or a folder with all that is in it."""
    if not top.is_dir():
        sync_file(top)
    for folder, _folders, names in os.walk(top):
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink():
                sync_file(path)
        sync_directory(Path(folder))


class _Durable(io.BufferedRandom):
    """A file that is on disk once it is closed."""

    def close(self) -> None:
        try:
            if not self.closed:
                sync(self)
        finally:
            super().close()


def fresh(path: Path, mode: int | None = 0o640, uid: int = -1, gid: int = -1) -> BinaryIO:
    """Open a file that this call makes, to be written, and on disk once closed; OSError if anything has its name.

    Nothing is ever written through a link, a pipe or a file that somebody else put there. Owner and mode are set before
    there is anything to read.

    Args:
        mode: whatever the umask; None for what the umask says.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o666 if mode is None else 0o600)
    stream = _Durable(io.FileIO(handle, "r+b"))
    try:
        if (uid, gid) != (-1, -1):
            os.fchown(handle, uid, gid)
        if mode is not None:
            os.fchmod(handle, mode)  # after the owner, whose change clears some of its bits
    except BaseException:
        stream.close()
        raise
    return stream


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


@contextmanager
def whole(
    path: Path,
    mode: int | None = 0o640,
    uid: int = -1,
    gid: int = -1,
    *,
    replace: bool = True,
    check: Callable[[Path], object] | None = None,
) -> Iterator[BinaryIO]:
    """A stream whose content takes this name once it is all on disk: a reader sees the old one or the new one, whole.

    Args:
        mode: as in `fresh`, as are the owner and the group.
        replace: whether a file of this name gives way; without it, it stays and FileExistsError is raised.
        check: is given the new file before it takes the name; what it raises leaves all as it was.
    """
    temporary = unused(path.parent)
    try:
        with fresh(temporary, mode, uid, gid) as stream:
            yield stream
        if check:
            check(temporary)
        if replace:
            temporary.replace(path)
        else:
            path.hardlink_to(temporary)  # which a rename would replace
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def write(
    path: Path,
    data: bytes,
    mode: int | None = 0o640,
    uid: int = -1,
    gid: int = -1,
    *,
    replace: bool = True,
    check: Callable[[Path], object] | None = None,
) -> None:
    """Create or replace a file at once; see `whole`."""
    with whole(path, mode, uid, gid, replace=replace, check=check) as stream:
        stream.write(data)


def append(path: Path, line: bytes, mode: int = 0o600) -> None:
    """Add a line to a file, on disk when this returns: two writers' lines do not mix.

    A line that a crash cut short takes no other with it; of one that cannot be written (OSError), nothing is left.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line
        try:
            if os.write(handle, line) != len(line):  # at once
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
