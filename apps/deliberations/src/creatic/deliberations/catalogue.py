"""What a request made is in the catalogue when the same request looks for it, whatever others do at that moment.

CMFCore (3.8) puts off what is to be indexed, each thread's apart, and does it before a search; it marks who is at it,
so that no search within begins again, in one set for all threads, under one key. While one thread indexed, what others
looked for was not there: a file that came at that moment was found nowhere, and nobody judged it (`watch.check`).
"""

from __future__ import annotations

import threading
from typing import Any

from Products.CMFCore import indexing


class Marks(threading.local):
    """A set, of which each thread has its own."""

    def __init__(self) -> None:
        self._held: set[Any] = set()

    def __contains__(self, one: Any) -> bool:
        return one in self._held

    def add(self, one: Any) -> None:
        self._held.add(one)

    def remove(self, one: Any) -> None:
        self._held.remove(one)


def by_thread(_event: Any) -> None:
    """When the site starts: each thread's own marks in the place of everybody's."""
    if not isinstance(indexing.processing, set | Marks):
        raise TypeError("Products.CMFCore.indexing.processing n'est plus un ensemble : relire catalogue.py")
    indexing.processing = Marks()
