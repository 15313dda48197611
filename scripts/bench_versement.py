#!/usr/bin/env python3
"""Measure a versement of the lab's archive gateway against a raw PUT of as many bytes into the same Swift.

Each versement follows a raw PUT, so that both meet the same moment of a computer that does other things; the figure
is the quotient of their medians (1: a versement costs what Swift does). Then where the time goes: the same, inside the
gateway's own process; stages that overlap add up to more than the whole.

The lab's archive room and gateway must be up; archives of its account « gondecourt » stay there.
Usage: CREATIC_HOME=… scripts/bench_versement.py [--tours 10] [--depot] [SIZE_KB…]

Without --depot, what is measured is the gateway's installed package; with it, this clone's: in a process of its own,
not through the door.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from testbed import apps

sys.path[:0] = apps.sources()

from ansible_collections.cdg59.creatic.plugins.action.file_set import build_zipapp

from testbed import sae as sips
from testbed.archive_gateway import AGENCY, SIRENS, Gateway

ADDRESS = "10.59.0.30"
SIZES_KB = (10, 1_000, 100_000)
# What is timed of a versement, as "module function"; what one calls is counted in it too.
STAGES = {
    "réception": "engine Engine.receive",
    "dépaquetage et SHA-512 des fichiers": "container unpack",
    "description": "passage Passage._read_description",
    "empreintes annoncées": "passage compare",
    "antivirus": "antivirus scan",
    "formats": "formats identify",
    "archive OCFL, ses SHA-512 et MD5": "aip build",
    "écriture au stockage": "passage Passage._store_archive",
    "journal, registre, réponse": "passage Passage._accept_sip",
}
PROGRAM = """
import functools, hashlib, importlib, io, json, os, secrets, shutil, sys, tarfile, time
sys.path.insert(0, PACKAGE)
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from sae import config
from sae.versement import engine
from sae.versement.seda import NAMESPACE

FILES, SIREN = {}, "215902669"
spent = defaultdict(float)


def timed(label, module, name):
    owner = importlib.import_module("sae.versement." + module)
    *path, name = name.split(".")
    for one in path:
        owner = getattr(owner, one)
    done = getattr(owner, name)

    @functools.wraps(done)
    def call(*given, **named):
        start = time.perf_counter()
        try:
            return done(*given, **named)
        finally:
            spent[label] += time.perf_counter() - start

    setattr(owner, name, call)


for label, place in STAGES.items():
    timed(label, *place.split())
loaded = config.load()
account = replace(loaded.accounts["gondecourt"], quota_mo=10**6)
folder = Path("/var/lib/sae/mesure")  # on the disk that versements are on
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir()
made = engine.Engine.from_config(replace(loaded, folder=folder, accounts={"gondecourt": account}))
made.store.ensure_container("gondecourt", "mesure")


