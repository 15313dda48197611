"""What a request made is in the catalogue when the same request looks for it, whatever others do at that moment.

CMFCore (3.8) puts off what is to be indexed, each thread's apart, and does it before a search; it marks who is at it,
so that no search within begins again, in one set for all threads, under one key. While one thread indexed, what others
looked for was not there: a file that came at that moment was found nowhere, and nobody judged it (`watch.check`).

And changes are counted by institution: what one changes has nothing of another's made again.

And a search has an end: ZCTextIndex (ZCatalog 7.3) has none of itself, and while it tries, no other thread runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from Acquisition import aq_base
from BTrees.Length import Length
from BTrees.OOBTree import OOBTree
from creatic.deliberations import doors
from plone.app.querystring import querybuilder
from Products.CMFCore import indexing
from Products.CMFPlone.browser import search
from Products.CMFPlone.CatalogTool import CatalogTool
from Products.ZCTextIndex.ParseTree import ParseError
from Products.ZCTextIndex.QueryParser import QueryParser

_CHANGES = "creatic_changements"


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


def count_apart(_event: Any) -> None:
    """When the site starts: what the catalogue counts (`getCounter`), it counts by institution too."""
    catalog, uncatalog = CatalogTool.catalog_object, CatalogTool.uncatalog_object

    def catalog_object(tool: Any, thing: Any, uid: Any = None, *given: Any, **named: Any) -> Any:
        _count_change(tool, uid or "/".join(thing.getPhysicalPath()))
        return catalog(tool, thing, uid, *given, **named)

    def uncatalog_object(tool: Any, uid: Any, *given: Any, **named: Any) -> Any:
        _count_change(tool, uid)
        return uncatalog(tool, uid, *given, **named)

    CatalogTool.catalog_object, CatalogTool.uncatalog_object = catalog_object, uncatalog_object


def changes(tool: Any, path: str) -> int:
    """How many times something of an institution was indexed, or taken out.

    Args:
        tool: the catalogue.
        path: of something of it, from the root of the database.
    """
    indexing.processQueue()  # what this request changed
    counted = getattr(aq_base(tool), _CHANGES, {}).get(_institution_path(path))
    return 0 if counted is None else int(counted())


def _institution_path(path: str) -> str:
    return "/".join(path.split("/")[:3])  # of "", the site, the institution


def _count_change(tool: Any, path: str) -> None:
    base, where = aq_base(tool), _institution_path(path)
    if not hasattr(base, _CHANGES):
        setattr(base, _CHANGES, OOBTree())
    counts = getattr(base, _CHANGES)
    if where not in counts:
        counts[where] = Length()
    counts[where].change(1)


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
    return text if len(text) > doors.MAX_SEARCH_LENGTH else munge(text)
