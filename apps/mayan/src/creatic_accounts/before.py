"""What stands before every view of Mayan's: who may reach it, and for whom it is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import creatic_passwords
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.db import DataError
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from . import doors, guard, pages, shares

_API_PREFIX = "api/"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_LOG_IN = "identifiez-vous. À faire : demandez un jeton (POST /api/v4/auth/token/obtain/)"
_CLOSED_ADDRESS_MESSAGE = (
    "cette adresse n'est pas ouverte à votre compte. À faire : revenez à l'accueil ; si votre travail la demande, "
    "dites-le au groupement"
)
_NULL_CHARACTER_MESSAGE = (
    "Ce qui est demandé contient un caractère nul, qu'aucun texte n'a ici. À faire : recommencez sans ce caractère ; "
    "rien n'a été changé."
)


def _holds_nul(request: Any) -> bool:
    """Whether a request asks, before its body is read, for a text that PostgreSQL has not."""
    asked = (request.path, unquote(request.META.get("QUERY_STRING", "")), *request.COOKIES.values())
    return any("\0" in one for one in asked)


def _is_nul(error: Exception) -> bool:
    """Whether the database's client refused one: of a body, or of an Authorization (psycopg 3.3, `StrDumper`)."""
    return isinstance(error, DataError) and "NUL (0x00)" in str(error)


def _refuse_null_character(request: Any) -> HttpResponse:
    if request.path.startswith(f"/{_API_PREFIX}"):
        return JsonResponse({"detail": _NULL_CHARACTER_MESSAGE}, status=400)
    return HttpResponse(_NULL_CHARACTER_MESSAGE, "text/plain; charset=utf-8", status=400)


class Acting:
    """Knows for whom a request is answered, and says why it is refused."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        with guard.answering(request):
            return self._get_response(request)

    def process_exception(self, request: Any, exception: Exception) -> HttpResponse | None:
        """Show a refusal on a page of Mayan's, or as JSON."""
        if _is_nul(exception):
            return _refuse_null_character(request)
        return _refusal_response(request, exception) if isinstance(exception, guard.ChangeDeniedError) else None


def _refusal_response(request: Any, refusal: guard.ChangeDeniedError) -> HttpResponse:
    if request.path.startswith(f"/{_API_PREFIX}"):
        return JsonResponse({"detail": str(refusal)}, status=403)
    return pages.refused(request, str(refusal))


class Doors:
    """Opens what is listed, and says why nothing else is."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        return _refuse_null_character(request) if _holds_nul(request) else self._get_response(request)

    def process_view(self, request: Any, _view: Any, _arguments: Any, _named: Any) -> HttpResponse | None:
        """Before any view of Mayan's."""
        where, here = doors.address(request.resolver_match.route), doors.here(request)
        if doors.may(doors.Role.VISITOR, request.method, where):
            return None
        user = request.user
        if where.startswith(_API_PREFIX) and not user.is_authenticated:
            try:
                user = self._authenticate_request(request)
            except APIException as error:
                return JsonResponse({"detail": str(error.detail)}, status=error.status_code)
            except DataError as error:
                if not _is_nul(error):
                    raise
                return _refuse_null_character(request)
        request.creatic_role = role = doors.role_of(user, here)
        if not doors.may(role, request.method, where):
            return self._refuse_request(request, role, where)
        if role is not doors.Role.PERSON or request.method in _SAFE_METHODS:
            return None
        try:
            shares.check(user, int(request.META.get("CONTENT_LENGTH") or 0))
        except guard.ChangeDeniedError as error:
            return _refusal_response(request, error)
        return None

    def _authenticate_request(self, request: Any) -> Any:
        """Who asks by a token, or by a name and a password."""
        asked = Request(request)
        for one in (creatic_passwords.Token(), creatic_passwords.Basic()):
            found = one.authenticate(asked)
            if found:
                request.creatic_found = found
                return found[0]
        return AnonymousUser()

    def _refuse_request(self, request: Any, role: doors.Role, where: str) -> HttpResponse:
        change = reverse("authentication:password_change_view")
        if where.startswith(_API_PREFIX):
            said = {doors.Role.VISITOR: _LOG_IN, doors.Role.FIRST: creatic_passwords.WAITS}.get(
                role, _CLOSED_ADDRESS_MESSAGE
            )
            return JsonResponse(
                {"detail": said[:1].upper() + said[1:]}, status=401 if role is doors.Role.VISITOR else 403
            )
        if role is doors.Role.VISITOR:
            return redirect_to_login(request.get_full_path())
        if role is doors.Role.FIRST:
            return HttpResponseRedirect(change)
        return pages.refused(request, _CLOSED_ADDRESS_MESSAGE)
