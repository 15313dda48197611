# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What Debian has to bring to a machine, and what still runs on what was replaced; asked on the machine itself.

apt says what it would do, and needrestart, which the hardening installs, what runs on replaced files: programs,
libraries and kernel.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host.preflight import Check, check
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError, run
from ansible_collections.cdg59.creatic.plugins.module_utils.words import size

LISTS = Path("/var/lib/apt/lists/partial")
REBOOT = Path("/run/reboot-required")
AGAIN_S = 24 * 3600  # a machine that started since is not restarted for the mere asking
MIN_SPACE_FACTOR = 4  # room asked for, in times of what is downloaded: the packages, then what they hold

_INST = re.compile(r"Inst (\S+)(?: \[([^]]+)\])? \((\S+) ?(.*?)(?: \[[^]]*\])?\)")
Run = Callable[[Sequence[str], str], str]


def look(
    *, restart: bool, moment: float, command: Run = run, root: Path = Path("/")
) -> tuple[dict[str, Any], list[Check]]:
    """Say what there is to do, and what forbids it.

    Args:
        restart: a restart is asked for, even if nothing needs one.
        moment: current time, seconds since the epoch.
        command: runs a program, see `state.run`.
        root: ``/``, or a tree of the same shape.

    Returns:
        What there is to do (``correctifs`` of answers.schema.json), and the checks of what is asked before it is done.

    Raises:
        StateError: apt does not answer.
    """
    planned = command(["apt-get", "-s", "-o", "Debug::NoLocking=true", "dist-upgrade"], "apt-get")
    sizes = command(["apt-get", "-qq", "-o", "Debug::NoLocking=true", "--print-uris", "dist-upgrade"], "apt-get")
    broken, unfinished = dpkg(command(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}|${binary:Package}\n"], "dpkg"))
    started = int(command(["systemctl", "show", "--property=UserspaceTimestamp", "--timestamp=unix", "--value"],
                          "systemctl").strip().lstrip("@") or 0)  # fmt: skip # one call by its parts
    services, reasons = replaced(command)
    asked = root / REBOOT.relative_to("/")
    if asked.exists():
        for_ = asked.with_name("reboot-required.pkgs")
        named = sorted({*for_.read_text(encoding="utf-8", errors="replace").split()}) if for_.is_file() else []
        reasons.insert(0, "Debian le demande" + (f" ({', '.join(named)})" if named else ""))
    if restart and moment - started > AGAIN_S:
        reasons.append("demandé")
    held = command(["apt-mark", "showhold"], "apt-mark").split()
    lists = root / LISTS.relative_to("/")
    state = {
        "paquets": packages(planned),
        "inacheves": unfinished,
        "retenus": held,
        "services": services,
        "redemarrer": reasons,
        "sessions": seated(command(["loginctl", "list-sessions", "--no-legend"], "loginctl")),
        "demarre": started,
        "listes": int(lists.stat().st_mtime) if lists.is_dir() else 0,
    }
    return state, [
        whole(broken, removed(planned)),
        room(root, sum(int(found) for found in re.findall(r"^'[^']*' \S+ (\d+)", sizes, flags=re.M))),
    ]


def packages(planned: str) -> list[dict[str, Any]]:
    """What a simulated upgrade would install: nom, installee (empty for a new one), disponible, securite."""
    found = {
        name: {
            "nom": name,
            "installee": old or "",
            "disponible": new,
            "securite": "-Security:" in origin or "-security" in origin,
        }
        for name, old, new, origin in _INST.findall(planned)
    }
    return [found[name] for name in sorted(found)]


def removed(planned: str) -> list[str]:
    """What a simulated upgrade would remove."""
    return sorted(re.findall(r"^Remv (\S+)", planned, flags=re.M))


def dpkg(told: str) -> tuple[list[str], list[str]]:
    """Packages of which an installation was cut off: those to install again by hand, those that dpkg can finish."""
    broken, unfinished = [], []
    for line in told.splitlines():
        state, _, name = line.partition("|")
        wanted, status, error = tuple(state.ljust(3)[:3])
        if status == "H" or error == "R":
            broken.append(name)
        elif status in "UFWt" and wanted == "i":
            unfinished.append(name)
    return sorted(broken), sorted(unfinished)


def replaced(command: Run = run) -> tuple[list[str], list[str]]:
    """Services that run on replaced files, and why the machine itself is to be restarted."""
    told = command(["needrestart", "-b", "-r", "l"], "needrestart")
    found = re.findall(r"^NEEDRESTART-(\w+): *(.*?) *$", told, flags=re.M)
    one = dict(found)
    reasons = []
    if one.get("KSTA") in ("2", "3"):
        reasons.append(f"noyau {one.get('KCUR', '?')} remplacé par {one.get('KEXP', '?')}")
    if one.get("UCSTA") == "2":
        reasons.append("microcode du processeur remplacé")
    return sorted({value for key, value in found if key == "SVC"}), reasons


def seated(told: str) -> list[str]:
    """Persons in front of the machine: their open sessions of a seat."""
    rows = [line.split() for line in told.splitlines()]
    # SESSION UID USER SEAT LEADER CLASS …
    return sorted({row[2] for row in rows if len(row) > 5 and row[3] != "-" and row[5] == "user"})


def whole(broken: Sequence[str], gone: Sequence[str]) -> Check:
    """Nothing is to be repaired by hand first, and nothing would go away."""
    if broken:
        remedy = f"Sur la machine : sudo apt-get install --reinstall {' '.join(broken)}"
        return check("paquets", "Paquets", "echec", f"installation coupée de {', '.join(broken)}", remedy)
    if gone:
        remedy = "À décider sur la machine : sudo apt-get dist-upgrade, puis relancer."
        return check("paquets", "Paquets", "echec", f"les correctifs retireraient {', '.join(gone)}", remedy)
    return check("paquets", "Paquets", "ok", "aucun à réparer")


def room(root: Path, download: int) -> Check:
    """Disks hold what is downloaded and unpacked, in bytes."""
    free = {
        folder: os.statvfs(root / folder).f_bavail * os.statvfs(root / folder).f_frsize for folder in ("usr", "var")
    }
    least = min(free, key=lambda folder: free[folder])
    detail = f"{size(download)} à télécharger, {size(free[least])} libres dans /{least}"
    if free[least] >= MIN_SPACE_FACTOR * download:
        return check("place", "Place des correctifs", "ok", detail)
    remedy = f"Libérer de la place dans /{least} (apt-get clean, journaux anciens) ou agrandir le disque."
    return check(
        "place", "Place des correctifs", "echec", f"{detail}, il en faut {size(MIN_SPACE_FACTOR * download)}", remedy
    )


def refresh(pause: Callable[[float], None] = time.sleep) -> None:
    """Bring the package lists up to date; who is at it already is waited for, two minutes at most.

    Raises:
        StateError: a source does not answer; the lists of before are still there.
    """
    for left in range(12, -1, -1):
        done = subprocess.run(
            ["apt-get", "-q", "update", "--error-on=any"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"LC_ALL": "C"},
        )
        if not done.returncode or "Could not get lock" not in done.stderr or not left:
            break
        pause(10)
    if done.returncode:
        said = " / ".join(line for line in (done.stderr + done.stdout).splitlines() if line.startswith(("E:", "Err:")))
        raise StateError(f"les listes de paquets ne se mettent pas à jour : {said or done.returncode}")
