"""Reminders of deadlines by e-mail, once a day (parapheur-rappels.timer)."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Any

from django.contrib.auth import get_user_model
from django.core.mail import EmailMessage, get_connection
from django.core.management.base import BaseCommand
from django.utils import timezone

from ... import circuit
from ...configuration import current

AHEAD = 2  # days before the deadline


def letter(dossiers: list[Any], url: str) -> str:
    """What somebody is written."""
    today = timezone.localdate()
    lines = ["Bonjour,", "", "Dans le parapheur, ces dossiers vous attendent :", ""]
    for one in dossiers:
        late = "EN RETARD, " if one.echeance < today else ""
        number = f"{one.numero} " if one.numero else ""
        lines.append(f"- {number}{one.objet} ({one.etat_nom}) : {late}échéance le {one.echeance:%d/%m/%Y}")
    return "\n".join([*lines, "", f"À traiter : {url}/#/parapheur/", ""])


class Command(BaseCommand):
    """Writes to each person whose dossiers are late or nearly so."""

    help = "Rappelle par courriel les dossiers du parapheur dont l'échéance approche."

    def handle(self, **_options: Any) -> None:
        """Send; one that fails does not stop the others."""
        known = current()
        mail = known.mail
        until = timezone.localdate() + dt.timedelta(days=AHEAD)
        logins = sorted({login for commune in known.communes.values() for login in commune.people()})
        failed = 0
        with get_connection(
            "django.core.mail.backends.smtp.EmailBackend",
            host=mail["relais"], port=mail["port"], timeout=30,
        ) as connection:  # fmt: skip
            for user in get_user_model().objects.filter(username__in=logins, is_active=True).exclude(email=""):
                late = list(circuit.to_do(user).filter(echeance__lte=until))
                if not late:
                    continue
                count = f"{len(late)} dossiers attendent" if len(late) > 1 else "1 dossier attend"
                message = EmailMessage(
                    f"Parapheur : {count}", letter(late, known.url), mail["expediteur"], [user.email],
                    connection=connection,
                )  # fmt: skip
                try:
                    message.send()
                    self.stdout.write(f"{user.get_username()} : {count}")
                except OSError as error:
                    failed += 1
                    self.stderr.write(f"{user.get_username()} : courriel non parti ({error})")
        if failed:
            sys.exit(1)
