"""Convocations of councils, by mail: what the deliberations' server has ready leaves once for each élu (CGCT L2121-10).

A row says, before the relay has the message, that it is being sent; then what the relay answered. A message of which
nobody knows whether it was taken (a machine that stopped, a relay that fell silent) is never sent again by itself: the
commune is told, and decides. What the relay surely did not take is tried again until the meeting.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import re
import smtplib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from creatic_agent.reasons import because

from .config import Config, is_address
from .deliberations import Deliberations
from .errors import HandoverError, Refused, Trouble
from .store import Store

log = logging.getLogger("passerelle")
SCHEMA = """
CREATE TABLE IF NOT EXISTS convocation (
  seance text NOT NULL,
  version integer NOT NULL,
  elu text NOT NULL,
  essai integer NOT NULL,
  adresse text NOT NULL,
  etat text NOT NULL,
  detail text NOT NULL DEFAULT '',
  le timestamptz NOT NULL DEFAULT clock_timestamp(),
  dit boolean NOT NULL DEFAULT false,
  PRIMARY KEY (seance, version, elu, essai)
);
CREATE INDEX IF NOT EXISTS convocation_a_dire ON convocation (seance, version) WHERE NOT dit;
"""
SENDING, ACCEPTED, REFUSED, UNSURE = "en_cours", "accepte", "refuse", "incertain"
SIZE_MAX = 20_000_000
"""Bytes of the pieces of a convocation, held at once: it leaves without what is more than that."""
_ENCODED = 1.4  # bytes of a message for one of a piece, base64 in lines
_HEADERS = 1000  # bytes, or so, of what announces a piece
_PIECES_MAX = 100
_KINDS = {b"%PDF-": ("application", "pdf"), b"BEGIN:VCALENDAR\r\n": ("text", "calendar")}
_TIMEOUT = 60  # seconds
_PAUSE = 300  # seconds before what the relay put off is tried again
_TURN = 600  # seconds after which a turn begins no mail: the queue restarts a job of twice that, in the middle of one
_DIGEST = re.compile(r"[0-9a-f]{64}")
_UNFIT = re.compile(r'[\x00-\x1f\x7f"\\/]+')

_UNSENDABLE = (
    "aucun courriel ne part vers cette adresse (une seule est attendue, sans accent) : corrigez-la sur la page "
    "« Adresses des élus », puis renvoyez-la, ou remettez la convocation sur papier"
)

# What a mail says of what it does not hold (L2121-12, L2121-13).
_LEFT = (
    "\nCe courriel ne contient pas ce qui est trop lourd pour lui : {}.\nLisez-le dans l'espace des élus, si votre "
    "commune vous y a donné un identifiant, ou demandez-le à la mairie (article L2121-13 du CGCT).\n"
)


class _Later(Exception):
    """The relay surely did not take it, and may take it later; whether the others wait with it."""

    def __init__(self, why: str, alone: bool) -> None:
        super().__init__(why)
        self.alone = alone


class _No(Exception):
    """The relay surely did not take it, and never will."""


class Convocations:
    """Sends what is ready, and tells what became of it.

    Args:
        config: the relay.
        store: the rows.
        server: makes the client of the deliberations' server.
        on_step: hears the name of each point, for tests.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        server: Callable[[], Deliberations],
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config, self._store, self._server, self._step = config, store, server, on_step
        self._later: dict[tuple[str, int, str, int], float] = {}
        self._end_of_turn = 0.0
        self._tried: dict[str, float] = {}  # when a council was last written to: who waits longest is the next

    def turn(self) -> int:
        """Send what is ready, tell what is not told; gives how many mails left. Raises HandoverError, psycopg.Error."""
        if not self._config.mail_relay or "deliberations" not in self._config.servers:
            return 0
        self._recover()
        server, sent, self._end_of_turn = self._server(), 0, time.monotonic() + _TURN
        self._tell(server)
        try:
            for one in sorted(server.convocations(), key=lambda one: self._tried.get(str(one.get("commune")), 0)):
                unsendable = [to for to in _people(one) if _is_elu(to) and not is_address(str(to.get("adresse")))]
                others = [to for to in _people(one) if to not in unsendable]
                wrong = problem({**one, "destinataires": others} if unsendable else one)
                if wrong:
                    log.error("Convocation laissée (%s) : %s", str(one.get("uid"))[:100], wrong)
                    continue
                for to in unsendable:  # one address keeps no other of the council from its convocation
                    self._refuse(one, to)
                try:
                    sent += self._send(server, {**one, "destinataires": others} if unsendable else one)
                except (HandoverError, ValueError) as error:  # one convocation never keeps the others
                    log.warning("Convocation de %s non partie : %s", one["commune"], error)
        except _Later as error:
            log.warning("Le relais de courriel ne prend rien, nouvel essai : %s", error)
        finally:
            self._tell(server)
        return sent

    def _refuse(self, one: Mapping[str, Any], to: Mapping[str, Any]) -> None:
        key = one["uid"], one["version"], to["elu"], to["essai"]
        if self._begin(key, _plain(str(to.get("adresse")).encode("ascii", "replace").decode())):
            self._end(key, REFUSED, _UNSENDABLE)

    # -- rows

    def _recover(self) -> None:
        """What was being sent when the machine stopped: nobody knows. One turn at a time is made."""
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE convocation SET etat = %s, detail = %s, le = clock_timestamp() WHERE etat = %s",
                (UNSURE, "la passerelle s'est arrêtée pendant l'envoi", SENDING),
            )

    def _begin(self, key: tuple[str, int, str, int], address: str) -> bool:
        """Note that a mail is about to leave; False when it was known."""
        with self._store.transaction() as connection:
            made = connection.execute(
                "INSERT INTO convocation (seance, version, elu, essai, adresse, etat) VALUES (%s, %s, %s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                (*key, address, SENDING),
            )
        return bool(made.rowcount)

    def _end(self, key: tuple[str, int, str, int], state: str, detail: str) -> None:
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE convocation SET etat = %s, detail = %s, le = clock_timestamp()"
                " WHERE (seance, version, elu, essai) = (%s, %s, %s, %s)",
                (state, _plain(detail), *key),
            )

    def _undo(self, key: tuple[str, int, str, int]) -> None:
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM convocation WHERE (seance, version, elu, essai) = (%s, %s, %s, %s)", key)

    def _known(self, uid: str, version: int) -> set[tuple[str, int, str, int]]:
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT elu, essai FROM convocation WHERE seance = %s AND version = %s", (uid, version)
            ).fetchall()
        return {(uid, version, row["elu"], row["essai"]) for row in rows}

    def _tell(self, server: Deliberations) -> None:
        """Tell what became of each, until it is heard."""
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM convocation WHERE NOT dit AND etat <> %s ORDER BY seance, version, elu", (SENDING,)
            ).fetchall()
        meetings: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for row in rows:
            meetings.setdefault((row["seance"], row["version"]), []).append(row)
        for (uid, version), told in meetings.items():
            said = [
                {"elu": row["elu"], "etat": row["etat"], "le": row["le"].isoformat(), "detail": row["detail"],
                 "essai": row["essai"]}
                for row in told
            ]  # fmt: skip # one call by its parts
            try:
                server.tell_convocation(uid, version, said)
            except Refused as error:  # the meeting is gone: nobody hears any more
                log.error("Envois de convocation non notés : %s", error)
            except Trouble as error:  # of this meeting: told again at the next turn
                log.error("Envois de convocation pas encore notés : %s", error)
                continue
            with self._store.transaction() as connection:
                connection.execute(
                    "UPDATE convocation SET dit = true WHERE seance = %s AND version = %s AND etat <> %s",
                    (uid, version, SENDING),
                )

    # -- sending

    def _send(self, server: Deliberations, one: Mapping[str, Any]) -> int:
        """Send a convocation to those who have none yet. Raises _Later when the relay takes nothing now."""
        known, now, sent = self._known(one["uid"], one["version"]), time.monotonic(), 0
        waiting = {}
        for to in one["destinataires"]:
            key = one["uid"], one["version"], to["elu"], to["essai"]
            if key not in known and self._later.get(key, 0) <= now:
                waiting[key] = to["adresse"]
        if not waiting or now >= self._end_of_turn:
            return 0
        self._tried[one["commune"]] = now  # before its pieces: those that do not come take their time too
        taken = fitting(one["pieces"], SIZE_MAX)
        contents = {rank: self._fetched(server, one["pieces"][rank]) for rank in taken}
        for key, address in waiting.items():
            if time.monotonic() >= self._end_of_turn or datetime.now(UTC) >= datetime.fromisoformat(one["limite"]):
                break
            try:
                sent += self._post(key, address, one, contents)
            except _Later as error:
                self._later[key] = time.monotonic() + _PAUSE
                if not error.alone:
                    raise
                log.warning("Convocation mise en attente par le relais : %s", error)
        return sent

    @staticmethod
    def _fetched(server: Deliberations, piece: Mapping[str, Any]) -> tuple[str, bytes]:
        content = io.BytesIO()
        digest = server.fetch(piece["url"], content, limit=piece["octets"])
        if digest != piece["sha256"]:
            raise Refused(f"« {_plain(piece['nom'])} » n'est pas le fichier annoncé.")
        return _UNFIT.sub("_", piece["nom"])[:120], content.getvalue()

    def _letter(
        self, key: tuple[str, int, str, int], address: str, one: Mapping[str, Any],
        contents: Mapping[int, tuple[str, bytes]], most: int,
    ) -> tuple[bytes, str]:  # fmt: skip # the signature as one
        """Write a mail that the relay takes.

        Args:
            key: of its row.
            address: of the élu.
            one: the convocation.
            contents: names and bytes of its pieces, by rank, those which were fetched.
            most: bytes that the relay takes, 0 when it does not say.

        Returns:
            The message, and what of its pieces stays behind, in French: nothing keeps the convocation from leaving, its
            delay is the law's (L2121-10 to L2121-12).
        """
        pieces = one["pieces"]
        room = int((most - len(one["texte"]) * 3 - _HEADERS) / _ENCODED) if most else SIZE_MAX
        kept = [rank for rank in fitting(pieces, min(room, SIZE_MAX)) if rank in contents]
        left = ", ".join(
            f"{_plain(piece['nom'])[:80]} ({_megabytes(piece['octets'])})"
            for rank, piece in enumerate(pieces)
            if rank not in kept
        )
        message = EmailMessage(policy=SMTP)
        message["Subject"], message["From"] = _plain(one["objet"]), self._config.mail_sender
        commune = self._config.communes.get(one["commune"])
        if commune is not None and commune.mails:
            message["Reply-To"] = commune.mails[0]
        message["Date"] = datetime.now(UTC)
        message["To"], message["Message-ID"] = address, self._identifier(key)
        text = one["texte"] + (_LEFT.format(left) if left else "")
        message.set_content(text, cte="quoted-printable")  # any relay takes it
        for name, content in (contents[rank] for rank in kept):
            begins = (kind for sign, kind in _KINDS.items() if content.startswith(sign))
            message.add_attachment(content, *next(begins, ("application", "octet-stream")), filename=name)
        return message.as_bytes(), left

    def _post(
        self,
        key: tuple[str, int, str, int],
        address: str,
        one: Mapping[str, Any],
        contents: Mapping[int, tuple[str, bytes]],
    ) -> int:
        try:
            relay = smtplib.SMTP(self._config.mail_relay, self._config.mail_port, timeout=_TIMEOUT)
        except (OSError, smtplib.SMTPException) as error:
            raise _Later(because(error), alone=False) from error
        with contextlib.closing(relay):
            try:
                relay.ehlo_or_helo_if_needed()
            except (OSError, smtplib.SMTPException) as error:
                raise _Later(because(error), alone=False) from error
            said = relay.esmtp_features.get("size", "").strip()
            most = int(said[:18]) if said.isascii() and said.isdecimal() else 0
            content, left = self._letter(key, address, one, contents, most)
            state, detail = self._handed(relay, key, address, content, most)
            if not state:
                return 0
            if left and state != REFUSED:
                detail = f"parti sans ce qui est trop lourd : {left} ; {detail}"
            self._end(key, state, detail)
            self._step(f"noté {state}")
            # What the relay says from here on changes nothing: it answered for the message.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                relay.quit()
        return int(state == ACCEPTED)

    def _handed(
        self, relay: smtplib.SMTP, key: tuple[str, int, str, int], address: str, content: bytes, most: int
    ) -> tuple[str, str]:
        """Hand a message to the relay; gives what to note, nothing when it was known. Raises _Later."""
        try:
            self._offer(relay, address, len(content), most)
        except _No as error:
            return (REFUSED, str(error)) if self._begin(key, address) else ("", "")
        if not self._begin(key, address):
            return "", ""
        self._step("en cours")
        begun = True
        try:
            code, said = relay.data(content)
        except smtplib.SMTPDataError as error:  # it did not want the message to begin
            begun, code, said = False, error.smtp_code, str(error.smtp_error).encode()
        except (OSError, smtplib.SMTPException) as error:
            return UNSURE, f"le relais s'est tu avant de répondre ({type(error).__name__})"
        self._step("pris par le relais")
        text = f"{code} {said.decode(errors='replace')}"
        if begun and 200 <= code < 300:
            return ACCEPTED, text
        if 400 <= code < 500:
            self._undo(key)
            raise _Later(text, alone=True)
        return REFUSED, text

    def _offer(self, relay: smtplib.SMTP, address: str, size: int, most: int) -> None:
        """Say from whom and to whom; nothing of the message has left when this fails. Raises _Later, _No."""
        try:
            if 0 < most < size:
                raise _No(f"le message fait {size} octets, le relais en prend {most} au plus")
            for alone, (code, said) in (
                (False, relay.mail(self._config.mail_sender)),
                (True, relay.rcpt(address)),
            ):
                text = f"{code} {said.decode(errors='replace')}"
                if 400 <= code < 500:
                    raise _Later(text, alone)
                if code not in (250, 251):
                    raise _No(text)
        except (OSError, smtplib.SMTPException) as error:
            raise _Later(because(error), alone=False) from error

    def _identifier(self, key: tuple[str, int, str, int]) -> str:
        """The same for the same mail: who gets it twice all the same is shown one."""
        digest = hashlib.sha256("\0".join(map(str, key)).encode()).hexdigest()[:32]
        return f"<{digest}@{self._config.mail_sender.rpartition('@')[2] or 'passerelle'}>"


