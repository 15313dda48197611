"""What the rollout asks of accounts, the tokens they are given, and the events of their pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import creatic_passwords
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import Http404, HttpResponse
from mayan.apps.rest_api.api_views import BrowseableObtainAuthToken
from mayan.apps.server_side_events.api_views import APIEventStreamView
from mayan.apps.server_side_events.classes import ServerEventStreamBackend
from mayan.apps.user_management.serializers import UserSerializer
from rest_framework.authtoken.models import Token
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.views import APIView

from .models import Known

EVENTS_INTERVAL_SECONDS = 5  # seconds
PENDING_DUTY_FINDERS: list[Callable[[Any], list[str]]] = []
"""What tells, in French, what is left in somebody's hands: an application adds its own when it is ready."""


class _Administrator(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return bool(request.user and request.user.is_superuser)


class Accounts(APIView):
    """Accounts that are known."""

    permission_classes = (_Administrator,)
    schema = None

    def get(self, request: Any) -> Response:
        """All of them, by number: the name that an account bears says nothing."""
        found = Known.objects.order_by("login").values_list("user_id", "login", "commune", "user__is_active")
        listed = [{"id": one[0], "login": one[1], "commune": one[2], "open": one[3]} for one in found]
        return Response({"results": listed})

    def post(self, request: Any) -> Response:
        """Make one, as Mayan makes users, and know it: both or none. One that was closed is opened again, for who
        comes back to the same commune: with the password that is given, which is to be changed."""
        closed = Known.objects.filter(
            login=str(request.data.get("username") or ""),
            commune__in=("", str(request.data.get("commune") or "")),
            user__is_active=False,
        ).first()
        user = closed.user if closed else None
        serializer = UserSerializer(user, data=request.data, context={"request": request})
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            if user:
                user.is_active = True
                user.groups.remove(*Group.objects.filter(name=creatic_passwords.CHOSEN))
                serializer.save()
                return Response({"id": user.pk}, status=200)
            user = serializer.save()
            Known.objects.create(user=user, login=user.get_username(), commune=str(request.data.get("commune") or ""))
        return Response({"id": user.pk}, status=201)


class OneAccount(APIView):
    """An account that is known, by its login in the communes' files."""

    permission_classes = (_Administrator,)
    schema = None

    def get(self, request: Any, login: str) -> Response:
        """Whose it is, and what is left in their hands."""
        known = _find_known_account(login)
        return Response(
            {
                "commune": known.commune,
                "nom": known.user.get_full_name(),
                "courriel": known.user.email,
                "ouvert": known.user.is_active,
                "en_main": [line for told in PENDING_DUTY_FINDERS for line in told(known.user)],
            }
        )

    def post(self, request: Any, login: str) -> Response:
        """Have a program's account have this password, which the control node keeps; with `essai`, only say whether it
        would change."""
        user, password = _find_known_account(login).user, str(request.data.get("password") or "")
        if not creatic_passwords.is_service(user) or not password:
            raise Http404  # a person's is the person's
        changes = not user.check_password(password)
        if changes and not request.data.get("essai"):
            user.set_password(password)  # its token goes with the former one (guard)
            user.save()
        return Response({"change": changes})

    def delete(self, request: Any, login: str) -> Response:
        """Close it: it stays, for the history names it, and nothing opens with it any more."""
        user = _find_known_account(login).user
        with transaction.atomic():
            user.is_active = False
            user.set_unusable_password()  # its tokens go with the former one (guard); no session outlives an activity
            user.save()
        return Response(status=204)


def _find_known_account(login: str) -> Known:
    found = Known.objects.filter(login=login).select_related("user").first()
    if found is None:
        raise Http404
    return found


class ObtainToken(BrowseableObtainAuthToken):
    """A token for a name and a password, which lasts half of its time at least; none for a first password."""

    authentication_classes = ()  # whoever asks has none, or one that ended
    schema = None

    def post(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Give it."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = serializer.validated_data["user"]
        creatic_passwords.check_chosen(user)
        with transaction.atomic():
            get_user_model().objects.select_for_update(of=("self",)).get(pk=user.pk)  # one request at a time
            Token.objects.filter(user=user, created__lt=creatic_passwords.older(0.5)).delete()
            token, _new = Token.objects.get_or_create(user=user)
        return Response({"token": creatic_passwords.token_of(token)})


class Events(APIEventStreamView):
    """The events of somebody's pages, told at once and ended: the page asks again by itself.

    Mayan's own holds a thread for as long as a page is open, of the few that answer everybody.
    """

    schema = None

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """What came since the last time (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
        stream = ServerEventStreamBackend.get_instance()
        last = request.META.get("HTTP_LAST_EVENT_ID", "")
        if last.isdecimal() and len(last) < 19:
            events, last = stream.get_events(cursor=last, user=request.user)
        else:
            events, last = [], stream.get_initial_cursor(user=request.user)
        told = "".join(event.render() for event in events)
        # The number without an event: the page asks from there.
        answer = HttpResponse(
            f"retry: {EVENTS_INTERVAL_SECONDS * 1000}\nid: {last}\n\n{told}",
            content_type="text/event-stream; charset=utf-8",
        )
        answer["Cache-Control"] = "no-cache"
        return answer
