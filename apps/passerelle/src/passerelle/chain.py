"""The chain of hand-overs: one step at a time, each safe to make again.

An act's row says its step; `advance` makes the hand-over of that step, and moves the act on with what was answered.
Killed anywhere, it is made again from the row: the job that makes it is still in the queue. `on_step` hears the name
of each point on the way, for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg

from . import register
from .acts import BadRequest, unsaid, unsigned
from .arrivals import Arrivals
from .config import Config
from .connectors import Connectors
from .files import Files
from .handovers import HandOvers
from .servers import Servers
from .steps import FINISHED, after, place
from .store import Store, Tracked
from .telling import Telling


class Chain:
    """The chain.

    Args:
        config: communes and servers.
        store: the acts.
        files: the documents.
        defer: puts a job in the queue, in a transaction: it makes the act's hand-overs until one is not due.
        on_step: hears the name of each point.

    Attributes:
        arrivals: what comes in.
        connectors: what the communes' connectors are given, and say.
        servers: the servers that it calls.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        files: Files,
        defer: Callable[[psycopg.Connection[Any], str], None],
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config, self._store, self._defer, self._step = config, store, defer, on_step
        self.servers = servers = Servers(config, on_step)
        self._telling = Telling(config, store, files, servers, on_step)
        self._hand_overs = HandOvers(config, store, files, servers, on_step)
        self.arrivals = Arrivals(config, store, files, servers, self._telling, defer, on_step)
        self.connectors = Connectors(store, files, defer, on_step)

    def advance(self, reference: str) -> bool:
        """Make the act's next hand-over; False when none is due. Raises HandoverError, psycopg.Error."""
        act = self._store.get(reference)
        if act is None:
            return False
        act = self._telling.tell(act)
        if act.blocked or act.step == FINISHED:
            return False
        done = self._hand_overs.make(act)
        if done is not None:
            self._move(act, done)
            return True
        if act.late:
            with self._store.transaction() as connection:
                self._store.change(connection, reference, late="")
        return False

    def _move(self, act: Tracked, done: dict[str, Any]) -> None:
        following = after(act.step, self._config, act.commune, act.circuit, act.goes)
        self._step(f"{act.step}: fait")
        with self._store.transaction() as connection:
            now = self._store.lock(connection, act.reference)
            if now.step != act.step:
                return
            track = now.track | done | {"essais": 0}
            self._store.change(connection, act.reference, step=following, track=track, late="")
            self._store.note(connection, act.reference, act.step)
        self._step(f"{act.step}: noté")

    def delay(self, reference: str, reason: str, failed: bool = False) -> int:
        """Note why an act is late; gives how many times this hand-over failed, a server that is away aside."""
        with self._store.transaction() as connection:
            now = self._store.lock(connection, reference)
            tries = int(now.track.get("essais", 0)) + failed
            self._store.change(connection, reference, late=reason, track=now.track | {"essais": tries})
        return tries

    def block(self, reference: str, reason: str) -> None:
        """Put an act among the dead letters."""
        with self._store.transaction() as connection:
            self._store.change(connection, reference, blocked=reason, late="")
            self._store.note(connection, reference, "blocage", reason)

    def qualify(self, reference: str, nature: str, transmission: str) -> Tracked:
        """Note what a person says of an arrêté that did not leave yet, and have it go on. Raises BadRequest."""
        with self._store.transaction() as connection:
            try:
                now = self._store.lock(connection, reference)
            except KeyError:
                raise BadRequest(f"Aucun acte n'a la référence « {reference} ».", 404) from None
            said = replace(now, nature=nature, transmission=transmission)
            if now.circuit != "arrete" or unsaid(said):
                raise BadRequest(f"« {reference} » n'est pas un arrêté, ou cette nature n'est pas celle d'un arrêté.")
            # Of a commune that sends nothing by this way, none left: one of which nobody said anything is said late.
            stayed = unsaid(now) and not self._config.has(now.commune, "teletransmission")
            if now.tdt or (place(now.step) > place("teletransmission") and not stayed):
                raise BadRequest(f"« {reference} » est déjà parti, ou au-delà : il ne se qualifie plus.", 409)
            step = now.step
            if step == "teletransmission" and not said.goes:
                step = after(step, self._config, now.commune, "arrete", False)
            self._store.change(connection, reference, data=said.data, step=step, blocked="", late="")
            register.qualified(connection, reference, nature)
            self._store.note(connection, reference, "qualifie", f"nature {nature}, transmission : {transmission}")
            self._defer(connection, reference)
        return now

    def retry(self, reference: str) -> Tracked:
        """Take an act up again, as a person asks. Raises BadRequest."""
        with self._store.transaction() as connection:
            try:
                now = self._store.lock(connection, reference)
            except KeyError:
                raise BadRequest(f"Aucun acte n'a la référence « {reference} ».", 404) from None
            if now.step == FINISHED:
                raise BadRequest(f"« {reference} » est au bout de la chaîne : il n'y a rien à relancer.", 409)
            if now.step == "reception" and now.main is None:
                raise BadRequest(f"« {reference} » a été mal annoncé : corrigez-le au serveur des délibérations.", 409)
            track = dict(now.track)
            if track.get("echec"):
                if track["echec"]["etat"] == "refusee":
                    text = "a été refusé pour de bon : il faut un nouvel acte, sous un autre numéro, ou un autre flux."
                    raise BadRequest(f"« {reference} » {text}", 409)
                track |= {"echec": None, "tdt": None}
            step = now.step
            if step == "teletransmission" and unsigned(now, track):  # by a commune that has a parapheur since
                step = after("reception", self._config, now.commune, now.circuit, now.goes)
            self._store.change(connection, reference, step=step, track=track | {"essais": 0}, blocked="", late="")
            self._store.note(connection, reference, "relance")
            self._defer(connection, reference)
        return replace(now, step=step)
