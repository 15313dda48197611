"""What people search, one thing at a time and for so long.

Mayan asks each word of twenty-six columns of everybody's documents, their whole text among them: an address of eight
kilobytes holds four thousand words, each request one of the threads that answer everybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import creatic_passwords
from django.db import connection, transaction

from .guard import ChangeDeniedError
from .places import Places

SECONDS = 60
_SEARCH_TIMEOUT_MESSAGE = (
    "cette recherche dure trop longtemps. À faire : cherchez moins de mots, ou dans un seul champ (recherche avancée)"
)
_SEARCH_RUNNING_MESSAGE = "une recherche est déjà en cours. À faire : attendez sa réponse, puis recommencez"


class _SearchTimeoutError(Exception):
    """A search is over."""


@contextmanager
def _limit_statements() -> Iterator[None]:
    """Have the statements of a search end, each and all together. Raises Kept."""
    end = time.monotonic() + SECONDS

    def within(execute: Callable[..., Any], *given: Any) -> Any:
        if time.monotonic() >= end:
            raise _SearchTimeoutError
        return execute(*given)

    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
            with connection.execute_wrapper(within):
                yield
    except Exception as error:  # Mayan makes its own of any
        if time.monotonic() >= end:
            raise ChangeDeniedError(_SEARCH_TIMEOUT_MESSAGE) from error
        raise


def keep() -> None:
    """Bound what people search. The passerelle, which looks for marks of acts, does so as its work asks."""
    from mayan.apps.dynamic_search.search_backends import SearchBackend

    find, searching = SearchBackend.search, Places()

    def bounded(backend: Any, *given: Any, user: Any, **named: Any) -> Any:
        if creatic_passwords.is_service(user):
            return find(backend, *given, user=user, **named)
        with searching.place(user.pk) as has:
            if not has:
                raise ChangeDeniedError(_SEARCH_RUNNING_MESSAGE)
            with _limit_statements():
                return find(backend, *given, user=user, **named)

    SearchBackend.search = bounded
