"""Whole pages of ours, outside of Mayan's frame: no script draws them, and their forms are the browser's own.

Mayan's frame sends a form by script, and writes what was typed in the address when its page comes again: passwords of a
refused change were in the history of the browser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.views import PasswordChangeDoneView, PasswordChangeView
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse, reverse_lazy
from django.views.generic import View
from django.views.generic.base import ContextMixin
from mayan.apps.common.settings import setting_home_view
from mayan.apps.common.views import RootView
from mayan.apps.views.literals import HEADER_NAME_PAGE_RELOAD, HEADER_NAME_REDIRECT_LOCATION
from mayan.apps.views.utils import request_is_ajax

from . import doors


@dataclass(frozen=True)
class Entry:
    """An entry of the menu.

    Attributes:
        view: name of the page.
        count: of what awaits somebody there; 0 shows nothing.
    """

    text: str
    view: str
    count: int = 0

    @property
    def url(self) -> str:
        """Its address."""
        return str(reverse(self.view))


MENU: list[Callable[[Any], list[Entry]]] = []
"""What an application shows in the menu of whole pages; it adds its own when it is ready."""


_MESSAGE_SESSION_KEY = "creatic_dit"


def tell(request: Any, said: str) -> None:
    """Say something on the next whole page: Mayan's own messages go to the scripts of its frame."""
    request.session[_MESSAGE_SESSION_KEY] = said


def framed(request: Any, **given: Any) -> dict[str, Any]:
    """What the frame shows around a page."""
    known = getattr(request, "user", None) is not None and request.user.is_authenticated
    role = doors.asking(request)
    entries = [one for told in MENU for one in told(request) if doors.leads(role, one.view)] if known else []
    said = request.session.pop(_MESSAGE_SESSION_KEY, "") if known else ""
    return {"liens": [(one, one.url == request.path) for one in entries], "dit": said} | given


def refused(request: Any, refusal: str) -> HttpResponse:
    """A page that says why something is not done; what Mayan's frame asked for is shown in it."""
    frame = "appearance/base.html" if request_is_ajax(request) else "creatic_accounts/cadre.html"
    shown = framed(request, title="Refusé", refus=refusal, cadre=frame)
    return render(request, "creatic_accounts/refus.html", shown, status=403)


class Whole(ContextMixin, View):
    """Mixin of the view of a whole page: where Mayan's frame asks for it, the browser leaves the frame."""

    title = ""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer."""
        if request.method == "GET" and request_is_ajax(request):
            answer = HttpResponse()
            answer[HEADER_NAME_REDIRECT_LOCATION] = request.get_full_path()
            answer[HEADER_NAME_PAGE_RELOAD] = "true"
            return answer
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        """Title and menu."""
        found: dict[str, Any] = super().get_context_data(**given)
        return found | framed(self.request, title=self.title)


class Password(Whole, PasswordChangeView):
    """The change of one's own password."""

    template_name = "creatic_accounts/mot_de_passe.html"
    title = "Changer le mot de passe"
    success_url = reverse_lazy("authentication:password_change_done")


class PasswordDone(Whole, PasswordChangeDoneView):
    """Says that it is changed."""

    template_name = "creatic_accounts/mot_de_passe_change.html"
    title = "Mot de passe changé"


class Root(View):
    """The root: the home page where it is a whole page, Mayan's frame otherwise."""

    def get(self, request: Any) -> Any:
        """Lead there."""
        if setting_home_view.value.startswith("common:") or request.user.is_superuser:
            return RootView.as_view()(request)
        return HttpResponseRedirect(reverse(setting_home_view.value))
