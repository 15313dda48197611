"""The communes' connectors: what they have to send, and what they say of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import psycopg

from creatic_agent.act import SERVERS

from . import room
from .acts import FAILED, BadRequest, nature, unsaid, unsigned
from .config import Commune
from .files import Files
from .steps import FINISHED, FOLLOWED, PES, place
from .store import Store, Tracked

# What the connector is given for the archive alone: it does not go out.
KEPT = "conserver"
_SAID = (
    "SELECT count(*) FROM passage WHERE reference = %s AND le > now() - interval '1 day' AND etape ^@ 'connecteur: '"
)
_NUMBER_MAX = 100  # characters of an identifier; all pages, lists and figures are made of it
_REASON_MAX = 8000  # characters: Helios refuses a flow by its elements, each with its reason


class Connectors:
    """What the connectors are given, and what is heard of them."""

    def __init__(
        self,
        store: Store,
        files: Files,
        defer: Callable[[psycopg.Connection[Any], str], None],
        on_step: Callable[[str], None],
    ) -> None:
        self._store, self._files, self._defer, self._step = store, files, defer, on_step

    def to_send(self, commune: Commune, keeps: bool = False) -> list[dict[str, Any]]:
        """What a commune's connector has to send, `fichier` and annexes being named by their SHA-256.

        Args:
            keeps: with what it has to archive without sending it, that an older connector would send.
        """
        found = []
        for act in self._store.to_send(commune.slug):
            if _lacks(act):
                with self._store.transaction() as connection:
                    # As it is: a person may have said meanwhile what it lacked.
                    if problem := _lacks(self._store.lock(connection, act.reference)):
                        self._store.change(connection, act.reference, blocked=problem)
                        self._store.note(connection, act.reference, "blocage", problem)
                continue
            if not act.goes and not keeps:
                continue
            sent: dict[str, Any] = {
                **act.named(SERVERS, "reference", "number", "date", "subject", "matter"),
                "sha256": act.document,
                "annexes": [{"nom": one.name, "sha256": one.sha256} for one in act.annexes],
            }
            if act.budget:  # its délibération goes in its envelope (nature 5)
                adopting = {"nom": f"{act.number}.pdf", "sha256": act.document}
                sent |= {"sha256": act.budget.sha256, "annexes": [adopting, *sent["annexes"]]}
            if act.circuit == PES:
                found.append(sent | {"genre": PES})
            else:
                code, kind = nature(act)
                found.append(sent | {"genre": "acte" if act.goes else KEPT, "nature": code, "type": kind})
        return found

    def document(self, commune: Commune, sha256: str) -> Path | None:
        """A document that the commune's connector has to send."""
        for one in self.to_send(commune, keeps=True):
            if sha256 in (one["sha256"], *(annex["sha256"] for annex in one["annexes"])):
                return self._files.path(sha256)
        return None

    def follow(self, commune: Commune, said: dict[str, Any], ar_acte: bytes | None) -> None:
        """Hear a connector. The same thing said again changes nothing. Raises BadRequest."""
        reference, state = str(said.get("reference") or ""), str(said.get("etat") or "")
        with self._store.transaction() as connection:
            # Judged as it is, and not as it was: what was said in between, by the next try of what took too long here,
            # would be undone.
            try:
                act = self._store.lock(connection, reference)
            except KeyError:
                act = None
            if act is None or act.commune != commune.slug:
                raise BadRequest(f"Aucun acte de {commune.name} n'a la référence « {reference[:100]} ».", 404)
            if state not in FOLLOWED + FAILED:
                raise BadRequest(f"Champ « etat » : « {state[:40]} » est inconnu.")
            if state == act.tdt.get("etat") or (state in FOLLOWED and act.reached(state)):
                return
            tdt = self._told(act, commune, said, ar_acte)
            room.check_said(connection, _SAID, reference)
            self._note(connection, act, tdt, str(said.get("motif") or "sans explication")[:_REASON_MAX])
            if state == "acquittee" and ar_acte:
                # Once all of it is taken: nothing removes the file of what is refused, and all share the disk.
                self._files.keep_bytes(ar_acte)
                self._step("aracte: gardé")
        self._step("suivi: noté")

    @staticmethod
    def _told(act: Tracked, commune: Commune, said: dict[str, Any], ar_acte: bytes | None) -> dict[str, Any]:
        """What is known of an act at the TdT once its connector has said this. Raises BadRequest."""
        reference, state, tdt = act.reference, str(said["etat"]), dict(act.tdt)
        sent = place("teletransmission") <= place(act.step) < place(FINISHED)
        if not sent or (state in FAILED and act.reached("acquittee")):
            raise BadRequest(f"« {reference} » n'est pas à transmettre (étape : {act.step}).", 409)
        if state == "versee" and act.circuit != PES and act.goes and not tdt.get("id_acte"):
            # Nothing would be published, nor its ARActe filed. No final refusal: it is said again, in order.
            raise BadRequest(f"« {reference} » : l'accusé de réception vient avant le versement.", 425)
        tdt["etat"] = state
        if state == "acquittee":
            if act.circuit == PES:
                tdt["id_acte"] = _id_flow(act, said)
            else:
                tdt |= {"id_acte": _id_acte(act, commune, said, ar_acte), "date_reception": _day(said)}
            if ar_acte:
                tdt["ar_acte"] = hashlib.sha256(ar_acte).hexdigest()
        if state == "versee" and said.get("archive"):
            tdt["archive"] = str(said["archive"])[:100]
        return tdt

    def _note(self, connection: psycopg.Connection[Any], act: Tracked, tdt: dict[str, Any], reason: str) -> None:
        """Note what is known of an act, which is locked, and have it move on."""
        reference, state, track = act.reference, tdt["etat"], act.track | {"tdt": tdt}
        if state in FAILED:
            refused = "La DGFiP refuse le flux" if act.circuit == PES else "La préfecture refuse l'acte"
            who = refused if state == "refusee" else "Le connecteur ne peut pas transmettre"
            track["echec"] = {"etat": state, "motif": reason}
            self._store.change(connection, reference, blocked=f"{who} : {reason}")
        elif act.track.get("echec"):  # a person had it transmitted all the same
            track["echec"] = None
            self._store.change(connection, reference, blocked="")
        self._store.change(connection, reference, track=track)
        self._store.note(connection, reference, f"connecteur: {state}", reason if state in FAILED else "")
        self._defer(connection, reference)


