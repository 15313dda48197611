"""The site's modules that speak to Plone, imported beside stand-ins of it: what they decide is theirs."""

from __future__ import annotations

import importlib
import sys
from typing import Any
from unittest.mock import MagicMock

import pytest

_PLONE = (
    "plone", "plone.app", "plone.app.textfield", "plone.app.textfield.value", "plone.namedfile",
    "plone.namedfile.file", "plone.namedfile.utils", "Products", "Products.Five", "Products.Five.browser",
    "transaction", "transaction.interfaces", "zExceptions",
)  # fmt: skip # a list of words


class _Page:
    """What a page of Plone is made of."""


class Transient(Exception):
    """What the database says of two at once."""


def module(patch: pytest.MonkeyPatch, name: str, *beside: str) -> Any:
    """Import a module of `creatic.deliberations`; stand-ins are Plone, and those of its modules that are named."""
    for one in (*_PLONE, *(f"creatic.deliberations.{other}" for other in beside)):
        stand_in = MagicMock(name=one)
        stand_in.__path__ = []
        patch.setitem(sys.modules, one, stand_in)
    sys.modules["Products.Five.browser"].BrowserView = _Page  # type: ignore[attr-defined]
    sys.modules["transaction.interfaces"].TransientError = Transient  # type: ignore[attr-defined]
    package = importlib.import_module("creatic.deliberations")
    for other in beside:
        patch.setattr(package, other, sys.modules[f"creatic.deliberations.{other}"], raising=False)
    whole = f"creatic.deliberations.{name}"
    patch.delitem(sys.modules, whole, raising=False)
    patch.setattr(package, name, None, raising=False)
    found = importlib.import_module(whole)
    patch.setitem(sys.modules, whole, found)  # forgotten afterwards
    return found
