#!/usr/bin/env python3
"""Measure the connector on the loopback: acts per minute from depot/ to their ARActe on disk.

The real agent, its journal on a real disk (fsync counts), real TLS, and the simulator in another process. Prints
where the time goes: waiting for an answer or a status is the TdT's, the rest is the connector's.
Usage: scripts/bench_connector.py [ACTS]
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from testbed import apps

sys.path[:0] = apps.sources()

from cryptography.hazmat.primitives.asymmetric import ec
from tdt_connector.client import Client
from tdt_connector.config import Delays

from testbed.connector import Authority, Commune, platform

STATUS_INTERVAL_SECONDS = 1.0  # seconds between two statuses at the TdT, as in the lab


class Meter:
    """Wall and CPU seconds spent in exchanges with the TdT, and their number."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self.calls = 0

    def watch(self) -> AbstractContextManager[object]:
        """Measure every exchange; nothing of it is in the shipped code."""
        real = Client._call

        def measured(client: Client, method: str, path: str, **options: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return real(client, method, path, **options)
            finally:
                self.wall += time.perf_counter() - wall
                self.cpu += time.process_time() - cpu
                self.calls += 1

        return mock.patch.object(Client, "_call", measured)


def tdt(folder: Path, authority: Authority, pipe: Connection) -> None:
    """The simulator, until the other end of the pipe says anything."""
    with platform(folder, authority, delay=STATUS_INTERVAL_SECONDS) as server:
        pipe.send(server.url)
        pipe.recv()


def main() -> int:
    acts = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # on a disk: /tmp may be in memory
        root = Path(name)
        authority = Authority(root / "pki", "mesure", ec.SECP384R1())
        authority.issue("tdt", "server")
        authority.issue("commune")
        here, there = multiprocessing.Pipe()
        simulator = multiprocessing.get_context("fork").Process(target=tdt, args=(root / "tdt", authority, there))
        simulator.start()
        try:
            measure(Commune(root / "commune", here.recv(), authority), acts)
        finally:
            here.send("stop")
            simulator.join()
    return 0


def measure(commune: Commune, acts: int) -> None:
    """Drop the acts at once, follow them with the delays of production, print the figures."""
    commune.introduce()
    commune.config = replace(commune.config, delais=Delays())
    for rank in range(acts):
        commune.drop(f"M{rank:05d}")
    meter = Meter()
    idle = 0.0
    start, cpu = time.perf_counter(), time.process_time()
    with meter.watch(), commune.agent() as agent:
        while len(commune.folder("acquittes")) < acts:
            pause = agent.cycle()
            idle += pause
            time.sleep(pause)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    own = wall - idle - meter.wall + meter.cpu
    print(f"{acts} actes acquittés en {wall:.1f} s : {acts / wall * 60:.0f} actes par minute jusqu'à l'ARActe")
    print(f"  attente (fichiers stables 5 s, puis statuts du TdT) : {idle:.1f} s ({idle / wall:.0%})")
    print(f"  échanges avec le TdT : {meter.wall - meter.cpu:.1f} s ({(meter.wall - meter.cpu) / wall:.0%}), ", end="")
    print(f"{meter.calls} appels, {meter.calls / acts:.1f} par acte")
    print(f"  part du connecteur : {own:.1f} s ({own / wall:.0%}), {own / acts * 1000:.0f} ms par acte")
    print(f"  processeur du connecteur : {cpu / acts * 1000:.0f} ms par acte")


if __name__ == "__main__":
    sys.exit(main())