def _id_acte(act: Tracked, commune: Commune, said: dict[str, Any], ar_acte: bytes | None) -> str:
    """The act's identifier at the préfecture, once it is sure that the ARActe is of this act. Raises BadRequest."""
    number = str(said.get("id_acte") or "")
    wanted = f"-{commune.siren}-{act.date.replace('-', '')}-{act.number}-"
    if wanted not in number:
        raise BadRequest(f"Champ « id_acte » : « {number[:60]} » est celui d'un autre acte.", 409)
    if len(number) > _NUMBER_MAX or not number.isprintable():
        raise BadRequest(f"Champ « id_acte » : {_NUMBER_MAX} caractères au plus, sans caractère de contrôle.")
    if not ar_acte or number.encode() not in ar_acte:
        raise BadRequest("Champ « ar_acte » : l'ARActe de cet acte est attendu (base64).")
    return number


def _lacks(act: Tracked) -> str:
    """Why an act may not be given to the connector yet, or ""."""
    return unsaid(act) or (unsigned(act, act.track) if act.goes else "")


def _id_flow(act: Tracked, said: dict[str, Any]) -> str:
    """What the connector calls a flow that Helios acknowledged: its transaction and its name. Raises BadRequest."""
    number = str(said.get("id_acte") or "")
    if hashlib.sha256(act.reference.encode()).hexdigest()[:12] not in number:
        raise BadRequest(f"Champ « id_acte » : « {number[:60]} » est celui d'un autre flux.", 409)
    return number[:_NUMBER_MAX]


def _day(said: dict[str, Any]) -> str:
    text = str(said.get("date_reception") or "")[:10]
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise BadRequest(f"Champ « date_reception » : « {text} » n'est pas une date (AAAA-MM-JJ).") from None
