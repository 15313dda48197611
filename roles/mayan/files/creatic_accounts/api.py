"""What the rollout asks of accounts, the tokens they are given, and the events of their pages."""

from __future__ import annotations

from typing import Any

import creatic_passwords
from django.contrib.auth import get_user_model
from django.db import transaction
from django.http import HttpResponse
from mayan.apps.rest_api.api_views import BrowseableObtainAuthToken
from mayan.apps.server_side_events.api_views import APIEventStreamView
from mayan.apps.server_side_events.classes import ServerEventStreamBackend
from mayan.apps.user_management.serializers import UserSerializer
from rest_framework.authtoken.models import Token
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.views import APIView

from .models import Known

EVENTS_EVERY = 5  # seconds


class _Administrator(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return bool(request.user and request.user.is_superuser)


class Accounts(APIView):
    """Accounts that are known."""

    permission_classes = (_Administrator,)
    schema = None

    def get(self, request: Any) -> Response:
        """All of them, by number: the name that an account bears says nothing."""
        found = Known.objects.order_by("login").values_list("user_id", "login", "commune")
        listed = [{"id": number, "login": login, "commune": commune} for number, login, commune in found]
        return Response({"results": listed})

    def post(self, request: Any) -> Response:
        """Make one, as Mayan makes users, and know it: both or none."""
        serializer = UserSerializer(data=request.data, context={"request": request})
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            user = serializer.save()
            Known.objects.create(user=user, login=user.get_username(), commune=str(request.data.get("commune") or ""))
        return Response({"id": user.pk}, status=201)


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
        return Response({"token": token.key})


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
            f"retry: {EVENTS_EVERY * 1000}\nid: {last}\n\n{told}", content_type="text/event-stream; charset=utf-8"
        )
        answer["Cache-Control"] = "no-cache"
        return answer
