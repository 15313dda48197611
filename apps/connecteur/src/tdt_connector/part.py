"""What the parts of the agent work with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from .config import Config
from .contact import Contact
from .driver import Driver
from .journal import Journal


@dataclass(frozen=True)
class Bench:
    """One connector's tools; `step` hears the name of each step, the work ends early once `stop` is set."""

    config: Config
    journal: Journal
    driver: Driver
    contact: Contact
    step: Callable[[str], None]
    stop: threading.Event


class Part:
    """A part of the agent."""

    def __init__(self, bench: Bench) -> None:
        self._config, self._journal, self._driver = bench.config, bench.journal, bench.driver
        self._contact, self._step, self._stop = bench.contact, bench.step, bench.stop
