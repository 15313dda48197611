"""Whose turn it is, without Plone: one file is read at a time, and no commune keeps others behind its own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

EACH = 2
"""Of one commune at a time: one that is read, one that waits."""


class QueueFullError(Exception):
    """No place for it now."""


@dataclass(eq=False)
class _Asking:
    whose: str
    put_out: bool = False


class Turns:
    """One reads, some wait; of those who wait, the commune that was served longest ago is next.

    Args:
        places: of who reads and who waits together: a request holds one of the site's threads meanwhile.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._changed = threading.Condition()
        self._waiting: list[_Asking] = []  # oldest first
        self._reading: _Asking | None = None
        self._served: dict[str, int] = {}
        self._count = itertools.count(1)

    @contextmanager
    def turn(self, whose: str, patience: float) -> Iterator[None]:
        """Wait for one's turn, and have it.

        Args:
            whose: the commune, or the account where there is none.
            patience: seconds.

        Raises:
            Full: its commune has its places, others have them all, or it waited too long.
        """
        mine = _Asking(whose)
        with self._changed:
            self._wait_turn(mine)
            come = self._changed.wait_for(lambda: mine.put_out or self._next_waiter() is mine, patience)
            if mine in self._waiting:
                self._waiting.remove(mine)
            if mine.put_out or not come:
                self._changed.notify_all()
                raise QueueFullError
            self._reading = mine
            self._served[whose] = next(self._count)
        try:
            yield
        finally:
            with self._changed:
                self._reading = None
                self._changed.notify_all()

    def _wait_turn(self, mine: _Asking) -> None:
        inside = [*self._waiting, *([self._reading] if self._reading else [])]
        if sum(one.whose == mine.whose for one in inside) >= EACH:
            raise QueueFullError
        if len(inside) >= self._places:
            self._make_room(mine, inside)
        self._waiting.append(mine)

    def _make_room(self, mine: _Asking, inside: list[_Asking]) -> None:
        """A commune's second place is its own while nobody else needs it."""
        others = [one.whose for one in inside]
        second = next((one for one in reversed(self._waiting) if others.count(one.whose) > 1), None)
        if second is None or mine.whose in others:
            raise QueueFullError
        self._waiting.remove(second)
        second.put_out = True
        self._changed.notify_all()

    def _next_waiter(self) -> _Asking | None:
        if self._reading or not self._waiting:
            return None
        return min(self._waiting, key=lambda one: self._served.get(one.whose, 0))