def scanner():
    with open(f"/proc/{clamd}/stat") as stat:
        return sum(map(int, stat.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


clamd = next((one for one in os.listdir("/proc") if one.isdecimal()
              and Path("/proc", one, "comm").read_text().strip() == "clamd"), None)
try:
    for line in sys.stdin:
        what, size = line.split()
        data = b"%PDF-1.4\\n% " + secrets.token_bytes(int(size)) + b"\\n%%EOF\\n"
        if what == "brut":
            said = {"size": len(data), "sha512": "0" * 128, "md5": hashlib.md5(data).hexdigest()}
            start = time.perf_counter()
            made.store.put("gondecourt", "mesure", secrets.token_hex(16), io.BytesIO(data), **said,
                           retain_until=int(time.time()) + 60)
            told = {"s": time.perf_counter() - start}
        else:
            package = io.BytesIO(sip({"content/acte.pdf": data}, message="MESURE-" + secrets.token_hex(8)))
            spent.clear()
            scanned = scanner() if clamd else 0.0
            used, start = time.process_time(), time.perf_counter()
            answer = made.deposit(account, package)
            told = {"s": time.perf_counter() - start, "cpu": time.process_time() - used, "étapes": spent}
            told["clamd"] = scanner() - scanned if clamd else 0.0
            if not answer.accepted:
                raise SystemExit(f"Versement refusé : {answer.reasons}")
        print(json.dumps(told), flush=True)
finally:
    shutil.rmtree(folder, ignore_errors=True)
"""


def gateway() -> Gateway:
    """The lab's."""
    home = Path(os.environ.get("CREATIC_HOME", TOP / ".cache" / "test")) / "lab"
    known = f"UserKnownHostsFile={home / 'ssh' / 'known_hosts'}"
    ssh = ["ssh", "-q", "-i", str(home / "ssh" / "id_ed25519"), "-o", known, f"creatic@{ADDRESS}"]
    return Gateway(ADDRESS, "sae.creatic.test", home, ssh)


@contextmanager
def inside(door: Gateway, package: str) -> Iterator[Any]:
    """A process of the service on the gateway; gives what asks it for a raw PUT or a versement, of so many bytes."""
    makers = "".join(inspect.getsource(one) for one in (sips.manifest, sips.tar, sips.sip))
    made = makers.replace("= AGENCY", f"= {AGENCY!r}")
    code = f"from __future__ import annotations\nPACKAGE = {package!r}\nSTAGES = {STAGES!r}\n" + PROGRAM.replace(
        "\nspent =", f"\n{made}\nspent ="
    )
    door.run("umask 022; cat > /run/mesure.py", code.encode())
    command = [*door.ssh, "cd / && exec sudo runuser -u sae -- python3 -I /run/mesure.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise OSError("ssh")
        source, sink = process.stdout, process.stdin

        def send_order(what: str, size: int) -> Any:
            print(what, size, file=sink, flush=True)
            return json.loads(source.readline())

        yield send_order
        sink.close()


def through(door: Gateway, size: int) -> float:
    """Seconds of a versement through the door, as who deposits waits for it."""
    data = b"%PDF-1.4\n% " + secrets.token_bytes(size) + b"\n%%EOF\n"
    message = f"MESURE-{secrets.token_hex(8)}"
    package = sips.sip({"content/acte.pdf": data}, message=message, agency=AGENCY, sender=SIRENS["gondecourt"])
    start = time.perf_counter()
    reply = door.deposit(package)
    seconds = time.perf_counter() - start
    if reply.code != "OK":
        raise SystemExit(f"Versement refusé : {reply.comment}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Versement et PUT brut, alternés.")
    parser.add_argument("tailles", nargs="*", type=int, default=SIZES_KB, metavar="KO")
    parser.add_argument("--tours", type=int, default=10)
    parser.add_argument("--depot", action="store_true", help="mesure ce dépôt, sans la porte")
    given = parser.parse_args()
    door, package = gateway(), "/usr/lib/sae/sae.pyz"
    if given.depot:
        package = "/run/mesure.pyz"
        built = build_zipapp(TOP / "apps" / "sae" / "src" / "sae", "sae.cli:main")
        door.run(f"umask 022; cat > {package}", built)
    with inside(door, package) as ask:
        for size in given.tailles:
            rounds = []
            for rank in range(given.tours + 1):
                raw, own = ask("brut", size * 1000), ask("versement", size * 1000)
                outer = 0.0 if given.depot else through(door, size * 1000)
                if rank:  # the first one opens what the others find open
                    rounds.append((raw["s"], own, outer))
            show(size, rounds)


def show(size: int, rounds: list[tuple[float, Any, float]]) -> None:
    """Print the medians of a size."""
    raw, whole = median(one[0] for one in rounds), median(one[1]["s"] for one in rounds)
    print(f"== {size} ko, {len(rounds)} tours : PUT brut {raw:.3f} s")
    if outer := median(one[2] for one in rounds):
        print(f"  par la porte      {outer:8.3f} s, rapport {raw / outer:.2f}")
    print(f"  dans le processus {whole:8.3f} s, rapport {raw / whole:.2f}", end="")
    cpu, scanner = (median(one[1][name] for one in rounds) for name in ("cpu", "clamd"))
    print(f" ; processeur {cpu:.3f} s, clamd {scanner:.3f} s")
    for label in STAGES:
        print(f"    {label:38} {median(one[1]['étapes'].get(label, 0.0) for one in rounds):8.3f} s", flush=True)


if __name__ == "__main__":
    main()
