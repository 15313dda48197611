#!/usr/bin/env python3
"""Measure the archive room of the lab (its three nodes are up; this machine stands for the gateway).

Raw Swift PUT and GET through one proxy beside the disk itself, memory and idle processor of each node, time to repair a
flipped byte, to catch up a node, to patch the three nodes, and the longest pause that a client saw meanwhile.
Usage: scripts/bench_archive_room.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from testbed import apps

sys.path[:0] = apps.sources()

from testbed.archive_room import (
    ADDRESSES,
    AS_GATEWAY,
    ROOM,
    Client,
    connect,
    gateway_certificate,
    lab,
    names_of_the_lab,
    node,
    place,
    whole,
)
from testbed.control_node import ENVIRONMENT, REPO, command

SIZES = {"10 ko": 10_000, "1 Mo": 1_000_000, "100 Mo": 100_000_000}
IDLE_S = 30
# What the processes of a machine weigh, and how much processor they used in a while.
WEIGH = f"""
import os, time
def used():
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
        except OSError:
            pass
    return total / os.sysconf("SC_CLK_TCK")
pss = 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        pss += next(int(line.split()[1]) for line in open(f"/proc/{{pid}}/smaps_rollup") if line.startswith("Pss:"))
    except (OSError, StopIteration):
        pass
before = used()
time.sleep({IDLE_S})
print(pss // 1024, round(100 * (used() - before) / {IDLE_S}, 1))
"""


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def weigh() -> None:
    """Memory and idle processor of each node."""
    with ThreadPoolExecutor(len(ADDRESSES)) as pool:
        told = list(pool.map(lambda name: node(name, f"python3 - <<'FIN'\n{WEIGH}\nFIN"), ADDRESSES))
    for name, line in zip(ADDRESSES, told, strict=True):
        pss, busy = line.split()
        print(f"  {name} : {pss} Mo (PSS de tous ses processus), {busy} % d'un cœur au repos")


def plain_disk(size: int) -> tuple[float, float]:
    """Seconds to write (with fsync) and to read back a file on a node's disk."""
    script = f"""python3 - <<'FIN'
import os, time
data = os.urandom({size})
path = "/srv/node/d1/mesure"
start = time.perf_counter()
with open(path, "wb") as out:
    out.write(data); out.flush(); os.fsync(out.fileno())
middle = time.perf_counter()
with open(path, "rb") as file:
    file.read()
print(middle - start, time.perf_counter() - middle)
os.unlink(path)
FIN"""
    written, read = node("sae1", script).split()
    return float(written), float(read)


def raw(client: Client, rounds: int) -> None:
    """PUT and GET of each size, one at a time, beside the disk."""
    print("  taille    écriture (disque)        lecture (disque)")
    for label, size in SIZES.items():
        number = max(3, min(rounds, 400_000_000 // size))
        names = [f"{size}-{rank}" for rank in range(number)]
        bodies = [os.urandom(size) for _ in range(min(number, 3))]
        put = statistics.median(timed(partial(client.put, name, bodies[rank % 3])) for rank, name in enumerate(names))
        get = statistics.median(timed(partial(client.check, name)) for name in names)
        wrote, read = (statistics.median(one) for one in zip(*(plain_disk(size) for _ in range(3)), strict=True))
        rates = [size / 1e6 / seconds for seconds in (put, wrote, get, read)]
        print(
            f"  {label:8}  {put * 1000:6.0f} ms, {rates[0]:6.1f} Mo/s ({rates[1]:6.1f})"
            f"  {get * 1000:6.0f} ms, {rates[2]:6.1f} Mo/s ({rates[3]:6.1f})"
        )


def repair(client: Client) -> float:
    """Seconds from a flipped byte to the good copy back in its place."""
    client.put("fragile", os.urandom(50_000))
    time.sleep(3)
    folder = place("fragile", client.container)
    node("sae1", f"printf X | dd of=$(ls {folder}/*.data) bs=1 seek=2000 conv=notrunc status=none")
    start = time.perf_counter()
    aside = f"ls -d /srv/node/d1/quarantined/objects/{folder.rpartition('/')[2]}* && ls {folder}/*.data"
    while "data" not in node("sae1", f"{aside} 2>/dev/null || true").partition("\n")[2]:
        time.sleep(0.5)
    return time.perf_counter() - start


def catch_up(client: Client) -> float:
    """Seconds for a node to have what was written while it was off."""
    lab("stop", "--time", "5", "creatic-sae3")
    for number in range(50):
        client.put(f"pendant-{number}", os.urandom(100_000))
    lab("start", "creatic-sae3")
    return whole()


def patch(client: Client) -> float:
    """Seconds to patch the three nodes while the client works."""
    start = time.perf_counter()
    with client.at_work():
        done = subprocess.run(
            ["fab", "archive.correctifs"], cwd=REPO, env=ENVIRONMENT, check=False, capture_output=True
        )
    if done.returncode:
        raise SystemExit(done.stdout.decode())
    return time.perf_counter() - start


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    done = command(*ROOM, *AS_GATEWAY)
    if done.returncode:
        raise SystemExit(done.stdout)
    with names_of_the_lab():
        certificate = gateway_certificate()
        print("Nœuds :")
        weigh()
        print("Un archivage à la fois, par un seul proxy :")
        raw(Client(connect(certificate, "sae1"), f"mesure-{int(time.time())}", retain_s=60), rounds)
        client = Client(connect(certificate), f"mesure-client-{int(time.time())}", retain_s=60)
        whole()
        print(f"Octet retourné, réparé en {repair(client):.0f} s")
        print(f"Nœud arrêté puis rendu, à jour en {catch_up(client):.0f} s (50 archives de 100 ko manquées)")
        print(f"Trois nœuds corrigés en {patch(client):.0f} s ; {client.summary()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
