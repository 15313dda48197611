"""What comes into the chain: adopted acts, signed ones, deposits of operations."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from creatic_agent.act import STAYS, Act, ActError, File

from . import contracts, executory, register, sittings
from . import deliberations as announced
from .acts import CONTRACT, NATURES, BadRequest, unsaid
from .config import Config
from .errors import HandoverError, Refused, Trouble
from .files import Files
from .servers import Servers
from .steps import FINISHED, PES, after
from .store import Store, Tracked
from .telling import CLOSED, TO_PUBLISH, Telling

log = logging.getLogger("passerelle")
# Beginning of the references of what somebody brought to the parapheur.
_BORN_THERE = "parapheur:"


def of_commune(told: dict[str, Any]) -> str:
    """Whose a thing is that a server lists."""
    return str(told.get("commune") or "")


def fairly[T](items: Iterable[T], whose: Callable[[Any], str] = of_commune) -> list[T]:
    """One of each commune in turn: the many of one never keep those of another waiting."""
    rows: dict[str, list[T]] = {}
    for one in items:
        rows.setdefault(whose(one), []).append(one)
    return [one for turn in itertools.zip_longest(*rows.values()) for one in turn if one is not None]


class Arrivals:
    """Looks for what others have ready, and takes it in, once."""

    def __init__(
        self,
        config: Config,
        store: Store,
        files: Files,
        servers: Servers,
        telling: Telling,
        defer: Callable[[psycopg.Connection[Any], str], None],
        on_step: Callable[[str], None],
    ) -> None:
        self._config, self._store, self._files, self._servers = config, store, files, servers
        self._telling, self._defer, self._step = telling, defer, on_step

    def look(self) -> None:
        """Look for what was adopted and what was signed. Raises the first server's failure, after all were asked."""
        failures = []
        looks = (
            ("deliberations", self._look_adopted),
            ("deliberations", self._look_published),
            ("deliberations", self._look_met),
            ("parapheur", self._look_signed),
        )
        for name, action in looks:
            if name in self._config.servers:
                try:
                    action()
                except HandoverError as error:
                    failures.append(error)
        if failures:
            raise failures[0]

    def _look_adopted(self) -> None:
        items = fairly(self._servers.deliberations().adopted())
        known = self._store.known([str(one.get("reference")) for one in items])
        for item in items:
            with self._apart(item):
                self._look_adopted_one(item, known.get(str(item.get("reference"))))

    def _look_published(self) -> None:
        """What somebody published since, and the annexes that were put on line after the act (CGCT, R2131-1)."""
        asked = [*self._store.at("publication"), *self._store.partly_published()]
        waiting = {one.uid: one for one in asked if one.uid}
        found = self._servers.deliberations().publications(list(waiting)) if waiting else {}
        today = datetime.now(executory.PARIS).date()
        for uid, act in waiting.items():
            told, known = found.get(uid, {}), act.track.get("publication") or {}
            day = executory.day_of(told.get("le"))
            if not day or day > today:
                continue
            news = {"le": day.isoformat()} | {key: told.get(key) for key in ("mode", "en_ligne", "annexes")}
            if known and news["annexes"] == len(act.annexes) != known.get("annexes"):
                later = isinstance(known.get("annexes"), int)  # an older server did not tell
                news["entier_le"] = today.isoformat() if later else news["le"]
            if {key: known.get(key) for key in news} != news:
                self._hear(act.reference, {"publication": known | news}, "")

    def _look_met(self) -> None:
        """Papers of meetings whose procès-verbal was settled since, for the dossiers de preuve of their acts."""
        waiting = {one.uid: one for one in self._store.unproven()}
        client = self._servers.deliberations()
        found = client.meetings(list(waiting)) if waiting else {}
        for uid in [one for one in waiting if one in found]:  # by chance, as they are asked for: none is always behind
            with self._apart({"reference": waiting[uid].reference}):
                meeting = sittings.read(found[uid])
                for one in meeting.papers:
                    if not self._files.path(one.sha256).is_file():
                        kept = self._files.keep(partial(client.fetch, one.url))
                        if kept != one.sha256:
                            raise Refused(f"« {one.name} » n'est pas la pièce annoncée (empreinte différente).")
                self._store.remember(waiting[uid], seance=meeting.kept())

    @contextmanager
    def _apart(self, item: dict[str, Any]) -> Iterator[None]:
        """What cannot be made of one thing that was listed never keeps the others."""
        try:
            yield
        except psycopg.OperationalError:
            raise
        except (psycopg.Error, KeyError, TypeError, ValueError, Refused, Trouble) as error:
            log.error("« %s » est laissé : %r", str(item.get("reference"))[:100], error)

    def _look_adopted_one(self, item: dict[str, Any], known: Tracked | None) -> None:
        wrong = announced.problem(item)
        reference = str(item.get("reference") or "")
        if wrong and not reference:
            log.error("Délibération adoptée sans référence, laissée : %s", wrong)
            return
        commune = str(item.get("commune") or "")
        if not wrong and commune not in self._config.communes:
            wrong = f"la commune « {commune} » n'est pas de celles que sert la passerelle."
        if wrong:
            wrongly = Act(number=str(item.get("numero", "")), subject=str(item.get("objet", "")))
            blocked = f"Délibération mal annoncée : {wrong}"
            self.take(reference, commune, wrongly.to_wire(), "reception", blocked=blocked)
            return
        act = _announced(item)
        if known is None:
            self.take(reference, commune, act.to_wire(), "reception")
        elif known.main is None:
            self._correct(reference, commune, act)
        else:
            self._end(known, "deliberations", self._telling.for_deliberations(known))

    def _end(self, act: Tracked, server: str, wanted: str) -> None:
        """An act which went through before its end could be told: it is now."""
        if act.step == FINISHED and wanted in (TO_PUBLISH, CLOSED) and act.track.get("dit", {}).get(server) != wanted:
            with self._store.transaction() as connection:
                self._defer(connection, act.reference)

    def _correct(self, reference: str, commune: str, act: Act) -> None:
        """An act that was badly announced is announced well now."""
        with self._store.transaction() as connection:
            self._store.change(connection, reference, commune=commune, data=act.to_wire(), blocked="")
            self._store.note(connection, reference, "corrige")
            self._defer(connection, reference)

    def take(
        self, reference: str, commune: str, data: dict[str, Any], step: str, blocked: str = "", **track: Any
    ) -> bool:
        """Take an act in, as `Act.to_wire` tells it, once; False when it is known."""
        with self._store.transaction() as connection:
            if not self._store.add(connection, reference, commune, data, step):
                return False
            register.inscribe(connection, Act.from_wire(data, reference=reference, commune=commune))
            if track:
                self._store.change(connection, reference, track=track)
            if blocked:
                self._store.change(connection, reference, blocked=blocked)
                self._store.note(connection, reference, "blocage", blocked)
            else:
                self._defer(connection, reference)
        self._step("entrée: notée")
        return True

    def deposit(self, commune: str, data: dict[str, Any], content: bytes) -> str:
        """Take in an act that no server holds (operations' command), told as by `Act.to_wire`; gives its reference.
        Raises BadRequest.
        """
        if commune not in self._config.communes:
            raise BadRequest(f"La commune « {commune} » n'est pas de celles que sert la passerelle.")
        if b"%PDF-" not in content[:1024]:  # blank lines may come first
            raise BadRequest("Le fichier n'est pas un PDF.")
        digest = self._files.keep_bytes(content)
        told = Act.from_wire(data)
        act = replace(told, main=File(f"{told.number}.pdf", digest))
        reference = f"depot:{commune}:{act.number}"
        if problem := unsaid(act):
            raise BadRequest(problem.partition(" À faire")[0] + " Ajoutez --nature et --transmission.")
        step = after("reception", self._config, commune, act.circuit, act.goes)
        if not self.take(reference, commune, act.to_wire(), step):
            known = self._store.get(reference)
            if known and (known.main is None or known.main.sha256 != digest):
                raise BadRequest(f"{reference} est déjà dans la chaîne, avec un autre fichier.", 409)
        return reference

    def _look_signed(self) -> None:
        client = self._servers.parapheur()
        # A contract goes once the commune says that its file is complete; an older parapheur does not tell.
        listed = list(client.listed("a_teletransmettre"))
        contracts.note(self._store, fairly(listed))
        signed = [one for one in listed if one.get("complet") is not False]
        ready = {str(one.get("reference")): one for one in signed}
        refused = {str(one.get("reference")): one for one in client.listed("refuse")}
        known = self._store.known(list(ready))
        for one in fairly(ready.values()):
            reference = str(one.get("reference"))
            with self._apart(one):
                if reference in known:
                    self._end(known[reference], "parapheur", self._telling.for_parapheur(known[reference]))
                elif reference.startswith(_BORN_THERE) and one["circuit"] in (*NATURES, PES):
                    self._take_signed(reference, one)
        for act in self._store.at("signature"):
            news: dict[str, Any] = {}
            if act.reference in ready:
                news = {"signable": True, "sha256_signe": ready[act.reference].get("sha256"), "refus": None}
                if act.track.get("signable"):
                    continue
            elif act.reference in refused:
                said = refused[act.reference]
                news = {"refus": {"motif": str(said.get("motif") or ""), "par": str(said.get("par") or "")}}
            elif act.track.get("refus"):
                news = {"refus": None}
            if news and {key: act.track.get(key) for key in news} != news:
                self._hear(act.reference, news, "refus" if news["refus"] else "")

    def _take_signed(self, reference: str, one: dict[str, Any]) -> None:
        """Take in an act that somebody brought to the parapheur, once it is signed there."""
        commune = str(one["commune"])
        if commune not in self._config.communes:
            return
        told = Act.from_wire(one)
        number = told.number or ("flux" if told.circuit == PES else register.UNNUMBERED)
        # Only what was signed is taken; of a contract, its file too (CGCT, R2131-5).
        joined = "complet" in one and told.circuit == CONTRACT
        act = Act(
            circuit=told.circuit, number=number, date=told.date, subject=told.subject, matter=told.matter,
            nature=told.nature, transmission=told.transmission,
            main=File(f"{number}.{'xml' if told.circuit == PES else 'pdf'}"),
            annexes=tuple(self._servers.parapheur().pieces(one["id"])) if joined else (),
        )  # fmt: skip # a table
        if wrong := act.problem():
            raise ActError(wrong)
        self.take(reference, commune, act.to_wire(), "signature", dossier=one["id"])

    def _hear(self, reference: str, news: dict[str, Any], noted: str) -> None:
        """Note what others said of an act, and have it move on."""
        with self._store.transaction() as connection:
            now = self._store.lock(connection, reference)
            self._store.change(connection, reference, track=now.track | news)
            if noted:
                self._store.note(connection, reference, noted, json.dumps(news, ensure_ascii=False))
            self._defer(connection, reference)


def _announced(item: dict[str, Any]) -> Act:
    """A délibération that the deliberations' server announced well: of what it says, what the chain goes by."""
    told = Act.from_wire(item)
    return Act(
        uid=told.uid, circuit="deliberation", number=told.number, date=told.day, subject=told.subject,
        matter=told.matter, transmission=told.transmission * (told.transmission == STAYS),
        main=None if told.main is None else _named(told.main, f"{told.number}.pdf"),
        annexes=tuple(_named(one, f"annexe-{rank}.pdf") for rank, one in enumerate(told.annexes, start=1)),
        budget=None if told.budget is None else _named(told.budget, "budget.xml"),
    )  # fmt: skip # a table


def _named(file: File, name: str) -> File:
    """A file under its own name, without a folder; under this one where it has none."""
    return File(Path(file.name or name).name or name, file.sha256, url=file.url)
