"""What a person does on a page of ours: it is done, or refused in French, and the next page says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plone import api


def answer(request: Any, done: Callable[[], str], url: str) -> str:
    """Do what a form asks, and lead to a page.

    Args:
        request: of the form.
        done: gives what to say, in French; raises ValueError with why nothing was done.
        url: of the page.
    """
    try:
        said = done()
    except ValueError as error:
        api.portal.show_message(str(error), request, type="error")
    else:
        api.portal.show_message(said, request)
    request.response.redirect(url)
    return ""
