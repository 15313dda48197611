"""The service around the agent: what systemd and the journal are told, and what stops it."""

from __future__ import annotations

import fcntl
import logging
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tdt_connector import service
from tdt_connector.config import Config

from testbed.sae import SIREN


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = Config(tdt="s2low", url="https://tdt.test", siren=SIREN, departement="059", dossier=tmp_path)
    made.folder_state.mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield heard


def test_systemd_is_told_by_its_socket(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    service.notify("READY=1")
    assert systemd.recv(99) == b"READY=1"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0creatic-essai")
        heard.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", "@creatic-essai")
        service.notify("STOPPING=1")
        assert heard.recv(99) == b"STOPPING=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    service.notify("rien")


def test_the_watchdog_is_pinged_once_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    now = [100.0]
    monkeypatch.setattr(service, "notify", told.append)
    monkeypatch.setattr(service, "time", SimpleNamespace(monotonic=lambda: now[0]))
    watchdog = service.Watchdog()
    for moment in (100.0, 100.9, 101.0, 101.5, 102.1):
        now[0] = moment
        watchdog("étape")
    assert told == ["WATCHDOG=1"] * 3


def test_lines_bear_their_priority_for_the_journal() -> None:
    formatter = service._JournaldFormatter("%(message)s")
    for level, prefix in ((10, 7), (20, 6), (30, 4), (40, 3), (50, 2), (15, 6)):
        record = logging.LogRecord("x", level, "", 0, "un\ndeux", (), None)
        assert formatter.format(record) == f"<{prefix}>un\n<{prefix}>deux"


@pytest.fixture
def handlers() -> Iterator[None]:
    """Signals and the root logger, as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    kept = list(logging.root.handlers)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    logging.root.handlers[:] = kept


@pytest.mark.usefixtures("handlers")
def test_one_connector_works_in_a_folder(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    with (config.folder_state / "verrou").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert service.run(config) == 1
    assert f"Un autre connecteur travaille déjà dans {config.dossier}." in caplog.text


@pytest.mark.usefixtures("handlers")
def test_a_connector_works_until_it_is_told_to_stop(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    rounds: list[Config] = []
    closed: list[bool] = []
    driver = SimpleNamespace(close=lambda: closed.append(True))
    monkeypatch.setattr(service, "notify", told.append)
    monkeypatch.setattr(service, "connect", lambda _config, _progress: driver)

    def work(given: Config, *_others: object) -> None:
        rounds.append(given)
        if len(rounds) == 2:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(service, "work", work)
    assert service.run(config) == 0
    assert (told, len(rounds), closed) == (["READY=1", "STOPPING=1"], 2, [True])


class Working:
    """An agent that stops after some rounds; figures are counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rounds: int, every: float) -> None:
        self.stop, self.rounds, self.now, self.published = threading.Event(), rounds, 100.0, 0
        self.every, self.steps, self.waited = every, list[str](), list[float]()
        played = SimpleNamespace(is_set=self.stop.is_set, wait=self.waited.append, set=self.stop.set)
        self.event: Any = played
        monkeypatch.setattr(service, "Agent", lambda *_given, **_options: SimpleNamespace(cycle=self._cycle))
        monkeypatch.setattr(service, "_publish", self._publish)
        monkeypatch.setattr(service, "time", SimpleNamespace(monotonic=lambda: self.now))

    def _cycle(self) -> float:
        self.rounds -= 1
        self.now += self.every
        if not self.rounds:
            self.stop.set()
        return 0.5

    def _publish(self, *_given: object) -> None:
        self.published += 1


@pytest.mark.parametrize(("every", "published"), [(1, 1), (14, 2), (15, 4)])
def test_figures_are_published_every_fifteen_seconds(
    config: Config, monkeypatch: pytest.MonkeyPatch, every: float, published: int
) -> None:
    working = Working(monkeypatch, 4, every)
    service.work(config, None, working.steps.append, working.event)  # type: ignore[arg-type] # no driver is needed
    assert (working.published, working.steps, working.waited) == (published, ["cycle"] * 4, [0.5] * 4)


@pytest.mark.parametrize("error", [OSError("disque plein"), sqlite3.OperationalError("verrou")])
def test_a_disk_that_fails_is_tried_again_later(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    working = Working(monkeypatch, 1, 1)

    def fail() -> float:
        raise error

    monkeypatch.setattr(service, "Agent", lambda *_given, **_options: SimpleNamespace(cycle=fail))
    service.work(config, None, working.steps.append, working.event)  # type: ignore[arg-type] # no driver is needed
    assert f"Disque ou journal inutilisable ({error}). Rien n'est perdu ; nouvel essai dans 15 s." in caplog.text
    assert (working.steps, working.waited) == (["cycle", "panne du disque"], [15])


def test_figures_that_cannot_be_published_stop_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_given: object) -> None:
        raise OSError("plein")

    monkeypatch.setattr(service.metrics, "publish", fail)
    service._publish(config, None)  # type: ignore[arg-type] # the journal is not read
    assert "Mesures non publiées : plein" in caplog.text
