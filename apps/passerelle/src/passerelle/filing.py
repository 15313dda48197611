"""The préfecture's letters, the answers that left and their receipts, filed in the document store beside their act.

An act is filed once, in its turn of the chain; what is written about it comes later, for months. So it has a turn of
its own, which looks for the letters of which something is not filed yet. Each piece is one document, known by the
reference of its act and the digest of its content: filed again, or brought twice under two numbers, it is the same.

A letter whose act is not known here, or not filed, waits; one that names another body's act is never filed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from creatic_agent.act import FILED

from .acts import NATURES
from .config import Config
from .errors import Away, HandoverError
from .files import Files
from .ged import Ged, Piece
from .handovers import mark
from .letters import KINDS, PARIS, SENT, Letter
from .store import Store, Tracked

log = logging.getLogger("passerelle")
_AT_ONCE = 20
_SOON, _LATEST = timedelta(minutes=5), timedelta(days=1)
"""Before a letter that could not be filed is tried again: twice as long each time, since a person mends the cause."""
_MEDIA = {".pdf": "application/pdf", ".xml": "text/xml", ".png": "image/png", ".jpg": "image/jpeg"}
# How far a letter is filed when nothing more is to be: what came, then the answer that the préfet has.
_STAGE = """('recu' || CASE WHEN lettre.suivi->'reponse'->>'etat' = ANY(%(sent)s)
  THEN ':' || (lettre.suivi->'reponse'->>'cle') || ':' || (lettre.suivi->'reponse'->>'etat') ELSE '' END)"""
_DUE = """SELECT une.* FROM (
  SELECT lettre.numero, lettre.tdt, lettre.donnees, lettre.suivi, acte.reference, STAGE AS stade, row_number() OVER
    (PARTITION BY lettre.commune ORDER BY lettre.suivi->'ged'->>'prochain' NULLS FIRST, lettre.numero) AS rang
  FROM lettre JOIN acte ON acte.commune = lettre.commune AND acte.suivi->'tdt'->>'id_acte' = lettre.donnees->>'id_acte'
  WHERE lettre.commune = ANY(%(communes)s) AND lettre.donnees->>'id_acte' <> '' AND lettre.donnees->>'etrangere' = ''
    AND acte.donnees->>'eliminee' IS NULL AND jsonb_typeof(acte.suivi->'ged') = 'array'
    AND jsonb_array_length(COALESCE(lettre.suivi->'ici', '[]')) = jsonb_array_length(lettre.donnees->'fichiers')
    AND COALESCE(lettre.suivi->'ged'->>'classe', '') <> STAGE
    AND COALESCE((lettre.suivi->'ged'->>'prochain')::timestamptz, '-infinity') <= now()
  ) AS une ORDER BY rang, numero LIMIT %(most)s""".replace("STAGE", _STAGE)


class Filing:
    """Files letters. One turn at a time: it alone writes what is filed of them.

    Args:
        ged: makes a client of the document store.
    """

    def __init__(self, config: Config, store: Store, files: Files, ged: Callable[[], Ged]) -> None:
        self._config, self._store, self._files, self._ged = config, store, files, ged

    def turn(self) -> int:
        """File what is due, some of each commune in turn; gives how many letters. A document store that is away ends
        the turn; another trouble is noted with its letter, and keeps no other. Raises Away, psycopg.Error."""
        served = [slug for slug in self._config.communes if self._config.has(slug, "ged")]
        with self._store.transaction() as connection:
            rows = connection.execute(
                _DUE.encode(), {"communes": served, "sent": list(SENT), "most": _AT_ONCE}
            ).fetchall()
        done = 0
        for row in rows:
            act = self._store.get(row["reference"])
            if act is None or act.eliminated or act.circuit not in NATURES:
                continue
            try:
                self._file(row, act)
                done += 1
            except Away:
                self._put_off(row)  # it may be slow with this one alone: the others come first in the next turn
                raise
            except (HandoverError, OSError, LookupError, TypeError, ValueError) as error:
                self._put_off(row, str(error) or type(error).__name__)
        return done

    def _file(self, row: dict[str, Any], act: Tracked) -> None:
        client, commune = self._ged(), self._config.communes[act.commune]
        _nature, _type, kind, cabinet = NATURES[act.circuit]
        kept = dict(row["suivi"].get("ged") or {})
        documents, sent = dict(kept.get("documents") or {}), dict(kept.get("envois") or {})

        def note(**news: Any) -> None:
            kept.update({"documents": documents, "envois": sent} | news)
            self._note(row["numero"], kept)

        for piece in _pieces(row, act, self._files):
            if piece.path.name in documents:
                continue
            progress = sent.setdefault(piece.path.name, {})
            documents[piece.path.name] = client.file(commune, kind, cabinet, piece, act.named(FILED), progress, note)
            sent.pop(piece.path.name)
            note()
        note(classe=row["stade"], le=_now().isoformat(), essais=0, motif="", prochain=None)

    def _put_off(self, row: dict[str, Any], reason: str = "") -> None:
        with self._store.transaction() as connection:  # what was sent of it before the trouble is noted there
            found = connection.execute("SELECT suivi->'ged' AS ged FROM lettre WHERE numero = %s", (row["numero"],))
            kept = dict((found.fetchone() or {}).get("ged") or {})
        tries = int(kept.get("essais") or 0) + bool(reason)
        later = _now() + min(_LATEST, _SOON * 2 ** min(tries, 10))
        self._note(row["numero"], kept | {"essais": tries, "motif": reason[:500], "prochain": later.isoformat()})
        if reason:
            log.warning("Courrier %s pas encore classé dans la GED : %s", row["numero"], reason)

    def _note(self, number: int, kept: dict[str, Any]) -> None:
        with self._store.transaction() as connection:  # nothing else of it: a person may answer it at this moment
            connection.execute(
                "UPDATE lettre SET suivi = suivi || jsonb_build_object('ged', %s::jsonb) WHERE numero = %s",
                (Jsonb(kept), number),
            )


def told(letter: Letter, config: Config) -> str:
    """Where a letter is on its way to the document store, in French; "" for a body that has none."""
    if not config.has(letter.commune, "ged"):
        return ""
    kept = letter.track.get("ged") or {}
    if letter.foreign:
        return "pas classé : il nomme l'acte d'une autre collectivité"
    if kept.get("motif"):
        return f"pas encore classé, ce sera tenté de nouveau. {kept['motif']}"
    if not letter.act.get("reference"):
        return (
            "attend son acte, que la passerelle ne connaît pas ou qui est éliminé. À faire : s'il a été déposé par une "
            "autre voie, classez ce courrier vous-même, à côté de lui"
        )
    if not kept.get("classe"):
        return "attend que son acte soit classé"
    if letter.answered and f":{letter.answer['etat']}" not in kept["classe"]:
        return "classé à côté de l'acte ; sa réponse le sera bientôt"
    return "classé à côté de l'acte" + (", avec la réponse" if letter.answered else "")


def _pieces(row: dict[str, Any], act: Tracked, files: Files) -> list[Piece]:
    """What is to be filed of a letter, each content once: the archive as it came only if not all of it was read."""
    data, answer = row["donnees"], row["suivi"].get("reponse") or {}
    title, day = KINDS[data["type"]], data["date"] or data["recu_le"]
    came = [one for one in data["fichiers"] if one["octets"]]
    if len(came) > 1 and not data["defaut"]:
        came = [one for one in came if not one["nom"].startswith(f"lettre-{row['tdt']}.")]
    found = [(f"{title} du {_french(day)} : {one['nom']}", one["sha256"], one["nom"]) for one in came]
    if answer.get("etat") in SENT:
        about = f"Réponse du {_french(answer['le'])} ({title.lower()})"
        found += [(f"{about} : {one['nom']}", one["sha256"], one["nom"]) for one in answer["fichiers"]]
        if answer.get("ar"):
            receipt = f"AR-reponse-{row['tdt']}.xml"
            found.append((f"Accusé de réception de la réponse ({title.lower()})", answer["ar"], receipt))
    pieces: dict[str, Piece] = {}
    for label, digest, name in found:
        told = mark(act.reference, f"courrier {digest}")
        media = _MEDIA.get(Path(name).suffix.lower(), "application/octet-stream")
        word = told.rpartition(" ")[2]
        pieces.setdefault(digest, Piece(told, word, f"{act.number} - {label}"[:250], files.path(digest), name, media))
    return list(pieces.values())


def _now() -> datetime:
    return datetime.now(PARIS)


def _french(day: str) -> str:
    return datetime.fromisoformat(day).strftime("%d/%m/%Y")
