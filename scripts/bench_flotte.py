#!/usr/bin/env python3
"""Time a fleet: N machines, each with its own certificate, checked in over real HTTPS on this machine alone.

    scripts/bench_flotte.py [N, 2500 by default]

The door is a process of its own, behind a TLS server that demands certificates (Python's, which stands for nginx); a
check-in is a manifest asked for and a report handed over, each on a connection of its own, so with two handshakes.
"""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from testbed import apps

sys.path[:0] = apps.sources()

from creatic_flotte.door import Door as Client
from creatic_flotte.settings import Settings
from creatic_guichet.store import common_name
from cryptography.hazmat.primitives.asymmetric import ec

from creatic.fleet import bundle, waves
from creatic.fleet.publication import Fleet
from creatic.fleet.signing import Signer
from creatic.pki.keys import Passphrases
from testbed.connector import SIREN, Authority
from testbed.fleet import Door

CLIENTS = 8


def serve(folder: Path, authority: Authority, pipe: Any) -> None:
    """The door, in its process; tells its address, then its processor seconds and memory."""
    with Door(folder, authority).served() as url:
        pipe.send(url)
        pipe.recv()
    used = resource.getrusage(resource.RUSAGE_SELF)
    pipe.send((used.ru_utime + used.ru_stime, used.ru_maxrss // 1024))


def main() -> int:
    """Measure, and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2500
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        authority = Authority(root / "pki", "essai", ec.SECP384R1())
        names = [f"commune{rank}-connecteur" for rank in range(count)]
        for name in names:
            authority.issue(name, common_name=common_name(name))
        door = Door(root / "guichet", authority)
        (root / "poste").mkdir()
        signer = Signer(root / "poste" / "flotte", Passphrases(root / "poste" / "flotte", generate=True))
        machines = {one: waves.Machine(one, one, SIREN, "tdt_connector", "lille", "petite", 1) for one in names}
        now = lambda: dt.datetime.now(dt.UTC)  # noqa: E731 - a clock
        fleet = Fleet(root / "poste", machines, signer, door.listing, door.receive, "essai", now)
        certificates = {one: (authority.folder / one / "cert.pem").read_text() for one in names}
        data = {one: bundle.data({"variables.json": json.dumps({"de": one}).encode()}) for one in names}
        began, cpu = time.perf_counter(), _cpu()
        fleet.publish(bundle.code(TOP), data, certificates, "vague", names)  # one wave: all of them
        say("publication (chiffrée et signée pour chacune)", count, began, _cpu() - cpu)

        here, there = multiprocessing.Pipe()
        server = multiprocessing.get_context("fork").Process(target=serve, args=(root / "guichet", authority, there))
        server.start()
        url = here.recv()
        began = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            longest = max(pool.map(lambda name: check_in(root, authority, url, name), names))
        lasted = time.perf_counter() - began
        here.send("fin")
        spent, memory = here.recv()
        server.join()
        print(f"passages              {count} en {lasted:.1f} s, {count / lasted:.0f} par s, {longest:.2f} s au plus")
        print(f"guichet               {1000 * spent / count:.1f} ms de processeur par passage, {memory} Mio au plus")
        print(f"tous les quarts d'h   {100 * spent / 900:.1f} % d'un cœur pour {count} machines")
        began, cpu = time.perf_counter(), _cpu()
        _record, standings, _problems = fleet.status()
        say("état", count, began, _cpu() - cpu)
        good = sum(one.state == waves.UP_TO_DATE for one in standings)
        print(f"à jour                {good} sur {count}")
        return int(good != count)


def check_in(root: Path, authority: Authority, url: str, name: str) -> float:
    """One pass of a machine; gives its seconds."""
    began = time.perf_counter()
    place = root / "machines" / name
    place.mkdir(parents=True)
    (place / "current").symlink_to(authority.folder / name)
    settings = Settings(name, url, authority.bundle, place, place, place, place, place)
    with Client(settings) as door:
        found = door.manifest()
        assert found  # noqa: S101 - a measure of nothing is none
        report: dict[str, object] = {
            "machine": name,
            "genre": "bon",
            "version": json.loads(found[0])["version"],
            "posee": True,
            "texte": "",
        }
        report |= {"debut": "", "fin": str(began), "modifies": [], "preuves": [], "mesures": {"a.prom": "x 1\n" * 1000}}
        door.report(json.dumps(report).encode())
    return time.perf_counter() - began


def _cpu() -> float:
    """Processor seconds of this process and of those that it ran."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def say(what: str, count: int, began: float, cpu: float) -> None:
    """Print a measure."""
    print(f"{what:22}{time.perf_counter() - began:.1f} s, {1000 * cpu / count:.1f} ms de processeur par machine")


if __name__ == "__main__":
    raise SystemExit(main())
