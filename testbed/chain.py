"""A passerelle with everything around it: its database, the servers it calls, connectors that speak to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Collection
from dataclasses import replace
from multiprocessing.process import BaseProcess as Process
from pathlib import Path
from typing import Any
from unittest import mock

from passerelle import ged
from passerelle.chain import Chain
from passerelle.config import Account, Commune, Config
from passerelle.queue import parts
from passerelle.store import FINISHED, Tracked
from passerelle.web import create_app
from procrastinate.periodic import PeriodicDeferrer

from testbed.connector import Authority
from testbed.patience import wait_for
from testbed.servers import PASSWORD, FakeDeliberations, FakeGed, FakeParapheur, TlsServer

TOP = Path(__file__).parents[1]
ALL = ("teletransmission", "parapheur", "deliberations", "ged", "archivage")
COMMUNES = {
    "gondecourt": Commune("gondecourt", "Gondecourt", "215902669", ALL),
    "la-madeleine": Commune("la-madeleine", "La Madeleine", "215903683", ALL),
    "loos": Commune("loos", "Loos", "215903600", ("teletransmission", "ged")),
    "bouvines": Commune("bouvines", "Bouvines", "215901067", ("parapheur", "deliberations")),
    "peronne": Commune("peronne", "Péronne", "215904582", ("deliberations",)),
}
GROUP = "285900015"
BASE = TOP / "creatic/evidence/templates/base.html.j2"


class World:
    """All of it. `run` works the queue until nothing is due."""

    def __init__(self, root: Path, database: str, authority: Authority) -> None:
        self.root, self.authority = root, authority
        (root / "fichiers").mkdir()
        (root / "modeles").mkdir()
        (root / "modeles" / "base.html.j2").symlink_to(BASE)
        for path in (TOP / "apps/passerelle/modeles").glob("*.html.j2"):
            (root / "modeles" / path.name).symlink_to(path)
        self.parapheur, self.deliberations, self.ged = FakeParapheur(), FakeDeliberations(), FakeGed()
        self.servers = {
            name: TlsServer(service.app, authority.folder / "tdt")
            for name, service in (
                ("parapheur", self.parapheur),
                ("deliberations", self.deliberations),
                ("ged", self.ged),
            )
        }
        self.deliberations.url = self.servers["deliberations"].url
        self.config = Config(
            COMMUNES,
            GROUP,
            {name: Account(server.url, "passerelle", PASSWORD) for name, server in self.servers.items()},
            database=database,
            folder=root,
            trust=str(authority.bundle),
            crl=authority.crl(),
            templates=root / "modeles",
            metrics=root / "passerelle.prom",
            retry=0.2,
            retry_max=0.2,
            look_every=1,
        )
        self._begin()

    def _begin(self) -> None:
        self.store, self.queue, self.chain = parts(self.config)
        app, own = create_app(self.config, self.store, self.chain), self.authority.folder / "tdt"
        self.web = TlsServer(app, own, clients=self.authority.bundle)

    def close(self) -> None:
        """Stop everything."""
        for server in [*self.servers.values(), self.web]:
            server.stop()
        self.store.close()

    def reconfigure(self, **changes: Any) -> None:
        """Change the configuration, as a deployment does."""
        self.web.stop()
        self.store.close()
        self.config = replace(self.config, **changes)
        self._begin()

    # -- the worker ----------------------------------------------------------------------------------------

    def child(self, points: Collection[str] = ()) -> Process:
        """A real worker; it kills itself at the first of these points."""
        process = _FORKS.Process(target=work, args=(self.config, set(points)))
        process.start()
        return process

    def run(self, until: Callable[[], bool], timeout: float = 30) -> None:
        """Let a worker work until `until` says so; then stop it."""
        process = self.child()

        def done() -> bool:
            if until():
                return True
            assert process.is_alive(), "le processus s'est arrêté"
            return False

        def acts() -> str:
            return (
                f"la fin, les actes en sont à {[(one.step, one.blocked, one.late) for one in self.store.shown(None)]}"
            )

        try:
            wait_for(done, acts, timeout, every=0.05)
        finally:
            process.terminate()
            process.join()

    def start(self, points: Collection[str] = ()) -> None:
        """Let a worker work beside the test; it kills itself at the first of these points."""
        self._process = self.child(points)

    def died_at(self) -> str:
        """Where the worker killed itself, "" while it lives; it ends in no other way."""
        if self._process.is_alive():
            return ""
        assert self._process.exitcode == -signal.SIGKILL, self._process.exitcode
        return (self.root / "mort").read_text()

    def restart_if_dead(self) -> None:
        """As systemd does."""
        if not self._process.is_alive():
            self._process = self.child()

    def stop(self) -> None:
        """Stop the worker."""
        self._process.terminate()
        self._process.join()

    def drain(self) -> None:
        """Make every hand-over that is due, in this process, by the queue's own rules.

        What the clock alone would begin is left to `child`: each worker that starts would begin all of it again.
        """
        with mock.patch.object(PeriodicDeferrer, "worker", new=mock.AsyncMock()):
            while self._due():
                self.queue.work(self.chain, self.store, wait=False, install_signal_handlers=False, listen_notify=False)

    def _due(self) -> bool:
        due = "SELECT 1 FROM procrastinate_jobs WHERE status = 'todo' AND COALESCE(scheduled_at, now()) <= now()"
        with self.store.transaction() as connection:
            return connection.execute(due).fetchone() is not None

    def reach(self, reference: str, step: str) -> None:
        """Bring an act to a step, everybody doing what they have to but the connector."""
        for _turn in range(5):
            self.chain.arrivals.look()
            self.drain()
            if self.step(reference) == step:
                return
            self.parapheur.sign()
        raise AssertionError(self.act(reference))

    # -- what is around it ---------------------------------------------------------------------------------

    def act(self, reference: str) -> Tracked:
        found = self.store.get(reference)
        assert found
        return found

    def files_of(self, reference: str) -> bytes:
        """The document that is transmitted."""
        return (self.root / "fichiers" / self.act(reference).track["signe"]).read_bytes()

    def step(self, reference: str) -> str:
        return self.act(reference).step


def id_acte(commune: Commune, act: dict[str, Any]) -> str:
    """The identifier that the préfecture would give."""
    return f"059-{commune.siren}-{act['date'].replace('-', '')}-{act['numero']}-DE"


class FakeConnector:
    """A commune's connector and the TdT behind it: it counts what it sends to the préfecture."""

    def __init__(self, chain: Chain, commune: Commune) -> None:
        self._chain, self._commune = chain, commune
        self.sent: dict[str, int] = {}

    def pull(self) -> list[dict[str, Any]]:
        """Take what is to be sent, and say so."""
        found = self._chain.connectors.to_send(self._commune)
        for one in found:
            path = self._chain.connectors.document(self._commune, one["sha256"])
            assert path
            assert path.read_bytes().startswith(b"<" if one["genre"] == "pes" else b"%PDF-")
            self.sent[one["reference"]] = self.sent.get(one["reference"], 0) + 1
            self.say(one["reference"], "recue")
        return found

    def say(self, reference: str, state: str, **more: Any) -> None:
        self._chain.connectors.follow(self._commune, {"reference": reference, "etat": state, **more}, None)

    def acknowledge(self, act: dict[str, Any]) -> None:
        """The préfecture's ARActe is there."""
        number = id_acte(self._commune, act)
        said = {"reference": act["reference"], "etat": "acquittee", "id_acte": number, "date_reception": "2026-11-21"}
        self._chain.connectors.follow(self._commune, said, f'<ARActe IDActe="{number}"/>'.encode())


def work(config: Config, points: set[str]) -> None:
    """A worker in a process of its own; see `World.child`."""

    def kill(name: str) -> None:
        if name in points:
            (config.folder / "mort").write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)

    ged._LOST = 1.0  # a file sent without an answer is not waited for that long here
    store, queue, chain = parts(config, on_step=kill)
    queue.recover()
    queue.work(chain, store)
    store.close()


# Processes forked from one that has loaded everything and has no thread.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["testbed.chain"])

__all__ = ["FINISHED", "FakeConnector", "World"]
