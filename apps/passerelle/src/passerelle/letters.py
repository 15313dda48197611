"""The préfecture's letters: brought by the connector, taken and answered by the commune's own people.

A letter's row has what it says of itself (`donnees`) and what was done of it (`suivi`); each gesture is a line of
`lettre_passage`, with who made it. Nothing is ever removed.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb

from . import clocks, room
from .acts import BadRequest
from .config import Commune
from .files import Files
from .returns import keep_announced
from .room import LARGEST
from .store import Store

log = logging.getLogger("passerelle")
PARIS = ZoneInfo("Europe/Paris")
SCHEMA = """
CREATE TABLE IF NOT EXISTS lettre (
  numero bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  commune text NOT NULL,
  tdt bigint NOT NULL,
  donnees jsonb NOT NULL,
  suivi jsonb NOT NULL DEFAULT '{}',
  recu_le timestamptz NOT NULL DEFAULT now(),
  UNIQUE (commune, tdt)
);
CREATE TABLE IF NOT EXISTS lettre_passage (
  numero bigint NOT NULL REFERENCES lettre,
  le timestamptz NOT NULL DEFAULT clock_timestamp(),
  par text NOT NULL,
  fait text NOT NULL,
  detail text NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS lettre_passage_numero ON lettre_passage (numero);
CREATE INDEX IF NOT EXISTS acte_id_acte ON acte (commune, (suivi->'tdt'->>'id_acte'));
CREATE INDEX IF NOT EXISTS lettre_id_acte ON lettre (commune, (donnees->>'id_acte'));
CREATE INDEX IF NOT EXISTS lettre_recu_le ON lettre (recu_le);
"""
KINDS = {
    "courrier": "Courrier simple",
    "pieces": "Demande de pièces complémentaires",
    "observations": "Lettre d'observations",
    "defere": "Déféré au tribunal administratif",
    "": "Courrier de la préfecture",
}
# What the protocol (@CTES) knows of answers, as the page offers it.
ANSWERS = {
    "courrier": {"reponse": "Répondre"},
    "pieces": {"reponse": "Envoyer les pièces", "refus": "Refuser de les envoyer"},
    "observations": {"reponse": "Répondre aux observations", "refus": "Refuser d'y donner suite"},
}
TO_SEND = "a_envoyer"  # the connector said nothing of it yet
# Where an answer ends, as the connector says it; the first two went to the préfet.
_RECEIVED = "acquittee"  # by which it ends: nothing is said of it any more
SENT, FAILED = (_RECEIVED, "transmise"), ("refusee", "a_rapprocher")
PIECES_MAX = 20
LATELY = 16
"""Days within which a letter is told of whatever became of it, with a margin for hours (mail.UNTAKEN)."""
MAILED_MAX = 200
"""Letters of one commune that a turn of mails looks at: the turn is everybody's."""
_FILES_MAX = 50
_YEARS = range(2000, 3000)
# What makes a delay begin again, and nothing of what a letter weighs.
_DATED = """une.donnees->>'id_acte' AS id_acte,
  jsonb_build_object('type', une.donnees->'type', 'recu_le', une.donnees->'recu_le', 'date', une.donnees->'date')
    AS dite,
  jsonb_build_object('etat', une.suivi->'reponse'->'etat', 'date_reception', une.suivi->'reponse'->'date_reception')
    AS reponse"""
_REQUESTS = """SELECT une.* FROM lettre une WHERE commune = %s AND donnees->>'id_acte' = ANY(%s)
  AND donnees->>'etrangere' = '' AND donnees->>'type' = ANY(%s) ORDER BY numero""".replace("une.*", _DATED)
# With each letter, its act, and what asks for something about the same act: all of it makes one delay. No more of them
# than an act may have (room.py): each letter of an act would bring all the others, whoever left them.
_SELECT = f"""SELECT lettre.*, acte.reference, acte.donnees->>'numero' AS acte_numero,
  acte.donnees->>'objet' AS acte_objet, acte.donnees->>'date' AS acte_date,
  acte.suivi->'tdt'->>'date_reception' AS acte_recu_le,
  (SELECT jsonb_agg(jsonb_build_object('donnees', autre.dite, 'reponse', autre.reponse)) FROM (SELECT {_DATED}
    FROM lettre une WHERE une.commune = lettre.commune AND une.donnees->>'id_acte' = lettre.donnees->>'id_acte'
    AND lettre.donnees->>'id_acte' <> '' AND une.donnees->>'etrangere' = '' AND une.numero <> lettre.numero
    AND une.donnees->>'type' IN ('{"', '".join(clocks.WAITING)}') ORDER BY une.numero LIMIT {room.ABOUT_MAX}) AS autre)
    AS autres
  FROM lettre
  LEFT JOIN acte ON acte.commune = lettre.commune AND acte.suivi->'tdt'->>'id_acte' = lettre.donnees->>'id_acte'
  WHERE """  # noqa: S608 - constants of ours
# Of lists, which all communes' figures, mails and connectors are told from: without what is as long as somebody wrote
# it. A day's letters of one commune would have all the memory of a process that is everybody's.
_BRIEF = _SELECT.replace(
    "lettre.*",
    "lettre.numero, lettre.commune, lettre.tdt, lettre.recu_le, lettre.donnees - '{texte,fichiers}'::text[] AS donnees,"
    " lettre.suivi - 'anciennes' #- '{reponse,ar}' #- '{ged,documents}' #- '{ged,envois}' AS suivi",
)
# What may call for a mail long after it came (mail.due): what a person has to do (Letter.open), and an answer of which
# nothing good is known.
_WAITS = f"""(
  COALESCE(suivi->'reponse'->>'etat', '') IN ('{"', '".join((TO_SEND, *FAILED))}')
  OR COALESCE(suivi->'sans_suite', 'null') = 'null' AND (
    COALESCE(suivi->'prise', 'null') = 'null'
    OR COALESCE(suivi->'reponse', 'null') = 'null' AND donnees->>'type' IN ('{"', '".join(ANSWERS)}')))"""
SCHEMA += f"CREATE INDEX IF NOT EXISTS lettre_en_attente ON lettre (commune, numero) WHERE {_WAITS};\n"
_SAID = "SELECT count(*) FROM lettre_passage WHERE numero = %s AND le > now() - interval '1 day' AND par = 'connecteur'"
_GONE = "Une réponse à ce courrier est déjà partie, ou part."
_RECEIPT_MAX = 60_000
"""Bytes of the préfecture's receipt of an answer, one a letter: what its letter counts for has it (room.LEAST)."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SIREN = re.compile(r"[0-9AB]{3}-(\d{9})-\d{8}-\w{1,15}-[A-Z]{2}")  # whose act it is, in its identifier (@CTES)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_HEADS = {b"%PDF-": ".pdf", b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}


@dataclass(frozen=True)
class Letter:
    """A letter, the act that it is about, and what runs."""

    number: int
    commune: str
    tdt: int
    data: dict[str, Any]
    track: dict[str, Any]
    came: datetime
    act: dict[str, str]  # reference, numero, objet, date, recu_le; empty when it is not known here
    clocks: clocks.Clocks

    @property
    def kind(self) -> str:
        return str(self.data["type"])

    @property
    def day(self) -> date:
        """Day from which its delays run: that of its reception."""
        return _day(self.data)

    @property
    def dated(self) -> date | None:
        """Day that it bears, None when it bears none."""
        return _dated(self.data)

    @property
    def answer(self) -> dict[str, Any]:
        """The last answer."""
        return self.track.get("reponse") or {}

    @property
    def answered(self) -> bool:
        return self.answer.get("etat") in SENT

    @property
    def open(self) -> bool:
        """Whether a person has something to do."""
        if not self.track.get("prise") or self.answer.get("etat") in FAILED:
            return not self.track.get("sans_suite")
        return not (self.answer or self.track.get("sans_suite") or self.kind not in ANSWERS)

    @property
    def foreign(self) -> bool:
        """Whether it is about another commune's act."""
        return bool(self.data["etrangere"])

    def late(self, today: date) -> bool:
        """Whether its answer is overdue."""
        return self.open and self.clocks.due is not None and today > self.clocks.due


class Letters:
    """Letters of the communes. Raises BadRequest, psycopg.Error, OSError."""

    def __init__(self, store: Store, files: Files) -> None:
        self._store, self._files = store, files

    # -- from the connector --------------------------------------------------------------------------------

    def announce(self, commune: Commune, told: Mapping[str, Any]) -> list[int]:
        """Take a letter in; gives the ranks of the files that are not here. The same one again changes nothing."""
        try:
            number = int(told["lettre"])
            listed = [
                {"nom": _name(one["nom"]), "sha256": str(one["sha256"]), "octets": int(one["octets"])}
                for one in told["fichiers"]
            ]
            sizes = [int(one["octets"]) for one in told["fichiers"]]
            day = _iso(told["recu_le"])
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise BadRequest(f"Ce n'est pas l'annonce d'un courrier ({error!r}).") from error
        whole = all(_DIGEST.fullmatch(str(one["sha256"])) for one in listed)
        if not day or not 0 < number < 2**63 or len(listed) > _FILES_MAX or not whole:
            raise BadRequest("Un courrier a un jour, un numéro, et 50 fichiers au plus, chacun avec son empreinte.")
        given = told.get("acte")
        act: dict[str, Any] = given if isinstance(given, dict) else {}
        named = _SIREN.fullmatch(_text(told.get("id_acte"), 100))
        siren = named[1] if named else _text(told.get("siren"), 9)  # what a connector says is a claim
        data = {
            "type": str(told.get("type")) if told.get("type") in KINDS else "",
            "numero": _text(told.get("numero"), 30), "id_acte": _text(told.get("id_acte"), 100),
            "acte": {"objet": _text(act.get("objet"), 500), "date": _iso(act.get("date")),
                     "recu_le": _iso(act.get("recu_le"))} if act else {},
            "date": _iso(told.get("date")), "recu_le": day, "texte": _text(told.get("texte"), 4000),
            "defaut": _text(told.get("defaut"), 500), "fichiers": listed,
            "etrangere": siren if siren and siren != commune.siren else "",
        }  # fmt: skip # a table
        with self._store.transaction() as connection:
            known = connection.execute(
                "SELECT 1 FROM lettre WHERE commune = %s AND tdt = %s", (commune.slug, number)
            ).fetchone()
            if known is None:
                room.check(connection, commune, sizes)
                room.check_letter(connection, commune, str(data["id_acte"]))
            made = connection.execute(
                "INSERT INTO lettre (commune, tdt, donnees) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING RETURNING numero",
                (commune.slug, number, Jsonb(data)),
            ).fetchone()
            if made:
                _note(connection, made["numero"], "préfecture", "reçu")
            row = self._locked(connection, commune, tdt=number)
        known, here = row["donnees"]["fichiers"], row["suivi"].get("ici", [])
        if [one["sha256"] for one in known] != [one["sha256"] for one in listed]:
            raise BadRequest(f"« {number} » est déjà le numéro d'un autre courrier.", 409)
        # Whoever announces a digest must bring its content: it may be that of another commune's document.
        return [rank for rank in range(len(known)) if rank not in here]

    def give(self, commune: Commune, tdt: int, rank: int, source: BinaryIO) -> None:
        """Keep a file of a letter that was announced."""
        listed = self._row("lettre.commune = %s AND tdt = %s", commune.slug, tdt)["donnees"]["fichiers"]
        if not 0 <= rank < len(listed):
            raise BadRequest("Ce courrier n'a pas de fichier de ce rang.", 404)
        keep_announced(self._files, source, listed[rank]["sha256"], min(LARGEST, listed[rank]["octets"]))
        with self._store.transaction() as connection:
            row = self._locked(connection, commune, tdt=tdt)
            here = sorted({*row["suivi"].get("ici", []), rank})
            self._change(connection, row, row["suivi"] | {"ici": here})

    def decided(self, commune: Commune) -> list[dict[str, Any]]:
        """What persons decided, and the connector has not said done."""
        found = []
        for row in self._rows("lettre.commune = %s AND lettre.suivi <> '{}' ORDER BY numero", commune.slug):
            track, one = row["suivi"], {"lettre": row["tdt"]}
            answer = track.get("reponse") or {}
            if track.get("prise") and not track.get("lu"):
                one["prise"] = True
            if answer and answer["etat"] not in SENT + FAILED:
                one["reponse"] = {key: answer[key] for key in ("cle", "sens", "fichiers")}
                one["reponse"]["type"] = row["donnees"]["type"]
            if len(one) > 1:
                found.append(one)
        return found

    def whole(self, commune: Commune) -> list[int]:
        """Letters that are here with all their files, as the TdT numbers them: the connector brings the others."""
        where = (
            "jsonb_array_length(COALESCE(lettre.suivi->'ici', '[]')) = jsonb_array_length(lettre.donnees->'fichiers')"
        )
        return [row["tdt"] for row in self._rows(f"lettre.commune = %s AND {where}", commune.slug)]

    def answer_document(self, commune: Commune, tdt: int, sha256: str) -> Path | None:
        """A document of an answer, for the connector that sends it."""
        row = self._row("lettre.commune = %s AND tdt = %s", commune.slug, tdt)
        named = [one["sha256"] for one in (row["suivi"].get("reponse") or {}).get("fichiers", [])]
        return self._files.path(sha256) if sha256 in named else None

    def hear(self, commune: Commune, told: Mapping[str, Any]) -> None:
        """Note what the connector says it did. The same thing again changes nothing."""
        number, state = told.get("lettre"), told.get("etat")
        if not isinstance(number, int):
            raise BadRequest("Champ « lettre » : un numéro est attendu.")
        with self._store.transaction() as connection:
            row = self._locked(connection, commune, tdt=number)
            track = row["suivi"]
            if told.get("lu"):
                if not track.get("lu"):
                    self._change(connection, row, track | {"lu": True})
                    _note(connection, row["numero"], "connecteur", "marqué lu au TdT")
                return
            answer = track.get("reponse") or {}
            if not answer or answer["cle"] != told.get("reponse") or state not in SENT + FAILED:
                raise BadRequest("Cette réponse n'est pas de ce courrier, ou son état est inconnu.", 404)
            if answer["etat"] == state:
                return
            if answer["etat"] == _RECEIVED:
                raise BadRequest("La préfecture a déjà accusé réception de cette réponse.", 409)
            room.check_said(connection, _SAID, row["numero"])
            receipt = str(told.get("ar") or "").encode("utf-8", "replace") if state == _RECEIVED else b""
            kept = 0 < len(receipt) <= _RECEIPT_MAX
            news = {"etat": state, "motif": _text(told.get("motif"), 2000), "fin": _now()}
            news |= {"transaction": _text(told.get("transaction"), 20)}
            news |= {"ar": hashlib.sha256(receipt).hexdigest() if kept else ""}
            news["date_reception"] = _iso(told.get("date_reception")) or (_now()[:10] if state in SENT else "")
            self._change(connection, row, track | {"reponse": answer | news})
            _note(connection, row["numero"], "connecteur", f"réponse {state}", news["motif"])
            if kept:
                self._files.keep_bytes(receipt)  # once all of it is taken: nothing removes it

    # -- what persons do -----------------------------------------------------------------------------------

    def take(self, commune: Commune, number: int, who: str) -> None:
        """A person takes a letter in hand."""
        with self._store.transaction() as connection:
            row = self._locked(connection, commune, numero=number)
            if not row["suivi"].get("prise"):
                self._change(connection, row, row["suivi"] | _taken(connection, row, who))

    def close(self, commune: Commune, number: int, who: str, reason: str) -> None:
        """A person says that no answer leaves from here, and why."""
        reason = _text(reason, 1000)
        if not reason:
            raise BadRequest("Dites pourquoi aucune réponse ne part d'ici (par exemple : répondu sur papier le…).")
        with self._store.transaction() as connection:
            row = self._locked(connection, commune, numero=number)
            track, answer = row["suivi"], row["suivi"].get("reponse") or {}
            if answer and answer["etat"] not in FAILED:
                raise BadRequest("Une réponse est déjà partie, ou part : il n'y a rien à classer.", 409)
            track |= _taken(connection, row, who)
            self._change(connection, row, track | {"sans_suite": {"par": who, "le": _now(), "motif": reason}})
            _note(connection, number, who, "classé sans réponse d'ici", reason)

    def reply(
        self, commune: Commune, number: int, who: str, sense: str, documents: Sequence[tuple[str, BinaryIO]]
    ) -> None:
        """Keep a person's answer, which the connector then sends; its first document is the answer itself."""
        row = self._row("lettre.commune = %s AND numero = %s", commune.slug, number)
        kind = row["donnees"]["type"]
        if row["donnees"]["etrangere"]:
            raise BadRequest("Ce courrier est d'une autre collectivité : signalez-le à la préfecture.", 409)
        if sense not in ANSWERS.get(kind, {}):
            raise BadRequest(f"Le protocole @CTES n'a pas cette réponse à : {KINDS[kind].lower()}.")
        if (given := row["suivi"].get("reponse") or {}) and given["etat"] not in FAILED:
            raise BadRequest(_GONE, 409)  # before its documents, which nothing removes, are kept
        if not documents:
            raise BadRequest("Choisissez le document de la réponse : un PDF, signé s'il doit l'être.")
        if len(documents) > 1 and (kind, sense) != ("pieces", "reponse"):
            raise BadRequest("Cette réponse tient en un seul document : réunissez-les en un PDF.")
        if len(documents) > 1 + PIECES_MAX:
            raise BadRequest(f"{PIECES_MAX} pièces au plus avec une réponse.")
        kept, size = [], 0
        for rank, (name, stream) in enumerate(documents):  # all, before one is kept: nothing removes it
            head = stream.read(8)
            suffix = next((found for start, found in _HEADS.items() if head.startswith(start)), "")
            if not suffix or (rank == 0 and suffix != ".pdf"):
                wanted = "un PDF" if rank == 0 else "un PDF, un PNG ou un JPEG"
                raise BadRequest(f"« {_name(name)} » n'est pas {wanted} : le TdT le refuserait.")
            size += stream.seek(0, io.SEEK_END)
            stream.seek(0)
            kept.append((f"{Path(_name(name)).stem[:80]}{suffix}", stream))
        with self._store.transaction() as connection:
            room.check_answer(connection, commune, size)
        with ExitStack() as stack:
            held = [(name, stack.enter_context(self._files.held(_copy(stream)))) for name, stream in kept]
            connection = stack.enter_context(self._store.transaction())
            row = self._locked(connection, commune, numero=number)
            track, before = row["suivi"], row["suivi"].get("reponse") or {}
            if before and before["etat"] not in FAILED:
                raise BadRequest(_GONE, 409)  # another came at once: of these, nothing stays
            files = [{"nom": name, "sha256": one.keep()} for name, one in held]
            answer: dict[str, Any] = {"cle": secrets.token_hex(16), "sens": sense, "par": who, "le": _now()}
            answer |= {"fichiers": files, "octets": size}
            news: dict[str, Any] = {"reponse": answer | {"etat": TO_SEND}, "sans_suite": None}
            if before:
                news["anciennes"] = [*track.get("anciennes", []), before]
            self._change(connection, row, track | _taken(connection, row, who) | news)
            _note(connection, number, who, ANSWERS[kind][sense], ", ".join(one["nom"] for one in files))

    # -- reading -------------------------------------------------------------------------------------------

    def get(self, commune: Commune, number: int) -> Letter:
        """A letter of a commune. Raises BadRequest when it has none of this number."""
        return self._letter(self._row("lettre.commune = %s AND numero = %s", commune.slug, number))

    def shown(self, commune: str | None, limit: int = 200) -> list[Letter]:
        """The latest letters of a commune, or of each in turn; those that wait for a person first."""
        where = (
            "lettre.numero IN (SELECT numero FROM (SELECT numero, row_number() OVER (PARTITION BY commune ORDER BY"
            " numero DESC) AS rang FROM lettre WHERE %s::text IS NULL OR commune = %s) AS une"
            " ORDER BY rang, numero DESC LIMIT %s) ORDER BY lettre.numero DESC"
        )
        found = self._readable(self._rows(where, commune, commune, limit))
        return sorted(found, key=lambda one: (not one.open, one.clocks.due or date.max if one.open else date.max))

    def waiting(self, limit: int = MAILED_MAX) -> list[Letter]:
        """Letters of which somebody may have to be told, of all communes: what came lately, and what waits.

        Args:
            limit: of each commune. Of one that has more, those of each turn are drawn: all have theirs.
        """
        where = (
            "lettre.numero IN (SELECT numero FROM (SELECT numero, row_number() OVER (PARTITION BY commune ORDER BY"  # noqa: S608 - constants
            f" random()) AS rang FROM lettre WHERE recu_le > now() - interval '{LATELY} days'"
            f" OR ({_WAITS} AND recu_le > now() - interval '1 year')) AS une WHERE rang <= %s) ORDER BY lettre.numero"
        )
        return self._readable(self._rows(where, limit))

    def awaited(self, limit: int) -> list[Letter]:
        """Letters whose answer the préfet awaits within a delay, oldest first: those of each commune in turn."""
        where = (
            "lettre.numero IN (SELECT numero FROM (SELECT numero, row_number() OVER (PARTITION BY commune ORDER BY"
            " numero) AS rang FROM lettre WHERE donnees->>'type' = ANY(%s)"
            " AND COALESCE(suivi->'sans_suite', 'null') = 'null'"
            " AND COALESCE(suivi->'reponse'->>'etat', '') <> ALL(%s)) AS une ORDER BY rang, numero LIMIT %s)"
            " ORDER BY lettre.numero"
        )
        rows = self._rows(where, list(clocks.WAITING), list(SENT), limit)
        return self._readable(rows)

    def requests(self, commune: Commune, acts: Sequence[str]) -> dict[str, list[clocks.Request]]:
        """What makes the préfet's delay of some acts begin again, by the préfecture's identifier of each."""
        with self._store.transaction() as connection:
            rows = connection.execute(
                _REQUESTS.encode(),
                (commune.slug, list(acts), list(clocks.WAITING)),
            ).fetchall()
        found: dict[str, list[clocks.Request]] = {}
        for row in rows:
            data = row["dite"]
            asked = clocks.Request(data["type"], _day(data), _answered(row["reponse"]), _dated(data))
            found.setdefault(row["id_acte"], []).append(asked)
        return found

    def repeated(self, letter: Letter) -> int:
        """Number of the letter that this one repeats, 0 for none."""
        if not letter.data["id_acte"]:
            return 0
        rows = self._rows(
            "lettre.commune = %s AND numero < %s AND lettre.donnees->>'type' = %s AND lettre.donnees->>'id_acte' = %s "
            "AND lettre.donnees->>'date' = %s ORDER BY numero LIMIT 1",
            letter.commune, letter.number, letter.kind, letter.data["id_acte"], letter.data["date"],
        )  # fmt: skip # one call by its parts
        return int(rows[0]["numero"]) if rows else 0

    def history(self, number: int) -> list[dict[str, Any]]:
        """What was done of a letter, in order."""
        with self._store.transaction() as connection:
            query = "SELECT le, par, fait, detail FROM lettre_passage WHERE numero = %s ORDER BY le"
            return connection.execute(query, (number,)).fetchall()

    def document(self, letter: Letter, kind: str, rank: int) -> tuple[Path, str] | None:
        """A file of a letter (`recu`) or of its answer (`reponse`), and its name; None while it is not here."""
        listed = letter.data["fichiers"] if kind == "recu" else letter.answer.get("fichiers", [])
        here = range(len(listed)) if kind == "reponse" else letter.track.get("ici", [])
        return (self._files.path(listed[rank]["sha256"]), listed[rank]["nom"]) if rank in here else None

    def note_mail(self, number: int, mark: str) -> None:
        """Note that somebody was written to."""
        with self._store.transaction() as connection:
            row = connection.execute("SELECT * FROM lettre WHERE numero = %s FOR UPDATE", (number,)).fetchone() or {}
            self._change(connection, row, row["suivi"] | {"courriels": [*row["suivi"].get("courriels", []), mark]})

    # -- rows ----------------------------------------------------------------------------------------------

    def _rows(self, where: str, *values: object, what: str = _BRIEF) -> list[dict[str, Any]]:
        with self._store.transaction() as connection:
            return connection.execute((what + where).encode(), values).fetchall()

    def _row(self, where: str, *values: object) -> dict[str, Any]:
        """One letter, whole."""
        rows = self._rows(where, *values, what=_SELECT)
        if not rows:
            raise BadRequest("Ce courrier n'est pas de votre commune, ou n'est pas ici.", 404)
        return rows[0]

    @staticmethod
    def _locked(connection: psycopg.Connection[Any], commune: Commune, **key: int) -> dict[str, Any]:
        [(name, value)] = key.items()
        query = psycopg.sql.SQL("SELECT * FROM lettre WHERE commune = %s AND {} = %s FOR UPDATE")
        row = connection.execute(query.format(psycopg.sql.Identifier(name)), (commune.slug, value)).fetchone()
        if row is None:
            raise BadRequest("Ce courrier n'est pas de votre commune, ou n'est pas ici.", 404)
        found: dict[str, Any] = row
        return found

    @staticmethod
    def _change(connection: psycopg.Connection[Any], row: Mapping[str, Any], track: dict[str, Any]) -> None:
        connection.execute("UPDATE lettre SET suivi = %s WHERE numero = %s", (Jsonb(track), row["numero"]))

    @classmethod
    def _readable(cls, rows: Sequence[dict[str, Any]]) -> list[Letter]:
        """Letters of many communes: one that cannot be read keeps no other."""
        found = []
        for row in rows:
            try:
                found.append(cls._letter(row))
            except (LookupError, TypeError, ValueError) as error:
                log.error("Courrier %s (%s) laissé, illisible : %r", row["numero"], row["commune"], error)
        return found

    @staticmethod
    def _letter(row: dict[str, Any]) -> Letter:
        data, track = row["donnees"], row["suivi"]
        act = dict(data["acte"])
        if row["reference"]:
            told = {name: row[f"acte_{name}"] or "" for name in ("numero", "objet", "date", "recu_le")}
            act = {"reference": row["reference"]} | told
        received = _iso(act.get("recu_le"))
        others = [
            clocks.Request(
                one["donnees"]["type"], _day(one["donnees"]), _answered(one["reponse"] or {}), _dated(one["donnees"])
            )
            for one in row["autres"] or []
            if one["donnees"]["type"] in clocks.WAITING
        ]
        run = clocks.clocks(
            data["type"],
            _day(data),
            date.fromisoformat(received) if received else None,
            _answered(track.get("reponse") or {}),
            others,
            _dated(data),
        )
        return Letter(row["numero"], row["commune"], row["tdt"], data, track, row["recu_le"], act, run)


def _day(data: Mapping[str, Any]) -> date:
    return date.fromisoformat(data["recu_le"])


def _dated(data: Mapping[str, Any]) -> date | None:
    return date.fromisoformat(data["date"]) if data["date"] else None


def _answered(answer: Mapping[str, Any]) -> date | None:
    """Day on which the préfet had an answer, None while he has none."""
    day = _iso(answer.get("date_reception")) if answer.get("etat") in SENT else ""
    return date.fromisoformat(day) if day else None


def _taken(connection: psycopg.Connection[Any], row: Mapping[str, Any], who: str) -> dict[str, Any]:
    if row["suivi"].get("prise"):
        return {}
    _note(connection, row["numero"], who, "pris en charge")
    return {"prise": {"par": who, "le": _now()}}


def _note(connection: psycopg.Connection[Any], number: int, who: str, what: str, detail: str = "") -> None:
    connection.execute(
        "INSERT INTO lettre_passage (numero, par, fait, detail) VALUES (%s, %s, %s, %s)",
        (number, who[:200], what, detail[:1000]),
    )


def _copy(stream: BinaryIO) -> Any:
    def write(target: BinaryIO) -> None:
        while block := stream.read(1 << 20):
            target.write(block)

    return write


def _now() -> str:
    return datetime.now(PARIS).isoformat(timespec="seconds")


def _iso(value: object) -> str:
    """A day that a letter may bear, or "" for what is none: a delay counted from another would be wrong, or none."""
    try:
        day = date.fromisoformat(str(value or "")[:10])
    except ValueError:
        return ""
    return day.isoformat() if day.year in _YEARS else ""


def _text(value: object, size: int) -> str:
    """What the database and a page may hold of a text from outside."""
    return _CONTROL.sub(" ", str(value if value is not None else "")).encode("utf-8", "replace").decode()[:size].strip()


def _name(value: object) -> str:
    """A name of file that harms nobody's."""
    return (
        re.sub(r"[^\w .()\-]+", "_", _text(value, 200).replace("\\", "/").rpartition("/")[2]).strip(". ") or "document"
    )
