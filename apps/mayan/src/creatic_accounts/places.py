"""Threads that answer everybody, and who may hold some of them for what lasts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def threads() -> int:
    """How many there are, as mayan.service says (CREATIC_THREADS)."""
    return int(os.environ.get("CREATIC_THREADS", "8"))


class Places:
    """Who is at something that lasts: each person's one, who asks again for others; pages keep half of the threads."""

    def __init__(self, of: int | None = None) -> None:
        self._room = max(2, (threads() if of is None else of) // 2)
        self._held = threading.Lock()
        self._busy: set[Any] = set()

    @contextmanager
    def place(self, person: Any) -> Iterator[bool]:
        """Have a place while it lasts; tells whether there is one, without waiting."""
        with self._held:
            has = person not in self._busy and len(self._busy) < self._room
            if has:
                self._busy.add(person)
        try:
            yield has
        finally:
            with self._held:
                if has:
                    self._busy.remove(person)
