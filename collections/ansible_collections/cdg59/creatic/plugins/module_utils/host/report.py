# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How a machine is this morning, asked on the machine itself; nothing is changed."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError, run

FIGURES = Path("/var/lib/creatic/metrics")
_FILE_MAX, _FILES_MAX = 512 * 1024, 40
_DISKS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "overlay", "vfat")
Run = Callable[[Sequence[str], str], str]


def look(command: Run = run, figures: Path = FIGURES, mounts: Path = Path("/proc/self/mounts")) -> dict[str, Any]:
    """Say how the machine is.

    Args:
        command: runs a program, see `state.run`.
        figures: folder of the programs' figures.
        mounts: its mounted file systems, fstab(5).

    Returns:
        maintenant (its clock, seconds since the epoch), mesures (texts of its figures), illisibles (names of those that
        cannot be read), unites (failed ones), disques ({point, plein in percent}), a_l_heure (None when nothing tells),
        redemarrage (Debian asks for one).
    """
    texts, unread = _figures(figures)
    return {
        "maintenant": time.time(),
        "mesures": texts,
        "illisibles": unread,
        "unites": _failed(command),
        "disques": _disks(mounts),
        "a_l_heure": _on_time(command),
        "redemarrage": Path("/run/reboot-required").exists(),
    }


def _figures(folder: Path) -> tuple[list[str], list[str]]:
    """Programs of several accounts write there: links, big files and what is no text are left out, and told."""
    paths = sorted(folder.glob("*.prom"))
    texts, unread = [], [path.name for path in paths[_FILES_MAX:]]
    for path in paths[:_FILES_MAX]:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as stream:
                state = os.fstat(handle)
                if not stat.S_ISREG(state.st_mode) or state.st_size > _FILE_MAX:
                    raise ValueError
                texts.append(stream.read(_FILE_MAX).decode("utf-8"))
        except (OSError, ValueError):
            unread.append(path.name)
    return texts, unread


def _failed(command: Run) -> list[str]:
    listed = json.loads(command(["systemctl", "list-units", "--failed", "--output=json", "--no-pager"], "systemctl"))
    return [str(one["unit"]) for one in listed]


def _disks(mounts: Path) -> list[dict[str, Any]]:
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


def _on_time(command: Run) -> bool | None:
    """A container has its host's clock, which nothing here tells."""
    try:
        command(["systemd-detect-virt", "--quiet", "--container"], "systemd-detect-virt")
    except StateError:
        pass
    else:
        return None
    try:
        answer = command(["timedatectl", "show", "--property=NTPSynchronized", "--value"], "timedatectl").strip()
    except StateError:
        return None
    return {"yes": True, "no": False}.get(answer)
