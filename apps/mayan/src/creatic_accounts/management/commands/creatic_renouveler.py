"""Ends what opens Mayan without a password, and has persons choose theirs again (fab comptes.renouveler)."""

from __future__ import annotations

from typing import Any

from creatic_passwords import CHOSEN
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.core.management.base import BaseCommand
from django.db import transaction
from rest_framework.authtoken.models import Token


class Command(BaseCommand):
    """All or nothing; run again, it does it again."""

    help = "Met fin aux jetons et aux sessions, et fait choisir à chacun un nouveau mot de passe."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """End them. An administrator's and a program's passwords are the control node's: they wait for nobody."""
        with transaction.atomic():
            tokens, _each = Token.objects.all().delete()
            sessions, _each = Session.objects.all().delete()
            group, _new = Group.objects.get_or_create(name=CHOSEN)
            people = group.user_set.count()
            group.user_set.clear()
        self.stdout.write(f"{tokens} jetons et {sessions} sessions finis, {people} mots de passe à choisir de nouveau")
