"""What a password of Mayan must be, beside Django's own rules: ANSSI's, three kinds of characters at least; and chosen
by who uses it: with the first one, which somebody else knows, nothing can be done but changing it. A token that was
got by a password ends with it, and with the working day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from creatic_accounts import guard
from creatic_accounts.models import login_of
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from mayan.apps.authentication_attempts.authentication_classes import LoginAttemptTokenAuthentication
from rest_framework.authentication import BasicAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, PermissionDenied

_GED_CHARACTER_KINDS = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())
_MIN_CHARACTER_KINDS = 3
_HELP = "Le mot de passe mêle au moins trois sortes de caractères : minuscules, majuscules, chiffres, autres signes."
_UNCHANGED_MESSAGE = "Le nouveau mot de passe diffère de l'actuel."
# Who is in it has a password of their own. Somebody who lost theirs is taken out of it: mayan_config leaves it alone.
CHOSEN = "Mots de passe choisis"
SERVICE = "passerelle"  # a program's account, whose password no person has
TOKEN_HOURS = 10  # as a session
_OVER = "Ce jeton est périmé. À faire : demandez-en un autre (POST /api/v4/auth/token/obtain/)."
WAITS = (
    "Votre mot de passe est provisoire. À faire : choisissez le vôtre (menu à votre nom, « Changer le mot de passe »)."
)


class Mixed:
    """Refuses a password of one or two kinds of characters."""

    def validate(self, password: str, user: object = None) -> None:
        if sum(any(kind(letter) for letter in password) for kind in _GED_CHARACTER_KINDS) < _MIN_CHARACTER_KINDS:
            raise ValidationError(_HELP, code="password_not_mixed")

    def get_help_text(self) -> str:
        return _HELP


class Other:
    """Refuses the present password as a new one."""

    def validate(self, password: str, user: Any = None) -> None:
        if user is not None and user.pk and user.check_password(password):
            raise ValidationError(_UNCHANGED_MESSAGE, code="password_not_other")

    def get_help_text(self) -> str:
        return _UNCHANGED_MESSAGE


def is_service(user: Any) -> bool:
    """Whether it is the passerelle's account: of that login, and no commune's."""
    return login_of(user) == SERVICE and not user.known.commune


def waits(user: Any) -> bool:
    """Whether somebody still has the password that was handed to them."""
    if not user.is_authenticated or user.is_superuser or user.groups.filter(name=CHOSEN).exists():
        return False
    return not is_service(user)


def check_chosen(user: Any) -> None:
    """Refuse a call of the API by who still has the password that was handed to them.

    Raises:
        PermissionDenied: with what to do.
    """
    if waits(user):
        raise PermissionDenied(WAITS)


def older(part: float) -> dt.datetime:
    """When tokens were made that have lived a part (0 to 1) of their time."""
    return timezone.now() - part * dt.timedelta(hours=TOKEN_HOURS)


def _password_hash(user: Any) -> str:
    return str(get_user_model().objects.values_list("password", flat=True).get(pk=user.pk))


class ChosenPassword:
    """Notes who changed the password that was handed to them. Until then, `doors` leads them to that page alone."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        if request.method != "POST" or request.path != reverse("authentication:password_change_view"):
            return self._get_response(request)
        if not waits(request.user):
            return self._get_response(request)
        before = _password_hash(request.user)
        answer = self._get_response(request)
        if _password_hash(request.user) != before:
            with guard.ours():
                Group.objects.get_or_create(name=CHOSEN)[0].user_set.add(request.user)
        return answer


class _Chosen:
    """An authentication of the API that a first password does not pass."""

    def authenticate(self, request: Any) -> Any:
        found = super().authenticate(request)  # type: ignore[misc] # the class beside it
        if found:
            check_chosen(found[0])
        return found


class _ExpiredTokenError(APIException):
    """What a program asks another token after: 403, which a session gets, says that nothing is to be done."""

    status_code = 401


def token_of(row: Any) -> str:
    """The token that somebody is given: what the database has of it opens nothing, whoever comes to read it."""
    return f"{row.key}.{salted_hmac('creatic_passwords.token', row.key, algorithm='sha256').hexdigest()}"


class Token(_Chosen, LoginAttemptTokenAuthentication):
    """A token, for as long as it lasts."""

    def authenticate(self, request: Any) -> Any:
        try:
            return super().authenticate(request)
        except AuthenticationFailed as error:
            raise _ExpiredTokenError(error.detail) from None

    def authenticate_credentials(self, key: str) -> Any:
        found = super().authenticate_credentials(key.partition(".")[0])
        if not constant_time_compare(key, token_of(found[1])):
            raise AuthenticationFailed(_OVER)
        if found[1].created < older(1):
            found[1].delete()
            raise AuthenticationFailed(_OVER)
        return found


class Basic(_Chosen, BasicAuthentication):
    """Name and password."""
