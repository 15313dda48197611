"""Mails to a commune's DGS and maire about the préfecture's letters: kind, act, dates and a link, no word of a letter;
and, once a week, about the acts that nobody said published nor notified.

What was sent is noted after it left: a crash in between sends it again, none is lost.
"""

from __future__ import annotations

import logging
import re
import smtplib
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from email.message import EmailMessage

from creatic_agent.reasons import because

from . import executory
from .config import Config, is_address
from .letters import FAILED, KINDS, PARIS, TO_SEND, Letter, Letters
from .store import Store, Tracked

log = logging.getLogger("passerelle")
UNTAKEN = (3, 7, 14)
"""Days after which a letter that nobody took, or an answer that nothing says sent, is told of again."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS rappel (
  commune text NOT NULL,
  adresse text NOT NULL,
  semaine text NOT NULL,
  le timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (commune, adresse, semaine)
);
"""
_NAMED = 20  # acts that a mail names
_TIMEOUT = 20  # seconds
_PAUSE = 600  # seconds before an address that failed is tried again
_TURN = (
    300  # seconds after which a turn begins no mail: the queue restarts all that works beside it after four times that
)
_OF_A_COMMUNE = 20  # mails of one commune in a turn: the relay serves all, and the convocations
_AWAY = (smtplib.SMTPConnectError, smtplib.SMTPHeloError, smtplib.SMTPServerDisconnected)
_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")


class NotAnAddress(smtplib.SMTPException):
    """No mail can be sent there, today or tomorrow."""

    def __init__(self) -> None:
        super().__init__(
            "adresse à laquelle aucun courriel ne part (une seule est attendue, sans accent). À faire : corrigez le "
            "courriel de cette personne dans le fichier de la commune"
        )


def _alone(error: Exception) -> bool:
    """Whether an error is of one mail; else the relay is away, and each of the others would wait for it in its turn."""
    return isinstance(error, smtplib.SMTPException | ValueError) and not isinstance(error, _AWAY)


class Post:
    """Sends what is due."""

    def __init__(self, config: Config, letters: Letters) -> None:
        self._config, self._letters = config, letters
        self._later: dict[str, float] = {}
        self._tried: dict[str, float] = {}  # when a commune was last written to: who waits longest is the next

    def send(self, today: date) -> int:
        """Send what is due on a day; gives how many mails left. An address that is refused keeps no other."""
        if not self._config.mail_relay:
            return 0
        sent, end = 0, time.monotonic() + _TURN
        of_each: Counter[str] = Counter()
        for letter in sorted(self._letters.waiting(), key=lambda one: self._tried.get(one.commune, 0)):
            commune = self._config.communes.get(letter.commune)
            for mark, subject, text in due(letter, today, self._config) if commune else ():
                for address in commune.mails if commune else ():
                    own = f"{mark}:{address}"
                    left = self._later.get(f"{letter.number} {own}", 0) - time.time()
                    if own in letter.track.get("courriels", []) or 0 < left <= _PAUSE:
                        continue
                    if time.monotonic() >= end:
                        return sent
                    if of_each[letter.commune] >= _OF_A_COMMUNE:
                        continue
                    of_each[letter.commune] += 1
                    self._tried[letter.commune] = time.monotonic()
                    try:
                        self.write(address, subject, text)
                    except (OSError, ValueError) as error:  # every error of smtplib is an OSError
                        self._later[f"{letter.number} {own}"] = time.time() + _PAUSE
                        log.warning("Courriel à %r non parti, nouvel essai dans 10 min : %s", address, _why(error))
                        if not _alone(error):
                            return sent
                        continue
                    self._letters.note_mail(letter.number, own)
                    sent += 1
        return sent

    def write(self, address: str, subject: str, text: str) -> None:
        """Send one mail. Raises OSError, NotAnAddress, ValueError."""
        if not is_address(address):
            raise NotAnAddress
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = subject, self._config.mail_sender, address
        message["Auto-Submitted"] = "auto-generated"
        message["Date"] = datetime.now(PARIS)
        message.set_content(text)
        with smtplib.SMTP(self._config.mail_relay, self._config.mail_port, timeout=_TIMEOUT) as relay:
            relay.send_message(message)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, NotAnAddress) else because(error)


