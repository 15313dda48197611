"""The agent: takes deposits, sends each exactly once, follows them to their ARActe, files them.

Everything it does can be interrupted at any point, power cut included, and is taken up again by the next
cycle from the journal and the folders. `on_step` hears the name of each step: the service pings systemd's
watchdog with it.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

from .admission import Admission
from .answers import Answers
from .config import Config
from .contact import Contact, waits
from .driver import Driver
from .filing import Filing
from .following import Following
from .intake import Intake
from .journal import FINAL, Journal, Row, State, StateChanged
from .letters import Letters
from .nomenclature import Nomenclature
from .part import Bench, Part
from .transmission import Transmission

log = logging.getLogger("tdt-connector")
_SIGN_OF_LIFE = 30  # seconds between two signs of life in the journal
_RETRY = 60  # seconds before an act that met an internal error is tried again


class Agent(Part):
    """One connector. `cycle` does all there is to do now; it never sleeps, and ends early once `stop` is set."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        driver: Driver,
        on_step: Callable[[str], None] = lambda step: None,
        stop: threading.Event | None = None,
    ) -> None:
        bench = Bench(config, journal, driver, Contact(config, journal), on_step, stop or threading.Event())
        super().__init__(bench)
        self._nomenclature, self._filing, self._letters = Nomenclature(bench), Filing(bench), Letters(bench)
        self._answers = Answers(bench)
        self._intake = Intake(bench, self._filing)
        parts = (bench, self._nomenclature, self._filing)
        self._admission = Admission(*parts)
        self._transmission, self._following = Transmission(*parts), Following(*parts)
        self._recover()

    def cycle(self) -> float:
        """Do what is due. Returns how long nothing will be, in seconds."""
        now = time.time()
        self._each("retrait du dépôt", self._journal.uncleared(), self._intake.clear)
        self._each("classement", self._journal.unfiled(), self._filing.file)
        self._intake.take()
        if self._contact.reachable():
            self._nomenclature.refresh()
        self._each("contrôle", self._journal.rows(State.DEPOSITED), self._admission.check)
        self._each_remote(State.CHECKED, self._transmission.send)
        self._each_remote(State.INTENT, self._transmission.reconcile)
        self._each_remote(State.SENT, self._following.poll)
        expected = float(self._journal.value("reception_prevue", "0"))
        if self._contact.reachable() and not waits(expected, self._config.delais.reception):
            self._letters.receive()
        self._answers.work()
        if abs(now - float(self._journal.value("cycle_le", "0"))) >= _SIGN_OF_LIFE:
            self._journal.set_value("cycle_le", int(now))
        return self._pause()

    def _pause(self) -> float:
        dues = [row.due for row in self._journal.rows(State.INTENT, State.SENT)]
        due = max(min(dues, default=float("inf")), self._contact.due)
        return max(0.0, min(self._config.delais.depot, due - time.time()))

    def _each(self, what: str, rows: list[Row], action: Callable[[Row], None]) -> None:
        """Apply to each row; one row's trouble does not hold the others back."""
        for row in rows:
            if self._stop.is_set():
                return
            if waits(row.due, max(_RETRY, self._config.delais.longest)):
                continue
            self._step(what)
            try:
                action(row)
            except StateChanged as error:
                log.info("%s", error)
            except sqlite3.Error:
                raise
            except Exception as error:  # a bug or a full disk met on one act must not stop the others
                log.exception("%s de « %s » impossible : %s", what, row.title, error)
                self._postpone(row, f"{what} impossible : {error}")

    def _postpone(self, row: Row, detail: str) -> None:
        fresh = self._journal.get(row.id)
        values: dict[str, Any] = {"prochain": time.time() + _RETRY}
        if fresh.state not in FINAL:  # there, the detail is the reason given to the clerk
            values["detail"] = detail
        if fresh.state is State.INTENT:
            values.update(incertain=1, absences=0)
        self._journal.note(fresh, **values)

    def _each_remote(self, state: State, action: Callable[[Row], None]) -> None:
        # Those asked about longest ago come first: one that gets no answer does not keep the others.
        for row in sorted(self._journal.rows(state), key=lambda row: row.due):
            if not self._contact.reachable():
                return
            self._each(f"traitement ({state})", [row], action)

    def _recover(self) -> None:
        """Set right what a crash left: a send without an answer, half-copied folders."""
        for row in self._journal.rows(State.INTENT):
            if not row.uncertain:
                log.warning("« %s » : envoi interrompu, à rechercher dans la liste du TdT.", row.title)
            self._journal.note(row, incertain=1)
        self._intake.recover()
