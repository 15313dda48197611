"""What comes from the préfecture and the DGFiP on their own: letters, PES Retour."""

from __future__ import annotations

import logging
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from creatic_agent.durable import sync_directory, write

from .classification import fold
from .config import Config
from .contact import Contact
from .driver import Driver, Incoming
from .errors import Denied, Refused, TdtError, Uncertain, Unreachable
from .journal import Journal
from .storage import move
from .unpacking import UnpackError, unpack

log = logging.getLogger("tdt-connector")
_RECEIVED = {"lettre": "lettres", "pes_retour": "pes_retour"}
_SET_ASIDE = 3600  # longest time, in seconds, before a document that could not be received is asked for again


class Letters:
    """Receives documents: on disk first, and only then marked as read at the TdT."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        driver: Driver,
        contact: Contact,
        on_step: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        self._config, self._journal, self._driver, self._contact = config, journal, driver, contact
        self._step, self._stop = on_step, stop
        self._set_aside: dict[Incoming, tuple[int, float]] = {}

    def receive(self) -> None:
        """Receive what waits."""
        self._step("réception")
        try:
            for item in self._driver.incoming():
                if self._stop.is_set():
                    return
                if self._set_aside.get(item, (0, 0.0))[1] <= time.time():
                    self._try_to_receive(item)
            self._contact.made()
        except (Unreachable, Denied, Uncertain) as error:
            self._contact.lost(error)
            return
        except Refused as error:  # the acts must not suffer from it
            log.error("Documents de la préfecture ou de la DGFiP non reçus : %s", error)
        self._journal.set_value("reception_prevue", int(time.time() + self._config.delais.reception))

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
        """On disk first, and only then marked as read at the TdT."""
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
        self._driver.mark_read(item)


def _unpack(content: bytes, folder: Path, item: Incoming) -> None:
    """Keep the document as it came and, for an archive, the files inside."""
    head = content[:5]
    if head[:2] != b"\x1f\x8b":
        suffix = "pdf" if head == b"%PDF-" else "xml"
        write(folder / f"{item.kind}-{item.id}.{suffix}", content)
        return
    write(folder / f"{item.kind}-{item.id}.tar.gz", content)
    try:
        unpack(content, folder)
    except UnpackError as error:
        log.warning("%s : %s ; conservée telle quelle.", item.title, error)
