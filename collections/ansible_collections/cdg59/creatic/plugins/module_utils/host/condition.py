# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How a machine is, whatever it serves: failed units, disks, clock, restart asked for, mails that wait.

Asked by `machine_report` on a morning, and left every five minutes for Prometheus by this very file, which role base
installs where a supervision looks: it needs nothing but Python.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

PREFIX = "creatic_machine_"
_FILE = Path("/var/lib/creatic/metrics/machine.prom")
_MOUNTS = Path("/proc/self/mounts")
_RESTART = Path("/run/reboot-required")
_SPOOL = Path("/var/spool/postfix")
_DISKS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "overlay", "vfat")
_QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")
_UNITS_MAX = 50
Ask = Callable[[Sequence[str]], str | None]
"""Runs a program and gives what it says; None when it fails."""


def ask(words: Sequence[str]) -> str | None:
    """Run a program."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def failed(command: Ask) -> list[str] | None:
    """Names of failed units; None when systemd does not say."""
    listed = command(["systemctl", "list-units", "--failed", "--output=json", "--no-pager"])
    return None if listed is None else [str(one["unit"]) for one in json.loads(listed)]


def disks(mounts: Path = _MOUNTS) -> list[dict[str, Any]]:
    """Disks as ``{point, plein in percent}``, each once.

    Args:
        mounts: fstab(5).
    """
    found, seen = [], set()
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        device, point, kind = line.split()[:3]
        if kind not in _DISKS or device in seen:
            continue
        seen.add(device)
        try:
            room = os.statvfs(point.replace("\\040", " "))
        except OSError:
            continue
        used = room.f_blocks - room.f_bfree
        if used + room.f_bavail:  # as df(1) counts, what is kept for root left out
            found.append({"point": point, "plein": round(100 * used / (used + room.f_bavail))})
    return found


def on_time(command: Ask) -> bool | None:
    """Whether the clock is synchronised. A container has its host's, which nothing here tells: None."""
    if command(["systemd-detect-virt", "--quiet", "--container"]) is not None:
        return None
    answer = command(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    return {"yes": True, "no": False}.get((answer or "").strip())


def restart_wanted(file: Path = _RESTART) -> bool:
    """Whether Debian asks for a restart."""
    return file.exists()


def mails(spool: Path = _SPOOL) -> int | None:
    """Mails that wait in postfix; None on a machine that has none."""
    if not spool.is_dir():
        return None
    return sum(len(files) for queue in _QUEUES for _folder, _below, files in os.walk(spool / queue))


def _label(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", " ")[:200]


def _lines(command: Ask, mounts: Path, restart: Path, spool: Path) -> Iterator[str]:
    units = failed(command)
    if units is not None:
        yield from (f'unit_failed{{unite="{_label(one)}"}} 1' for one in sorted({*units})[:_UNITS_MAX])
    yield from (f'disk_percent{{point="{_label(one["point"])}"}} {one["plein"]}' for one in disks(mounts))
    if (clock := on_time(command)) is not None:
        yield f"clock_synchronized {int(clock)}"
    yield f"restart_wanted {int(restart_wanted(restart))}"
    if (waiting := mails(spool)) is not None:
        yield f"mails_waiting {waiting}"


def text(command: Ask = ask, mounts: Path = _MOUNTS, restart: Path = _RESTART, spool: Path = _SPOOL) -> str:
    """The figures, in Prometheus' text format (0.0.4)."""
    told = [PREFIX + line for line in _lines(command, mounts, restart, spool)]
    names = dict.fromkeys(line.partition("{")[0].partition(" ")[0] for line in told)
    return "".join(
        f"# TYPE {name} gauge\n" + "".join(f"{one}\n" for one in told if one.startswith((f"{name}{{", f"{name} ")))
        for name in names
    )


def main(target: Path = _FILE) -> None:
    """Replace the file of figures at once; a reader sees the old one or the new one, whole."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w") as stream:
            stream.write(text())
        beside.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
