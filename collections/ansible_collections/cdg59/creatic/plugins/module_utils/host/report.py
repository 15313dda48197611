# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How a machine is this morning, asked on the machine itself; nothing is changed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host import condition
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError, run

FIGURES = Path("/var/lib/creatic/metrics")
_FILE_MAX, _FILES_MAX = 512 * 1024, 40
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

    Raises:
        StateError: systemd does not answer.
    """

    def run_or_none(words: Sequence[str]) -> str | None:
        try:
            return command(words, words[0])
        except StateError:
            return None

    units = condition.failed(run_or_none)
    if units is None:
        raise StateError("systemctl ne dit pas ce qui est en échec")
    texts, unread = _read_figures(figures)
    return {
        "maintenant": time.time(),
        "mesures": texts,
        "illisibles": unread,
        "unites": units,
        "disques": condition.disks(mounts),
        "a_l_heure": condition.on_time(run_or_none),
        "redemarrage": condition.restart_wanted(),
    }


def _read_figures(folder: Path) -> tuple[list[str], list[str]]:
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
