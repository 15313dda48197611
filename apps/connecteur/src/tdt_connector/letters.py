"""What comes from the préfecture and the DGFiP on their own: letters, PES Retour.

Both are kept as soon as they are there. A PES Retour is then marked as read at the TdT; a letter only once a person
took it (a delay runs: CGCT, L2131-6), which the passerelle says, or `tdt-connector lettres`.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import sqlite3
import time
from datetime import date
from pathlib import Path

from creatic_agent.durable import sync_directory, write

from . import kinds
from .classification import fold
from .config import Config
from .contact import waits
from .driver import Incoming
from .errors import Denied, Refused, TdtError, Uncertain, Unreachable
from .journal import Journal
from .part import Bench, Part
from .storage import move
from .unpacking import UnpackError, unpack

log = logging.getLogger("tdt-connector")
_RECEIVED = {"lettre": "lettres", "pes_retour": "pes_retour"}
# In the journal, by a letter's transaction: what the TdT says of it; whether a person took it, then read at the TdT.
FACTS, TAKEN = "lettre:", "lettre-prise:"
BY_SOMEBODY, READ = "prise", "lue"
_LETTER = re.compile(r"\d{8}-.+-(\d+)")
_SET_ASIDE = 3600  # longest time, in seconds, before a document that could not be received is asked for again


class Letters(Part):
    """Receives documents: on disk first, and only then marked as read at the TdT, a letter once a person took it."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._set_aside: dict[Incoming, tuple[int, float]] = {}

    def receive(self) -> None:
        """Receive what waits."""
        self._step("réception")
        try:
            items = self._driver.incoming()
            for item in items:
                if self._stop.is_set():
                    return
                if not waits(self._set_aside.get(item, (0, 0.0))[1], _SET_ASIDE):
                    self._try_to_receive(item)
            self._note_read({item.id for item in items})
            self._contact.made()
        except (Unreachable, Denied, Uncertain) as error:
            self._contact.lost(error)
            return
        except Refused as error:  # the acts must not suffer from it
            log.error("Documents de la préfecture ou de la DGFiP non reçus : %s", error)
        self._journal.set_value("reception_prevue", int(time.time() + self._config.delais.reception))

    def _note_read(self, listed: set[int]) -> None:
        """Letters that were taken and do not wait at the TdT: somebody marked them there."""
        for key, state in self._journal.values(TAKEN).items():
            if state == BY_SOMEBODY and int(key.removeprefix(TAKEN)) not in listed:
                self._journal.set_value(key, READ)

    def _try_to_receive(self, item: Incoming) -> None:
        """One document that cannot be received waits, longer each time, and does not hold the others back."""
        try:
            self._step("document")
            self._receive_one(item)
            return
        except (Unreachable, Denied, sqlite3.Error):
            raise
        except Exception as error:
            tries = self._set_aside.get(item, (0, 0.0))[0]
            pause = min(_SET_ASIDE, self._config.delais.reprise_max * 2 ** min(tries, 20))
            self._set_aside[item] = (tries + 1, time.time() + pause)
            expected = isinstance(error, TdtError | OSError)
            log.error("« %s » n'a pas pu être reçu : %s", item.title, error, exc_info=not expected)
            if isinstance(error, Uncertain):  # it may be the TdT as a whole: the others come once it answers again
                raise

    def _receive_one(self, item: Incoming) -> None:
        parent = self._config.dossier / _RECEIVED[item.kind]
        if not any(parent.glob(f"*-{item.id}")):  # else it is here, and the crash came before the mark
            content = self._driver.fetch(item)
            plain = re.sub(r"[^a-z0-9_]+", "-", fold(item.title)).strip("-")[:60]
            target = parent / f"{date.today():%Y%m%d}-{plain}-{item.id}"
            partial = parent / f".{item.id}"
            if partial.exists():
                shutil.rmtree(partial)
            partial.mkdir(mode=0o750)
            _unpack(content, partial, item)
            sync_directory(partial)
            move(partial, target)
            self._step("reçu")
            log.warning("Reçu de la préfecture ou de la DGFiP : %s (%s).", item.title, target)
        if item.kind == "lettre":
            facts = {"type": item.letter, "numero": item.number, "id_acte": item.idacte, "acte": item.about}
            self._journal.set_value(f"{FACTS}{item.id}", json.dumps(facts))
            if not self._journal.value(f"{TAKEN}{item.id}"):
                return
        self._driver.mark_read(item)
        self._step("lu")
        if item.kind == "lettre":
            self._journal.set_value(f"{TAKEN}{item.id}", READ)


def take(journal: Journal, letter: int) -> bool:
    """Note that a person took a letter, which is marked as read at the TdT at once; False when it is known."""
    if journal.value(f"{TAKEN}{letter}"):
        return False
    journal.set_value(f"{TAKEN}{letter}", BY_SOMEBODY)
    journal.set_value("reception_prevue", 0)
    return True


def received(config: Config) -> list[tuple[int, Path]]:
    """The letters that were kept, oldest first: transaction at the TdT and folder."""
    found = []
    for folder in sorted((config.dossier / _RECEIVED["lettre"]).iterdir()):
        match = _LETTER.fullmatch(folder.name)
        # What this connector wrote itself of a flow's refusal is there too, and is no letter of the préfecture.
        if match and folder.is_dir() and any(folder.glob(f"lettre-{match[1]}.*")):
            found.append((int(match[1]), folder))
    return found


def _unpack(content: bytes, folder: Path, item: Incoming) -> None:
    """Keep the document as it came and, for an archive, the files inside."""
    kind = kinds.suffix(content)
    write(folder / f"{item.kind}-{item.id}.{kind}", content)
    if kind != "tar.gz":
        return
    try:
        unpack(content, folder)
    except UnpackError as error:
        log.warning("%s : %s ; conservée telle quelle.", item.title, error)
