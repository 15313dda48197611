"""What a password of Mayan must be, beside Django's own rules: ANSSI's, three kinds of characters at least; and chosen
by who uses it: with the first one, which somebody else knows, nothing can be done but changing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.http import HttpResponseRedirect, JsonResponse
from django.urls import reverse
from mayan.apps.authentication_attempts.authentication_classes import LoginAttemptTokenAuthentication
from rest_framework.authentication import BasicAuthentication
from rest_framework.exceptions import PermissionDenied

_KINDS = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())
_ASKED = 3
_HELP = "Le mot de passe mêle au moins trois sortes de caractères : minuscules, majuscules, chiffres, autres signes."
_OTHER = "Le nouveau mot de passe diffère de l'actuel."
# Who is in it has a password of their own. Somebody who lost theirs is taken out of it: mayan_config leaves it alone.
CHOSEN = "Mots de passe choisis"
SERVICE = "passerelle"  # a program's account, whose password no person has
_WAITS = (
    "Votre mot de passe est provisoire. À faire : choisissez le vôtre (menu à votre nom, « Changer le mot de passe »)."
)

# What Mayan draws around any page, and the way out: they show nothing of anybody's.
_FRAME = ("common:root", "authentication:logout_view")
_CALLS = ("/favicon.ico", "/locales/jsi18n/", "/api/v4/templates/", "/api/v4/server_side_events/stream/")


class Mixed:
    """Refuses a password of one or two kinds of characters."""

    def validate(self, password: str, user: object = None) -> None:
        if sum(any(kind(letter) for letter in password) for kind in _KINDS) < _ASKED:
            raise ValidationError(_HELP, code="password_not_mixed")

    def get_help_text(self) -> str:
        return _HELP


class Other:
    """Refuses the present password as a new one."""

    def validate(self, password: str, user: Any = None) -> None:
        if user is not None and user.pk and user.check_password(password):
            raise ValidationError(_OTHER, code="password_not_other")

    def get_help_text(self) -> str:
        return _OTHER


def waits(user: Any) -> bool:
    """Whether somebody still has the password that was handed to them."""
    if not user.is_authenticated or user.is_superuser or user.get_username() == SERVICE:
        return False
    return not user.groups.filter(name=CHOSEN).exists()


class ChosenPassword:
    """Leads who has a first password to the page where it is changed, whatever they ask for."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        if not waits(request.user):
            return self._get_response(request)
        change = reverse("authentication:password_change_view")
        if request.path == change:
            answer = self._get_response(request)
            if request.method == "POST" and answer.status_code == 302:
                Group.objects.get_or_create(name=CHOSEN)[0].user_set.add(request.user)
            return answer
        if request.path in map(reverse, _FRAME) or request.path.startswith(_CALLS):
            return self._get_response(request)
        if request.path.startswith("/api/"):
            return JsonResponse({"detail": _WAITS}, status=403)
        return HttpResponseRedirect(change)


class _Chosen:
    """An authentication of the API that a first password does not pass."""

    def authenticate(self, request: Any) -> Any:
        found = super().authenticate(request)  # type: ignore[misc] # the class beside it
        if found and waits(found[0]):
            raise PermissionDenied(_WAITS)
        return found


class Token(_Chosen, LoginAttemptTokenAuthentication):
    """A token."""


class Basic(_Chosen, BasicAuthentication):
    """Name and password."""
