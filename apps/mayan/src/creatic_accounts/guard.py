"""Who may change an account: an administrator, and never their own.

What is kept is kept at the account itself (signals), whatever page, form or call asks: Mayan has several of each, and a
call that makes others (`batch_requests`). What this host does itself (set-up, jobs) asks nobody.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models.signals import m2m_changed, pre_delete, pre_save
from rest_framework.authtoken.models import Token

# What says who somebody is, and what they may do.
IDENTITY = {
    "username": "l'identifiant",
    "first_name": "le prénom",
    "last_name": "le nom",
    "email": "l'adresse",
    "is_active": "l'activité",
    "is_staff": "le rang",
    "is_superuser": "le rang",
}
_EDIT_COMMUNE_FILE_HINT = (
    "À faire : demandez au groupement de le corriger dans le fichier de votre commune (comptes) ; rien n'a été changé"
)
_request: contextvars.ContextVar[Any] = contextvars.ContextVar("request", default=None)
_ours: contextvars.ContextVar[bool] = contextvars.ContextVar("ours", default=False)


class ChangeDeniedError(PermissionDenied):
    """What is refused; the message is French and says what to do."""


def asking() -> Any:
    """The request that is answered; None for what this host does itself."""
    return _request.get()


@contextmanager
def answering(request: Any) -> Iterator[None]:
    """What is done for a request."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


@contextmanager
def ours() -> Iterator[None]:
    """What this code itself does with groups."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


def _check_account_change(what: str, number: int | None = None) -> None:
    """Refuse a change that is not an administrator's, or is that of their own account.

    Args:
        what: is changed.
        number: of the account.

    Raises:
        Kept: the reason.
    """
    request = _request.get()
    if request is None or _ours.get():
        return
    actor: Any = getattr(request, "user", None)
    if not getattr(actor, "is_superuser", False):
        raise ChangeDeniedError(f"{what} : personne ne change un compte, le sien compris. {_EDIT_COMMUNE_FILE_HINT}")
    if number is not None and actor.pk == number:
        raise ChangeDeniedError(f"{what} : personne ne change son propre compte. Rien n'a été changé")


def keep_account(sender: Any, instance: Any, raw: bool = False, **_options: Any) -> None:
    """Before an account is written."""
    if raw or (_request.get() is None and instance._state.adding):
        return
    if instance._state.adding:
        _check_account_change(f"nouveau compte « {instance.get_username()} »")
        return
    stored = sender.objects.filter(pk=instance.pk).values("password", *IDENTITY).first()
    if stored is None:
        return
    # Whatever `update_fields` says: a value that is not written changes nothing when it is refused.
    odd = [name for name in IDENTITY if getattr(instance, name) != stored[name]]
    if odd:
        what = ", ".join(dict.fromkeys(IDENTITY[name] for name in odd))
        _check_account_change(f"compte « {stored['username']} », {what}", instance.pk)
    if instance.password != stored["password"]:
        request = _request.get()
        own = request is not None and getattr(getattr(request, "user", None), "pk", None) == instance.pk
        if own and request.path.startswith("/api/"):
            raise ChangeDeniedError(
                f"compte « {stored['username']} », le mot de passe : l'API ne le change pas. À faire : changez-le par "
                "les pages (menu à votre nom, « Changer le mot de passe »)"
            )
        # Whoever had a token by the former one has none.
        Token.objects.filter(user_id=instance.pk).delete()


def keep_from_deletion(sender: Any, instance: Any, **_options: Any) -> None:
    """Before an account or a group is deleted."""
    account = isinstance(instance, get_user_model())
    _check_account_change(f"{'compte' if account else 'groupe'} « {instance} »", instance.pk if account else None)


def keep_group(sender: Any, instance: Any, raw: bool = False, **_options: Any) -> None:
    """Before a group is written."""
    if not raw:
        _check_account_change(f"groupe « {instance} »")


def keep_members(sender: Any, instance: Any, action: str, **_options: Any) -> None:
    """Before somebody enters or leaves a group."""
    if action.startswith("pre_"):
        _check_account_change(f"groupes de « {instance} »")


def connect() -> None:
    """Keep accounts and groups."""
    user = get_user_model()
    for signal, receiver, sender in (
        (pre_save, keep_account, user),
        (pre_delete, keep_from_deletion, user),
        (pre_save, keep_group, Group),
        (pre_delete, keep_from_deletion, Group),
        (m2m_changed, keep_members, user.groups.through),
        (m2m_changed, keep_members, user.user_permissions.through),
    ):
        signal.connect(receiver, sender=sender, dispatch_uid=f"creatic_accounts.{receiver.__name__}.{sender.__name__}")
