"""Log of a borg repository, read without its key: which objects each transaction put, replaced or deleted.

Format: borg 1.4, internals, "Segments". A segment is ``BORG_SEG`` then entries: CRC32, size, tag, and for PUT, PUT2 and
DELETE the 32 bytes of the object's identifier. A transaction is what lies between two COMMIT entries.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

from creatic_agent.errors import CreaticError

MAGIC = b"BORG_SEG"
PUT, DELETE, COMMIT, PUT2 = range(4)
MANIFEST = bytes(32)
_HEADER = struct.Struct("<IIB")
_KEY = 32
MOST_DELETED = 200_000
"""Objects that one transaction deletes; a backup deletes what it put itself, a few."""
MOST_SEGMENTS = 200_000
"""Segments of a repository. A backup makes a few, a quarter some thousands; a client commits as often as it likes, and
a million that weigh nothing took all the memory of the watch."""


class SegmentError(CreaticError, cause="segment"):
    """A segment is not what borg writes; the message (French) names it."""


@dataclass(frozen=True)
class Entry:
    """One entry of the log. Size is that of the whole entry, header included."""

    tag: int
    key: bytes
    size: int


@dataclass
class Transaction:
    """What one transaction did. What it put is counted, not kept: a client says how much that is.

    Attributes:
        end: number of the segment that holds its COMMIT.
        put: how many objects it wrote, the manifest aside.
        lost: objects of earlier transactions that it deleted or replaced, the manifest aside.
        manifest: size of the manifest that it wrote; 0 for none.
    """

    end: int = 0
    put: int = 0
    lost: set[bytes] = field(default_factory=set)
    manifest: int = 0


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """A file of a repository, which the clients' account may have made a link or a FIFO: root reads neither.

    Raises:
        FileNotFoundError: it is not there.
        SegmentError: it is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError:
        raise SegmentError(f"{path.name} : ce n'est pas un fichier") from None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SegmentError(f"{path.name} : ce n'est pas un fichier")
        yield stream


def numbered(repository: Path) -> Iterator[tuple[int, Path]]:
    """Segments of a repository with their numbers, in no order; no folder that is a link is looked in."""
    data = repository / "data"
    for folder in () if data.is_symlink() else data.glob("*"):
        if not folder.is_symlink():
            yield from ((int(path.name), path) for path in folder.glob("*") if path.name.isdecimal())


def files(repository: Path) -> dict[int, Path]:
    """Segments of a repository, by number, in order.

    Raises:
        SegmentError: there are more than any client makes.
    """
    found = dict(islice(numbered(repository), MOST_SEGMENTS + 1))
    if len(found) > MOST_SEGMENTS:
        raise SegmentError(f"plus de {MOST_SEGMENTS} segments")
    return dict(sorted(found.items()))


def entries(path: Path) -> Iterator[Entry]:
    """Entries of a segment; what is written at this very moment ends them without an error.

    Raises:
        SegmentError: it does not begin as a segment, or an entry makes no sense.
    """
    with reading(path) as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise SegmentError(f"{path.name} : ce n'est pas un segment de borg")
        while len(header := stream.read(_HEADER.size)) == _HEADER.size:
            _crc, size, tag = _HEADER.unpack(header)
            least = _HEADER.size + (0 if tag == COMMIT else _KEY)
            if tag > PUT2 or size < least:
                raise SegmentError(f"{path.name} : entrée illisible à l'octet {stream.tell() - _HEADER.size}")
            key = b"" if tag == COMMIT else stream.read(_KEY)
            rest = size - _HEADER.size - len(key)
            stream.seek(rest, 1)
            yield Entry(tag, key, size)


def transactions(repository: Path, after: int = -1) -> Iterator[Transaction]:
    """Finished transactions whose segments come after the given one; an unfinished one is left out.

    Raises:
        SegmentError: a segment is not one, or there are more of them, or of what a transaction deletes, than any
            client makes.
    """
    current, deleted, first, own = Transaction(), set[bytes](), 0, list[Path]()
    for number, path in files(repository).items():
        if number <= after:
            continue
        own.append(path)
        for rank, entry in enumerate(entries(path)):
            if entry.tag == COMMIT:
                current.end = number
                current.lost = _lost(own, first, rank, deleted) if deleted else set()
                yield current
                current, deleted, first, own = Transaction(), set(), rank + 1, [path]
            elif entry.key == MANIFEST:
                current.manifest = current.manifest if entry.tag == DELETE else entry.size
            elif entry.tag == DELETE:
                deleted.add(entry.key)
                if len(deleted) > MOST_DELETED:
                    raise SegmentError(f"{path.name} : plus de {MOST_DELETED} blocs supprimés en une fois")
            else:
                current.put += 1


def _lost(segments: Sequence[Path], first: int, last: int, deleted: set[bytes]) -> set[bytes]:
    """Which of the objects that a transaction deleted it had not put itself: read again, as most delete none.

    Args:
        segments: its own alone: a client makes as many transactions as it likes.
        first: rank of its first entry, in the first of them.
        last: rank of its COMMIT, in the last.
        deleted: what it deleted.
    """
    own, lost = set[bytes](), set[bytes]()
    for place, path in enumerate(segments):
        end = last if place == len(segments) - 1 else None
        for entry in islice(entries(path), 0 if place else first, end):
            if entry.key not in deleted:
                continue
            if entry.tag != DELETE:
                own.add(entry.key)
            elif entry.key not in own:
                lost.add(entry.key)
    return lost
