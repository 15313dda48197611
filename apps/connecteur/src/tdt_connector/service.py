"""The service: one agent in a loop, known to systemd, stopped cleanly by SIGTERM."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable

from . import metrics
from .agent import Agent
from .config import Config
from .driver import Driver
from .drivers import connect
from .journal import Journal

log = logging.getLogger("tdt-connector")
_METRICS_EVERY = 15.0
_RETRY = 15  # seconds before the next try when the disk or the journal fails
# journald reads these prefixes (sd-daemon(3)).
_LEVELS = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _JournaldFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = f"<{_LEVELS.get(record.levelno, 6)}>"
        return "\n".join(level + line for line in super().format(record).splitlines())


def notify(message: str) -> None:
    """Tell systemd (sd_notify(3)); nothing happens outside a service of Type=notify."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.sendall(message.encode())


class Watchdog:
    """Pings systemd's watchdog from the agent's steps, at most once a second."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, step: str = "") -> None:
        now = time.monotonic()
        if now - self._last >= 1:
            self._last = now
            notify("WATCHDOG=1")


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JournaldFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with (config.folder_state / "verrou").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.error("Un autre connecteur travaille déjà dans %s.", config.dossier)
            return 1
        watchdog = Watchdog()
        driver = connect(config, watchdog)
        notify("READY=1")
        log.info("Connecteur de la collectivité %s prêt, TdT %s.", config.siren, config.url)
        while not stop.is_set():
            work(config, driver, watchdog, stop)
        notify("STOPPING=1")
        driver.close()
    log.info("Arrêt demandé : le travail en cours est au journal.")
    return 0


def work(config: Config, driver: Driver, watchdog: Callable[[str], None], stop: threading.Event) -> None:
    """Work until told to stop, or until the disk or the journal fails; then the journal is opened afresh."""
    try:
        journal = Journal(config.journal)
        try:
            agent = Agent(config, journal, driver, on_step=watchdog, stop=stop)
            published = 0.0
            while not stop.is_set():
                watchdog("cycle")
                pause = agent.cycle()
                if time.monotonic() - published >= _METRICS_EVERY:
                    published = time.monotonic()
                    _publish(config, journal)
                stop.wait(pause)
        finally:
            journal.close()
    except (OSError, sqlite3.Error) as error:
        log.error("Disque ou journal inutilisable (%s). Rien n'est perdu ; nouvel essai dans %d s.", error, _RETRY)
        watchdog("panne du disque")
        stop.wait(_RETRY)


def _publish(config: Config, journal: Journal) -> None:
    """Figures are for others: the acts go on without them."""
    try:
        metrics.publish(config, journal)
    except OSError as error:
        log.warning("Mesures non publiées : %s", error)