class Recall:
    """Recalls, once a week, the acts that wait to be made known (CGCT, L2131-1)."""

    def __init__(self, config: Config, store: Store, post: Post) -> None:
        self._config, self._store, self._post = config, store, post
        self._failed: set[str] = set()  # communes at whose mail the relay ended a turn: the last of the next

    def send(self, today: date) -> int:
        """Send this week's; gives how many mails left. What did not leave is tried again at the next turn."""
        if not self._config.mail_relay:
            return 0
        year, week, _day = today.isocalendar()
        sent = 0
        for slug, commune in sorted(self._config.communes.items(), key=lambda one: one[0] in self._failed):
            self._failed.discard(slug)
            marks = [(slug, address, f"{year}-{week:02}") for address in dict.fromkeys(commune.mails)]
            marks = [one for one in marks if not self._told(one)]
            # By commune: the many acts of one hide those of no other.
            waiting = executory.unpublished(self._store, self._config, [slug]) if marks else []
            acts = [one for one in waiting if executory.publicity(one, self._config).late(today)]
            for mark in marks if acts else ():
                address = mark[1]
                try:
                    self._post.write(address, *_recall(acts, self._config))
                except (OSError, ValueError) as error:
                    log.warning("Rappel à %r non parti : %s", address, _why(error))
                    if not _alone(error):
                        self._failed.add(slug)
                        return sent
                    continue
                with self._store.transaction() as connection:
                    told = "INSERT INTO rappel (commune, adresse, semaine) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
                    connection.execute(told, mark)
                sent += 1
        return sent

    def _told(self, mark: tuple[str, str, str]) -> bool:
        with self._store.transaction() as connection:
            query = "SELECT 1 FROM rappel WHERE commune = %s AND adresse = %s AND semaine = %s"
            return connection.execute(query, mark).fetchone() is not None


def _recall(acts: list[Tracked], config: Config) -> tuple[str, str]:
    """Subject and text: numbers, and no word of an act."""
    count = len(acts)
    named = ", ".join(_PLAIN.sub("_", one.number) for one in acts[:_NAMED])
    lines = [
        "Bonjour,",
        "",
        f"Actes signés que rien ne dit publiés, affichés ni notifiés : {count}.",
        "Un acte n'est exécutoire qu'ensuite (CGCT, L2131-1).",
        f"Numéros : {named}{'…' * (count > _NAMED)}",
        "",
        "À faire : publiez-les ou notifiez-les, puis notez-en la date (avec le certificat de votre poste) :",
        f"{config.url}/",
        "",
    ]
    return f"Actes à publier ou à notifier : {count}", "\n".join(lines)


def due(letter: Letter, today: date, config: Config) -> Iterator[tuple[str, str, str]]:
    """Mails that a letter calls for on a day: mark, subject, text. The nearest reminder alone, not those before it."""
    age = (today - letter.came.astimezone(PARIS).date()).days
    if letter.open or age <= max(UNTAKEN):  # a new DGS or maire is not told of what is over
        yield _mail(letter, config, "annonce", "la préfecture a écrit")
    if letter.answer.get("etat") == TO_SEND:
        given = datetime.fromisoformat(letter.answer["le"]).date()
        if past := [days for days in UNTAKEN if (today - given).days >= days]:
            what = (
                "rien ne dit que la réponse est partie : prévenez le groupement, le connecteur ne répond peut-être pas"
            )
            yield _mail(letter, config, f"depart-{letter.answer['cle']}-{max(past)}", what)
    if letter.answer.get("etat") in FAILED:
        yield _mail(letter, config, f"echec-{letter.answer['cle']}", "la réponse n'est pas partie")
    if not letter.open:
        return
    if not letter.track.get("prise"):
        past = [days for days in UNTAKEN if age >= days]
        if past:
            yield _mail(letter, config, f"attente-{max(past)}", "personne n'a pris ce courrier en charge")
    if letter.clocks.due:
        left = (letter.clocks.due - today).days
        near = [days for days in (*config.reminders, -1) if left <= days]
        if near and min(near) == -1:
            yield _mail(letter, config, "echu", "le délai de réponse est passé")
        elif near:
            yield _mail(letter, config, f"rappel-{min(near)}", f"réponse attendue dans {left} jour{'s' * (left > 1)}")


def _mail(letter: Letter, config: Config, mark: str, what: str) -> tuple[str, str, str]:
    kind, number = KINDS[letter.kind], _PLAIN.sub("_", letter.data["numero"])
    named = f"acte {number}" if number else "acte inconnu"
    lines = ["Bonjour,", "", f"{kind}, {named} : {what}.", ""]
    if identifier := _PLAIN.sub("_", letter.data["id_acte"]):
        lines.append(f"Identifiant de l'acte : {identifier}")
    lines += [f"Date du courrier : {letter.dated:%d/%m/%Y}"] if letter.dated else []
    lines.append(f"Reçu le : {letter.day:%d/%m/%Y}")
    if letter.clocks.due and not letter.answered:
        lines.append(f"Réponse attendue au plus tard le : {letter.clocks.due:%d/%m/%Y}")
    lines += ["", "Le courrier, et de quoi y répondre (avec le certificat de votre poste) :"]
    lines += [f"{config.url}/lettres/{letter.number}", ""]
    return mark, f"Préfecture : {kind.lower()}, {named}", "\n".join(lines)
