"""The préfecture's nomenclature: kept current, and why no act may leave on the one at hand."""

from __future__ import annotations

import logging
import time
from datetime import date

from creatic_agent.durable import write

from .classification import Classification, ClassificationError
from .classification import parse as parse_classification
from .errors import Denied, Refused, Uncertain, Unreachable
from .part import Bench, Part

log = logging.getLogger("tdt-connector")


class Nomenclature(Part):
    """The classification of acts.

    Attributes:
        current: the one at hand, None before the first.
    """

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.current: Classification | None = None
        self._answer_polls = 0
        self._answer_due = 0.0

    def problem(self) -> str:
        """Why no act may leave on the nomenclature at hand, or ""."""
        if self.current is None:
            return "en attente de la nomenclature de la préfecture : elle n'a pas encore été reçue du TdT."
        value, delays = self._journal.value, self._config.delais
        served, wanted = self.current.version, value("nomenclature_exigee")
        if wanted > served.isoformat():
            return (
                f"nomenclature périmée : le TdT emploie celle du {served:%d/%m/%Y}, la préfecture applique celle du "
                f"{date.fromisoformat(wanted):%d/%m/%Y}, demandée au TdT."
            )
        age = abs(time.time() - float(value("nomenclature_le", "0")))  # of a clock that was ahead too
        if age > delays.nomenclature_max:
            return f"nomenclature périmée : elle n'a pas pu être vérifiée au TdT depuis {age / 3600:.0f} h."
        asked = time.time() - float(value("nomenclature_demande_le", "0"))
        if (
            value("nomenclature_demande")
            and not value("nomenclature_confirmee")
            and asked < delays.nomenclature_attente
        ):
            return "en attente de la nomenclature : la préfecture n'a pas encore répondu à la première demande."
        return ""

    def refresh(self) -> None:
        """Keep the nomenclature current: ask the préfecture for it every day, fetch what the TdT holds."""
        path, delays, value = self._config.classification, self._config.delais, self._journal.value
        if self.current is None and path.exists():
            try:
                self.current = parse_classification(path.read_bytes())
            except ClassificationError as error:
                log.warning("%s : %s", path, error)
        now = time.time()
        try:
            answered = self._answered(now)
            stale = self.current is not None and bool(self.problem())
            asked = abs(now - float(value("nomenclature_demande_le", "0")))
            if not value("nomenclature_demande") and asked >= (
                delays.sondage_max if stale else delays.nomenclature_demande
            ):
                self._ask(now)
            age = abs(now - float(value("nomenclature_le", "0")))
            if self.current is None or answered or age >= delays.nomenclature:
                self._fetch(now)
        except (Unreachable, Denied, Uncertain) as error:
            self._contact.lost(error)
        except (Refused, ClassificationError) as error:
            self._contact.lost(Refused(str(error), "nomenclature"))

    def require(self, version: str) -> None:
        """The préfecture applies this version (YYYY-MM-DD): acts wait for it."""
        if version > self._journal.value("nomenclature_exigee"):
            self._journal.set_value("nomenclature_exigee", version)

    def _ask(self, now: float) -> None:
        self._step("demande de nomenclature")
        try:
            transaction = str(self._driver.request_classification())
        except Refused as error:  # a request may already be on its way
            log.warning("Demande de nomenclature refusée : %s", error)
            transaction = ""
        self._journal.set_value("nomenclature_demande", transaction)
        self._journal.set_value("nomenclature_demande_le", int(now))
        self._answer_polls, self._answer_due = 0, now + self._config.delais.sondage_min

    def _answered(self, now: float) -> bool:
        """Whether the préfecture has just answered the pending request."""
        pending = self._journal.value("nomenclature_demande")
        if not pending or now < self._answer_due:
            return False
        self._step("réponse de nomenclature")
        self._answer_polls += 1
        self._answer_due = self._contact.backoff(self._answer_polls)
        if not self._driver.classification_answered(int(pending)):
            return False
        self._journal.set_value("nomenclature_demande", "")
        self._journal.set_value("nomenclature_confirmee", 1)
        return True

    def _fetch(self, now: float) -> None:
        self._step("nomenclature")
        content = self._driver.classification()
        self.current = parse_classification(content)
        self._contact.made()
        version = self.current.version.isoformat()
        write(self._config.classification, content)
        self._journal.set_value("nomenclature_le", int(now))
        self._journal.set_value("nomenclature_version", version)
        self.require(version)
