#!/usr/bin/env python3
"""Time the hand-overs: N acts of 10 communes through the passerelle's own code, on a real PostgreSQL.

    scripts/bench_passerelle.py [N, 100 by default]

The worker is a process of its own; the other servers, the connectors and the préfecture are those of the unit tests
(TLS, in one process): they answer at once, so the figures are the passerelle's own.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median

TOP = Path(__file__).parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from testbed import apps

sys.path[:0] = apps.sources()

from cryptography.hazmat.primitives.asymmetric import ec
from passerelle.config import Commune, Config
from passerelle.queue import Queue

from testbed import chain, database
from testbed.chain import ALL, FINISHED, FakeConnector, World
from testbed.connector import Authority

COMMUNES = {f"c{rank}": Commune(f"c{rank}", f"Commune {rank}", f"{215900000 + rank}", ALL) for rank in range(10)}


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    chain.COMMUNES.clear()
    chain.COMMUNES.update(COMMUNES)
    with database.running() as server, tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder) / "pki", "essai", ec.SECP384R1())
        authority.issue("tdt", "server")
        server.new(name="modele")
        Queue(Config({}, database=server.address("modele"))).prepare()
        root = Path(folder) / "passerelle"
        root.mkdir()
        world = World(root, server.new("modele"), authority)
        world.parapheur.communes = set(COMMUNES)
        world.ged.serve({one.name: one.siren for one in COMMUNES.values()})
        acts = [world.deliberations.adopt(f"d{rank}", f"c{rank % 10}") for rank in range(count)]
        connectors = {slug: FakeConnector(world.chain, commune) for slug, commune in COMMUNES.items()}
        world.start()
        started = time.monotonic()
        while world.store.counts().get(FINISHED, 0) < count:
            world.parapheur.sign()
            world.deliberations.publish()
            for connector in connectors.values():
                for one in connector.pull():
                    connector.say(one["reference"], "transmise")
            for act in world.store.at("aracte"):
                if act.tdt.get("etat") == "transmise":
                    connectors[act.commune].acknowledge({"reference": act.reference, **act.data})
            for act in world.store.at("versement"):
                if act.tdt.get("etat") == "acquittee":
                    connectors[act.commune].say(act.reference, "versee")
            time.sleep(0.2)
        total = time.monotonic() - started
        world.stop()
        spent: dict[str, list[float]] = defaultdict(list)
        for reference in acts:
            past = world.store.history(reference)
            for (before, _step, _detail), (after, step, _more) in pairwise(past):
                spent[step].append((after - before).total_seconds())
        print(f"{count} actes de {len(COMMUNES)} communes en {total:.1f} s ({total / count:.2f} s par acte)")
        for step, values in spent.items():
            print(f"  {step:<24} médiane {median(values):6.2f} s, au plus {max(values):6.2f} s")
        world.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
