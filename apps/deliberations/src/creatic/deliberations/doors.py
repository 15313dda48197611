"""What of Zope is not for visitors: its own management pages, however they are asked for. Without Plone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

_NAMES = ("manage", "portal_setup", "Control_Panel")
# Attributes of Zope's objects that lead out of the site are no pages either.
_BEGINNINGS = ("manage_", "manage-", "aq_", "VirtualHost", "_vh_")
# @@name, ++view++name, ++attribute++name: other ways to say a name.
_NAMESPACE = re.compile(r"@@|\+\+[^+/]*\+\+")
# ZPublisher's field names that are no fields, but another page to show: name:method=, :action=name.
_DIRECTIVES = frozenset(("method", "action", "default_method", "default_action"))
# A field of a picture that was clicked bears where as well: name:method.x.
_KINDS = re.compile(r":|\.(?=[xy](?::|$))")
_FIELDS = 10_000


def is_closed(path: str | Iterable[str]) -> bool:
    """Whether a path, or its steps, lead to Zope's management."""
    steps = path.split("/") if isinstance(path, str) else [part for step in path for part in step.split("/")]
    return any(_is_closed(_NAMESPACE.sub("", step)) for step in steps)


def _is_closed(name: str) -> bool:
    return name in _NAMES or name.startswith(_BEGINNINGS)


def directs_inside(query: str) -> bool:
    """Whether a query string asks for a page of Zope's management in place of its path's."""
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError:
        return True
    for key, value in fields:
        name, *kinds = _KINDS.split(key)
        if _DIRECTIVES.intersection(kinds) and (is_closed(name) or is_closed(value)):
            return True
    return False
