"""What a person does on a page of ours: it is done, or refused in French, and the next page says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from Acquisition import aq_base
from plone import api
from zExceptions import Redirect

_STATE = "content_status_modify"


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
        said = str(error).removesuffix(".")
        api.portal.show_message(f"{said[:1].upper()}{said[1:]}.", request, type="error")
    else:
        api.portal.show_message(said, request)
    request.response.redirect(url)
    return ""


def by_form(event: Any) -> None:
    """A link changes no state, with a token or without: Plone's own page is answered by the form that asks for it, and
    ours by the page of the object, which has the buttons."""
    request = event.request
    if request.method == "POST" or "PUBLISHED" not in request:
        return
    page = request["PUBLISHED"]
    if getattr(aq_base(page), "__name__", "") != _STATE and _STATE not in request.steps[-1:]:
        return
    context = getattr(page, "context", None)
    if context is None:
        context = request["PARENTS"][0]
    ours = getattr(aq_base(context), "portal_type", "") in ("seance", "projet")
    raise Redirect(f"{context.absolute_url()}{'' if ours else '/content_status_history'}")
