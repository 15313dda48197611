"""Digests computed beside what reads and writes the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

_SMALL = 1 << 16  # below, another thread costs more than it gives


class Digests:
    """Digests (names of hashlib) of blocks that come one after the other, each in a thread of its own.

    A context manager; the digests are whole when it ends.
    """

    def __init__(self, *names: str) -> None:
        self._digests = {name: hashlib.new(name, usedforsecurity=name != "md5") for name in names}
        self._pool: ThreadPoolExecutor | None = None
        self.size = 0

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    @contextmanager
    def of(self, block: bytes) -> Iterator[None]:
        """Digest a block while the body does what it likes with it."""
        self.size += len(block)
        if len(block) < _SMALL:
            for digest in self._digests.values():
                digest.update(block)
            yield
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(len(self._digests))
        running = [self._pool.submit(digest.update, block) for digest in self._digests.values()]
        try:
            yield
        finally:
            for one in running:
                one.result()

    def hex(self, name: str) -> str:
        """A digest, in hexadecimal."""
        return self._digests[name].hexdigest()
