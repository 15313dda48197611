#!/usr/bin/env python3
"""Measure the rollout of one commune on the lab: cold, warm, and the same roles under stock ansible.cfg.

    scripts/bench_rollout.py [slug]

Makes the lab anew (as root), so that the first run is cold; package downloads stay cached. Prints, for each run,
wall seconds, CPU seconds of Ansible on the control node, CPU seconds of the whole machine (the lab's hosts run on
it too), and tasks executed per host.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from creatic.registry import profiles

os.environ["PATH"] = f"{TOP / '.venv' / 'bin'}:{os.environ['PATH']}"
INVENTORY = TOP / "inventories" / "lab"
os.environ["CREATIC_INVENTORY"] = str(INVENTORY)  # whatever environment is chosen in this clone


@dataclass
class Measure:
    """One run: seconds of wall time, of Ansible's CPU, of the machine's CPU; tasks by host; hosts changed."""

    wall: float
    control: float
    machine: float
    tasks: dict[str, int]
    changed: int


def machine_cpu() -> float:
    """CPU seconds spent by the whole machine since boot, idle and wait left out."""
    fields = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / os.sysconf("SC_CLK_TCK")


def play(playbook: str, limit: str, stock: bool = False) -> Measure:
    """Run one playbook and measure it; the project's ansible.cfg, or Ansible's defaults with our paths only."""
    env = dict(os.environ)
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        if stock:
            config.write(
                f"[defaults]\nroles_path={TOP / 'roles'}\ncollections_path={TOP / 'collections'}\n"
                "[inventory]\nenable_plugins=cdg59.creatic.groupement, ansible.builtin.yaml\n"
                "[privilege_escalation]\nbecome=True\n"
            )
            config.flush()
            env["ANSIBLE_CONFIG"] = config.name
        before, machine, start = resource.getrusage(resource.RUSAGE_CHILDREN), machine_cpu(), time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", "-i", str(INVENTORY), str(TOP / "playbooks" / playbook), "--limit", limit],
            cwd=TOP,
            env=env | {"ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        wall, used = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{playbook} a échoué :\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    recap = re.findall(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)", done.stdout, re.MULTILINE)
    control = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return Measure(
        wall,
        control,
        machine_cpu() - machine,
        {host: int(ok) for host, ok, _changed in recap},
        sum(int(changed) > 0 for _host, _ok, changed in recap),
    )


def show(label: str, measure: Measure) -> None:
    print(
        f"{label:34} {measure.wall:7.1f} s   Ansible {measure.control:6.1f} CPU s   machine {measure.machine:6.1f}"
        f"   tâches/hôte max {max(measure.tasks.values()):3d}   hôtes modifiés {measure.changed}",
        flush=True,
    )


def main() -> int:
    slug = sys.argv[1] if len(sys.argv) > 1 else "gondecourt"
    group = f"commune_{slug.replace('-', '_')}"
    for step in ("banc.arreter", "banc.demarrer"):
        print(f"== fab {step}", flush=True)
        subprocess.run(["fab", step], cwd=TOP, check=True, stdout=subprocess.DEVNULL)
    show("simulateur de TdT, à froid", play("site.yml", "tdt_simulator"))
    show("serveurs, à froid", play("site.yml", f"all:localhost:!banc:!{':!'.join(profiles.marked('commune'))}"))
    every = ":".join([group, *profiles.marked("place")])  # as fab commune.deployer does
    show(f"rollout {slug}, à froid", play("journeys/rollout.yml", every))
    show(f"rollout {slug}, à chaud", play("journeys/rollout.yml", every))
    # The proof waits for the préfecture; the profiles alone say what the configuration costs.
    ours = play("site.yml", group)
    stock = play("site.yml", group, stock=True)
    show("profils seuls, sans changement", ours)
    show("les mêmes, ansible.cfg d'origine", stock)
    print(
        f"rapport (origine / projet) : {stock.wall / ours.wall:.2f} en durée, {stock.control / ours.control:.2f} en CPU"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
