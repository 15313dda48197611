"""The site's modules that speak to Plone, imported beside stand-ins of it: what they decide is theirs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any
from unittest.mock import MagicMock

import pytest

_PLONE = (
    "plone", "plone.app", "plone.app.textfield", "plone.app.textfield.value", "plone.namedfile",
    "plone.namedfile.file", "plone.namedfile.utils", "Products", "Products.Five", "Products.Five.browser",
    "transaction", "transaction.interfaces", "zExceptions", "ZODB", "ZODB.interfaces",
)  # fmt: skip # a list of words


class _Page:
    """What a page of Plone is made of."""


class Transient(Exception):
    """What the database says of two at once."""


class Uncommitted(Exception):
    """What a blob says that this transaction changed."""


_HAVE: dict[str, Mapping[str, Any]] = {
    "Products.Five.browser": {"BrowserView": _Page},
    "transaction.interfaces": {"TransientError": Transient},
    "ZODB.interfaces": {"BlobError": Uncommitted},
}


def module(
    patch: pytest.MonkeyPatch,
    name: str,
    *beside: str,
    more: Iterable[str] = (),
    having: Mapping[str, Mapping[str, Any]] | None = None,
) -> Any:
    """Import a module of `creatic.deliberations`; stand-ins are Plone, and those of its modules that are named.

    Args:
        more: other modules of Plone that it needs.
        having: what modules have that is no stand-in.
    """
    known = _HAVE | dict(having or {})
    for one in (*_PLONE, *more, *(f"creatic.deliberations.{other}" for other in beside)):
        stand_in = MagicMock(name=one, **known.get(one, {}))
        stand_in.__path__ = []
        patch.setitem(sys.modules, one, stand_in)
    package = importlib.import_module("creatic.deliberations")
    for other in beside:
        patch.setattr(package, other, sys.modules[f"creatic.deliberations.{other}"], raising=False)
    whole = f"creatic.deliberations.{name}"
    patch.delitem(sys.modules, whole, raising=False)
    patch.setattr(package, name, None, raising=False)
    found = importlib.import_module(whole)
    patch.setitem(sys.modules, whole, found)  # forgotten afterwards
    return found
