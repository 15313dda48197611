"""What of Zope is not for visitors: its own management pages, however they are asked for, content where it is not, and
what a few megabytes of theirs would hold all threads for. Without Plone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

_CLOSED_NAMES = ("manage", "portal_setup", "Control_Panel")
# Attributes of Zope's objects that lead out of the site are no pages either; nor are uploads by pieces (TUS), which
# stay on the disk whatever they weigh, of no document and nobody's.
_BEGINNINGS = ("manage_", "manage-", "aq_", "VirtualHost", "_vh_", "@tus-")
# @@name, ++view++name, ++attribute++name: other ways to say a name.
_NAMESPACE_PATTERN = re.compile(r"@@|\+\+[^+/]*\+\+")
# ZPublisher's field names that are no fields, but another page to show: name:method=, :action=name.
_DIRECTIVES = frozenset(("method", "action", "default_method", "default_action"))
# A field of a picture that was clicked bears where as well: name:method.x.
_FIELD_KIND_PATTERN = re.compile(r":|\.(?=[xy](?::|$))")
_MAX_FORM_FIELDS = 10_000
LARGEST = 128 << 10
"""Bytes of a form without files, and of all that is sent without an account."""
MAX_SEARCH_LENGTH = 1_000
"""Characters of what is searched: Plone's time grows with their square."""
_NODES = 500_000
_FORMS = ("", "application/x-www-form-urlencoded", "application/x-url-encoded")  # as ZPublisher has them
_BODY_BLOCK_BYTES = 1 << 20


def is_closed(path: str | Iterable[str]) -> bool:
    """Whether a path, or its steps, lead to Zope's management."""
    steps = path.split("/") if isinstance(path, str) else [part for step in path for part in step.split("/")]
    return any(_is_closed(_NAMESPACE_PATTERN.sub("", step)) for step in steps)


def _is_closed(name: str) -> bool:
    return name in _CLOSED_NAMES or name.startswith(_BEGINNINGS)


def directs_inside(query: str) -> bool:
    """Whether a query string asks for a page of Zope's management in place of its path's."""
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        return True
    for key, value in fields:
        name, *kinds = _FIELD_KIND_PATTERN.split(key)
        if _DIRECTIVES.intersection(kinds) and (is_closed(name) or is_closed(value)):
            return True
    return False


def is_too_much(method: str, kind: str, size: int, body: BinaryIO, somebody: bool) -> bool:
    """Whether a body is more than this site reads: nobody else is answered while one of Python's readers has it.

    Args:
        kind: its Content-Type.
        size: bytes of it.
        body: what it is read from, and put back to its beginning.
        somebody: whether the request shows an account, true or not.
    """
    kind = kind.partition(";")[0].strip().lower()
    if size <= LARGEST:
        return False
    if not somebody or kind in _FORMS:
        return True
    return (method, kind) not in (
        ("POST", "multipart/form-data"),
        ("PATCH", "multipart/form-data"),
    ) and _has_too_many_nodes(body)


def _has_too_many_nodes(body: BinaryIO) -> bool:
    """Whether what is read as JSON would make too many objects: its files and texts are one each."""
    found = 0
    while found <= _NODES and (block := body.read(_BODY_BLOCK_BYTES)):
        found += sum(map(block.count, (b",", b"[", b"{")))
    body.seek(0)
    return found > _NODES


def is_endless(search: str) -> bool:
    """Whether a search of the catalogue would take minutes: long, or of words with a star elsewhere than at the end.

    Each such star multiplies what is tried of each word that the catalogue knows, which somebody writes as they like.
    """
    return len(search) > MAX_SEARCH_LENGTH or any("*" in word.strip('"()').rstrip("*") for word in search.split())


def is_elsewhere(reached: Iterable[Any]) -> bool:
    """Whether a path went by something where it is not: Zope finds under a folder what the folders above it hold too.

    So reached, one commune's meeting is under another's name, and what is done of it is done there.

    Args:
        reached: what a request went by, as Zope wraps it.
    """
    return any(
        not _content_ids(one.aq_chain) <= _content_ids(_containers_of(one)) for one in reached if _is_content(one)
    )


def nearest(reached: Iterable[Any]) -> Any:
    """The content that a request is about, of what it went by from there upwards; None for none."""
    return next((one for one in reached if _is_content(one)), None)


def _containers_of(one: Any) -> Iterator[Any]:
    """Something, and what holds it, whatever way it was reached."""
    while one is not None:
        yield one
        one = getattr(getattr(one, "aq_inner", one), "aq_parent", None)


def _content_ids(chain: Iterable[Any]) -> set[int]:
    return {id(_unwrapped(one)) for one in chain if _is_content(one)}


def _is_content(one: Any) -> bool:
    return hasattr(_unwrapped(one), "portal_type")


def _unwrapped(one: Any) -> Any:
    return getattr(one, "aq_base", one)
