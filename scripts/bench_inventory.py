#!/usr/bin/env python3
"""Measure the inventory of a whole département: 500 communes of 5 hosts, made in a temporary folder.

Prints wall and CPU seconds of `ansible-inventory --list` without and with the cache, of a `--limit` play of one
host, and of an inventory of one host, which is what Ansible itself costs. Usage: scripts/bench_inventory.py [N]
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]
PC = """  - nom: pc-{n}
    adresse: {network}.1{n}
    systeme: debian
    certificats:
      - titulaire: Service {n}
        usage: authentification
        source: groupement
"""
COMMUNE = """---
nom: Commune {number}
siren: "{siren}"
insee: "59{number:03d}"
territoire: lille
agents: {agents}
vague: {wave}
services: [teletransmission, parapheur, deliberations, ged, archivage]
postes:
{postes}connecteur:
  adresse: {network}.20
  tdt: s2low
"""
PLAY = """---
- name: Start of a play
  hosts: all
  gather_facts: false
  tasks:
    - name: Ensure the play reaches its task
      ansible.builtin.debug:
        msg: "{{ creatic_commune.nom }}"
"""


def _make_siren(number: int) -> str:
    """Make a valid SIREN: the eight digits of a commune of the Nord, then Luhn's key."""
    digits = f"2159{number:04d}"
    total = sum(sum(divmod(int(digit) * (1 + place % 2), 10)) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def write_inventory(folder: Path, count: int) -> None:
    """Write `count` communes (up to 1,000) of four PCs and a connector."""
    shutil.copy(TOP / "inventories/lab/groupement.yml", folder)
    (folder / "communes").mkdir()
    for number in range(count):
        network = f"10.{number // 250}.{number % 250}"
        text = COMMUNE.format(
            number=number,
            siren=_make_siren(number),
            agents=10 + number,
            wave=1 + number % 9,
            network=network,
            postes="".join(PC.format(n=n, network=network) for n in range(4)),
        )
        (folder / "communes" / f"commune-{number:03d}.yml").write_text(text, encoding="utf-8")


def _measure_command(title: str, command: Sequence[str | Path], folder: Path) -> None:
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(TOP / "collections"),
    }
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{title:52} {wall:6.2f} s   {cpu:6.2f} s CPU")


def main(count: int) -> None:
    """Make the inventory and print the measures."""
    tools = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # the project's settings; the cache goes next to them
        shutil.copy(TOP / "ansible.cfg", folder)
        for kept, communes in (("all", count), ("one", 1)):  # an inventory's folder holds nothing else
            (folder / kept).mkdir()
            write_inventory(folder / kept, communes)
        (folder / "play.yml").write_text(PLAY, encoding="utf-8")
        source = folder / "all" / "groupement.yml"
        everything: list[str | Path] = [tools / "ansible-inventory", "-i", source, "--list"]
        play: list[str | Path] = [tools / "ansible-playbook", "-i", source, folder / "play.yml"]
        print(f"{count} communes, {count * 5} hosts")
        _measure_command("ansible-inventory --list, no cache", everything, folder)
        _measure_command("ansible-inventory --list", everything, folder)
        _measure_command(
            "play of one host (-c local --limit)", [*play, "-c", "local", "-l", "commune-007-pc-1"], folder
        )
        print("one commune: what Ansible itself costs")
        everything[2] = folder / "one" / "groupement.yml"
        _measure_command("ansible-inventory --list", everything, folder)
        play[2] = everything[2]
        _measure_command(
            "play of one host (-c local --limit)", [*play, "-c", "local", "-l", "commune-000-pc-1"], folder
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