def _plain(text: str) -> str:
    return " ".join(_UNFIT.sub(" ", str(text)).split())[:300]


def _megabytes(size: int) -> str:
    return f"{max(size, 100_000) / 1_000_000:.1f} Mo".replace(".", ",")


def fitting(pieces: Sequence[Mapping[str, Any]], room: int) -> list[int]:
    """Ranks of the pieces that go with a mail, the first first: the convocation, the note, then annexes.

    Args:
        pieces: with their size, `octets`.
        room: bytes that are left for them.
    """
    kept = []
    for rank, piece in enumerate(pieces):
        cost = piece["octets"] + _HEADERS
        if cost <= room:
            kept.append(rank)
            room -= cost
    return kept


def problem(one: Mapping[str, Any]) -> str:
    """What is wrong with a convocation as it is announced, or ""."""
    for name in ("uid", "commune", "objet", "texte", "limite"):
        if not isinstance(one.get(name), str) or not one[name].strip() or "\0" in one[name]:
            return f"le champ « {name} » manque."
    try:
        if datetime.fromisoformat(one["limite"]).tzinfo is None:
            return "le champ « limite » n'a pas de fuseau horaire."
    except ValueError:
        return "le champ « limite » n'est pas une date."
    if type(one.get("version")) is not int or not 0 < one["version"] < 10_000:
        return "le champ « version » n'est pas un nombre."
    pieces, people = one.get("pieces"), one.get("destinataires")
    if not isinstance(pieces, list) or len(pieces) > _PIECES_MAX or not all(map(_is_piece, pieces)):
        return "une pièce est mal annoncée."
    if not isinstance(people, list) or not all(map(_is_person, people)):
        return "un destinataire n'a pas une adresse et une seule."
    return ""


def _is_piece(piece: Any) -> bool:
    return (
        isinstance(piece, dict)
        and all(isinstance(piece.get(name), str) for name in ("url", "nom"))
        and bool(_DIGEST.fullmatch(str(piece.get("sha256"))))
        and type(piece.get("octets")) is int
        and piece["octets"] >= 0
    )


def _people(one: Mapping[str, Any]) -> list[Any]:
    people = one.get("destinataires")
    return people if isinstance(people, list) else []


def _is_elu(person: Any) -> bool:
    return (
        isinstance(person, dict)
        and isinstance(person.get("elu"), str)
        and "\0" not in person["elu"]
        and type(person.get("essai")) is int
        and 0 < person["essai"] < 10_000
    )


def _is_person(person: Any) -> bool:
    return _is_elu(person) and is_address(str(person.get("adresse")))
