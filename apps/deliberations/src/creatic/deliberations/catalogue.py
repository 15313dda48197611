"""What a request made is in the catalogue when the same request looks for it, whatever others do at that moment.

CMFCore (3.8) puts off what is to be indexed, each thread's apart, and does it before a search; it marks who is at it,
so that no search within begins again, in one set for all threads, under one key. While one thread indexed, what others
looked for was not there: a file that came at that moment was found nowhere, and nobody judged it (`watch.check`).

And a search has an end: ZCTextIndex (ZCatalog 7.3) has none of itself, and while it tries, no other thread runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from creatic.deliberations import doors
from plone.app.querystring import querybuilder
from Products.CMFCore import indexing
from Products.CMFPlone.browser import search
from Products.ZCTextIndex.ParseTree import ParseError
from Products.ZCTextIndex.QueryParser import QueryParser


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


def with_an_end(_event: Any) -> None:
    """When the site starts: whatever page or service asks, what would take minutes is no search."""
    parse = QueryParser.parseQuery

    def parse_short(self: Any, query: Any) -> Any:
        if doors.is_endless(str(query)):
            raise ParseError("Cette recherche est trop longue : cherchez quelques mots.")
        return parse(self, query)

    QueryParser.parseQuery = parse_short
    for pages in (search, querybuilder):
        pages.munge_search_term = partial(_munge_short, pages.munge_search_term)


def _munge_short(munge: Callable[[Any], Any], text: Any) -> Any:
    """Words as the parser takes them, which take minutes as well; what is left as it is, the parser refuses."""
    return text if len(text) > doors.SEARCHED else munge(text)
