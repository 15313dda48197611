"""Whether the TdT can be used now, and when to try again."""

from __future__ import annotations

import logging
import time

from .config import Config
from .errors import TdtError, sentence
from .journal import Journal

log = logging.getLogger("tdt-connector")


def waits(hour: float, longest: float) -> bool:
    """Whether an hour (seconds since the epoch) is still to come, of those that were set as far as `longest` seconds.

    One that is further was set by a clock that was ahead, and is set right since: it holds nothing back.
    """
    return 0 < hour - time.time() <= longest


class Contact:
    """The exchange with the TdT: what was lost waits, twice as long each time.

    Attributes:
        due: when the TdT may be asked again, seconds since the epoch.
    """

    def __init__(self, config: Config, journal: Journal) -> None:
        self._config, self._journal = config, journal
        self._failures, self.due = 0, 0.0

    def reachable(self) -> bool:
        """Whether the TdT may be asked now."""
        return not waits(self.due, self._config.delais.reprise_max)

    def made(self) -> None:
        """The TdT has answered."""
        self._failures = 0
        self.due = 0.0
        self._journal.set_value("contact_le", int(time.time()))
        self._journal.set_value("contact_erreur", "")

    def lost(self, error: TdtError) -> None:
        """The TdT cannot be used now: everything that needs it waits, twice as long each time."""
        self._failures += 1
        pause = min(self._config.delais.reprise_max, self._config.delais.depot * 2**self._failures)
        self.due = time.time() + pause
        self._journal.set_value("contact_erreur", str(error))
        log.warning("%s Nouvel essai dans %.0f s.", sentence(str(error)), pause)

    def backoff(self, attempts: int) -> float:
        """When to ask again about what was asked about that many times."""
        delays = self._config.delais
        return time.time() + min(delays.sondage_max, delays.sondage_min * 2 ** min(attempts, 20))
