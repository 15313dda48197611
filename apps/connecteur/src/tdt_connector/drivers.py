"""The platforms that the connector speaks to: a new one is its module, and a line here."""

from __future__ import annotations

from collections.abc import Callable

from .config import Config
from .driver import Driver
from .s2low import S2low

# By the word of the commune file (connecteur.tdt), which its schema takes too.
DRIVERS: dict[str, type[Driver]] = {"s2low": S2low}


def connect(config: Config, progress: Callable[[], None] = lambda: None) -> Driver:
    """The driver of a configuration; it hears `progress` at each piece of a long exchange."""
    return DRIVERS[config.tdt].connect(config, progress)
