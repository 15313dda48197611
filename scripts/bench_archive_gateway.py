#!/usr/bin/env python3
"""Measure versements on the lab's room, against raw Swift and against the disk, in one run on the gateway itself.

Usage: scripts/bench_archive_gateway.py [AIPS [SECONDS]]: sizes first, then growth: that many small AIPs in all (default
1000), or as many as fit in that time (default 480 s). Each versement goes through the door (nginx, mTLS), from this
machine; one after the other for the sizes, four at a time for the growth.
scripts/bench_archive_gateway.py --sans-salle AIPS: growth of the door alone (spool, journal, registry, packaging) on
this machine, its storage a folder in memory: no lab, and many more archives in the same time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from testbed import apps

sys.path[:0] = apps.sources()

from testbed.archive_gateway import AGENCY, AGREEMENT, SIRENS, Gateway
from testbed.sae import GONDECOURT, PDF, FakeClamd, sip
from testbed.sae import Gateway as Alone

SIZES = {"10 ko": (10_000, 30), "1 Mo": (1_000_000, 10), "100 Mo": (100_000_000, 2)}
HOME = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser() / "lab"
# The same bytes put into Swift by the gateway's own client, and written to its disk: JSON of seconds.
RAW = """
import hashlib, io, os, time
size, count = {size}, {count}
data = os.urandom(size)
digest = hashlib.sha512(data).hexdigest()
store.put('partenaire-essai', 'mesure', f'depart-{{time.time_ns()}}', io.BytesIO(b'x'), size=1,
          sha512=hashlib.sha512(b'x').hexdigest(), retain_until=1)
start = time.monotonic()
for _ in range(count):
    store.put('partenaire-essai', 'mesure', f'brut-{{time.time_ns()}}', io.BytesIO(data), size=size, sha512=digest,
              retain_until=1)
swift = time.monotonic() - start
start = time.monotonic()
for rank in range(count):
    with open(f'/var/lib/sae/mesure-{{rank}}', 'wb') as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
disk = time.monotonic() - start
for rank in range(count):
    os.unlink(f'/var/lib/sae/mesure-{{rank}}')
for name in list(store.names('partenaire-essai', 'mesure')):
    store.delete('partenaire-essai', 'mesure', name)
result = [swift, disk]
"""
# Processor that the gateway's services have used, seconds: what else the machine does changes it less than a rate.
SPENT = """
import subprocess
units = ['sae-versement', 'nginx', 'clamav-daemon']
command = ['systemctl', 'show', '-p', 'CPUUsageNSec', '--value', *units]
shown = subprocess.run(command, capture_output=True, text=True, check=True)
result = sum(int(value) for value in shown.stdout.split()) / 1e9
"""


def gateway() -> Gateway:
    """The lab's gateway."""
    known = f"UserKnownHostsFile={HOME / 'ssh' / 'known_hosts'}"
    ssh = ["ssh", "-q", "-i", str(HOME / "ssh" / "id_ed25519"), "-o", known, "creatic@10.59.0.30"]
    return Gateway("10.59.0.30", "sae.creatic.test", HOME, ssh)


def package(size: int) -> bytes:
    """A SIP of one PDF of about that size, which no other SIP has."""
    content = PDF + b"% " + os.urandom(max(size - len(PDF), 16) // 2).hex().encode() + b"\n"
    return sip(
        {"content/mesure.pdf": content},
        message=f"MESURE-{time.time_ns()}",
        agency=AGENCY,
        sender=SIRENS["la-madeleine"],
        agreement=AGREEMENT,
    )


def seconds(packages: list[bytes], door: Gateway, at_once: int = 1) -> float:
    """How long it took to deposit them, all accepted."""
    start = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        for reply in pool.map(lambda content: door.deposit(content, "la-madeleine"), packages):
            if reply.status != 200:
                raise SystemExit(f"versement refusé : {reply.data.decode()[:500]}")
    return time.monotonic() - start


def growth_alone(wanted: int) -> None:
    """Deposit on a gateway that has a folder for storage, and print the rate of each twentieth."""
    step = max(wanted // 20, 1)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        scanner = FakeClamd(Path(name) / "clamd.ctl")
        account = replace(GONDECOURT, quota_mo=100_000)
        gateway = Alone(Path(name), accounts={account.name: account})
        for done in range(0, wanted, step):
            packages = [
                sip({"content/mesure.pdf": PDF + b"% " + os.urandom(5000).hex().encode()}, message=f"M-{done + rank}")
                for rank in range(step)
            ]
            start, cpu = time.perf_counter(), time.process_time()
            if not all(gateway.deposit(content, account).accepted for content in packages):
                raise SystemExit("versement refusé")
            spent, used = time.perf_counter() - start, time.process_time() - cpu
            print(
                f"{done + step:>6} archives : {step / spent:6.1f}/s, {used / step * 1000:5.1f} ms CPU chacune",
                flush=True,
            )
        start = time.perf_counter()
        gateway.registry.latest(account.name, 50)
        gateway.registry.usage()
        print(f"page du compte : {(time.perf_counter() - start) * 1000:.1f} ms")
        scanner.stop()


def main() -> None:
    """Print the tables."""
    if sys.argv[1:2] == ["--sans-salle"]:
        growth_alone(int(sys.argv[2]))
        return
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    door = gateway()
    seconds([package(10_000)], door)
    print(f"{'taille':<8} {'versement':>22} {'PUT Swift':>22} {'disque + fsync':>22}")
    for label, (size, count) in SIZES.items():
        through = seconds([package(size) for _ in range(count)], door)
        swift, disk = door.python(RAW.format(size=size, count=count))
        cells = [f"{count / spent:8.1f}/s {count * size / spent / 1e6:8.1f} Mo/s" for spent in (through, swift, disk)]
        print(f"{label:<8} {cells[0]:>22} {cells[1]:>22} {cells[2]:>22}", flush=True)
    done, step, before = 0, max(min(wanted // 20, 200), 1), door.python(SPENT)
    deadline = time.monotonic() + (float(sys.argv[2]) if len(sys.argv) > 2 else 480)
    while done < wanted and time.monotonic() < deadline:
        spent = seconds([package(10_000) for _ in range(step)], door, 4)
        done += step
        cpu = door.python(SPENT)
        print(
            f"{done:>6} archives de plus : {step / spent:5.1f} par seconde, {(cpu - before) / step * 1000:.0f} ms de"
            " processeur chacune sur la porte",
            flush=True,
        )
        before = cpu
    if done < wanted:
        print(f"arrêté à {done} archives sur {wanted}, le temps est écoulé")


if __name__ == "__main__":
    main()
