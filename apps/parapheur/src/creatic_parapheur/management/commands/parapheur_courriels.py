"""Letters to who is awaited: dossiers that arrive (parapheur-arrivees.timer), deadlines (parapheur-echeances.timer).

A relay that is away fails the daily reminders, which always speak to it; arrivals are told at the next turn.
"""

from __future__ import annotations

import datetime as dt
import smtplib
import sys
from typing import Any

from django.core.mail import EmailMessage, get_connection
from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from ... import circuit
from ...configuration import current
from ...models import Dossier, Lettre
from ...reasons import because

REMINDER_LEAD_DAYS = 2  # days before the deadline
_MIN_PERMANENT_SMTP_CODE = 500  # from which a relay's code says that trying again is of no use (RFC 5321, 4.2.1)


def _filter_due_soon(dossiers: QuerySet[Dossier]) -> QuerySet[Dossier]:
    return dossiers.filter(echeance__lte=timezone.localdate() + dt.timedelta(days=REMINDER_LEAD_DAYS))


def _filter_unannounced(dossiers: QuerySet[Dossier]) -> QuerySet[Dossier]:
    return dossiers.exclude(annonce=F("depuis"))


ARRIVALS = "arrivees"
LETTER_FILTERS = {ARRIVALS: _filter_unannounced, "echeances": _filter_due_soon}


def _exclude_announced(dossiers: QuerySet[Dossier], user: Any) -> QuerySet[Dossier]:
    """Without the arrivals that somebody was told of at an earlier turn, when another could not be."""
    told = Lettre.objects.filter(dossier=OuterRef("pk"), depuis=OuterRef("depuis"), compte=user.pk)
    return dossiers.exclude(Exists(told))


def _note_told(dossiers: list[Dossier], user: Any) -> None:
    """Note it at once: a turn that is cut short writes to nobody twice."""
    letters = [Lettre(dossier=one, compte=user.pk, depuis=one.depuis) for one in dossiers]
    Lettre.objects.bulk_create(letters, ignore_conflicts=True)


def _mark_announced(arrivals: set[tuple[int, dt.datetime]]) -> None:
    """Note the dossiers of which all those whom they await were told; forget the letters of these, and of those that
    moved on."""
    for pk, since in arrivals:
        Dossier.objects.filter(pk=pk).update(annonce=since)
    over = Q(dossier__annonce=F("dossier__depuis")) | ~Q(depuis=F("dossier__depuis"))
    Lettre.objects.filter(over).delete()


def letter(dossiers: list[Dossier], url: str) -> str:
    """What somebody is written."""
    today = timezone.localdate()
    lines = ["Bonjour,", "", "Dans le parapheur, ces dossiers vous attendent :", ""]
    for one in dossiers:
        # On its own line, whatever its subject, as a refusal's reason: nobody writes another in the groupement's name.
        named = " ".join(f"{one.numero} {one.objet}".split())
        line = f"- {named} ({one.etat_nom})"
        if one.echeance:
            late = "EN RETARD, " if one.echeance < today else ""
            line += f" : {late}échéance le {one.echeance:%d/%m/%Y}"
        lines.append(line)
        if one.a_completer:
            lines.append("  marché signé : joignez ses pièces, puis dites que son dossier est complet")
        if one.etat == "refuse":
            lines.append(f"  motif du refus ({one.par}) : {' '.join(one.motif.split())}")
    return "\n".join([*lines, "", f"À traiter : {url}/parapheur/", ""])


def _is_permanent_failure(error: Exception) -> bool:
    """Whether an address never is written to: it is none (ValueError, SMTPUTF8), or the relay refuses it for good."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= _MIN_PERMANENT_SMTP_CODE for code, _text in error.recipients.values())
    return isinstance(error, ValueError | smtplib.SMTPNotSupportedError)


class Command(BaseCommand):
    """Writes to each person what awaits them."""

    help = "Écrit par courriel aux personnes attendues : dossiers arrivés, ou échéances proches."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which letters."""
        parser.add_argument("lettres", choices=list(LETTER_FILTERS))

    def handle(self, *, lettres: str, **_options: Any) -> None:
        """Send; one that fails does not stop the others."""
        mail = current().mail
        connection = get_connection(
            "django.core.mail.backends.smtp.EmailBackend", host=mail["relais"], port=mail["port"], timeout=30
        )
        if lettres == ARRIVALS:
            self._send_letters(lettres, connection)
            return
        try:
            with connection:
                failed = self._send_letters(lettres, connection)
        except OSError as error:
            self.stderr.write(f"le relais {mail['relais']}:{mail['port']} ne répond pas ({because(error)})")
            failed = True
        if failed:
            sys.exit(1)

    def _send_letters(self, lettres: str, connection: Any) -> bool:
        """Write to everybody; gives whether something failed."""
        known = current()
        logins = sorted({login for commune in known.communes.values() for login in commune.people()})
        told: set[tuple[int, dt.datetime]] = set()
        failed: set[tuple[int, dt.datetime]] = set()
        lost = False
        for user in circuit.accounts(logins).exclude(email=""):
            found = LETTER_FILTERS[lettres](circuit.to_do(user))
            dossiers = list(_exclude_announced(found, user) if lettres == ARRIVALS else found)
            if not dossiers:
                continue
            count = f"{len(dossiers)} dossiers vous attendent" if len(dossiers) > 1 else "1 dossier vous attend"
            message = EmailMessage(
                f"Parapheur : {count}",
                letter(dossiers, known.url),
                known.mail["expediteur"],
                [user.email],
                headers={"Auto-Submitted": "auto-generated"},
                connection=connection,
            )
            seen = {(one.pk, one.depuis) for one in dossiers}
            try:
                message.send()
                self.stdout.write(f"{user.known.login} : {count}")
            except (OSError, ValueError) as error:
                if connection is not None:
                    connection.close()  # the relay may have hung up at this address: the others are written to anew
                if not _is_permanent_failure(error):
                    failed |= seen
                    self.stderr.write(f"{user.known.login} : courriel non parti ({because(error)})")
                    continue
                lost = True
                self.stderr.write(
                    f"{user.known.login} : aucun courriel ne part vers cette adresse ({because(error)}). À faire : "
                    "corrigez le courriel de cette personne dans le fichier de sa commune"
                )
            if lettres == ARRIVALS:
                _note_told(dossiers, user)
            told |= seen
        if lettres == ARRIVALS:
            _mark_announced(told - failed)
        return lost or bool(failed)
