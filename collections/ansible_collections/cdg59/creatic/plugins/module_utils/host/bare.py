# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Whether a machine is bare, as its installer leaves it: a drill may then put a backup on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

MARK = "etc/creatic-exercice"
"""File by which a drill says that what the machine holds comes from it."""
# What ssh(1) says of an address where nothing answers. A refusal (of the connection, of a key) is an answer.
_SILENT = re.compile(
    r"connect to host \S+ port \d+: (Connection timed out|No route to host|Network is unreachable|Host is down)\b"
)
# Ours: on every machine that a profile was brought on, or a backup.
_CREATIC_PATHS = ("etc/creatic", "etc/borgmatic", "var/lib/creatic", "var/lib/creatic-sauvegarde")
# Where a machine's data are, whoever deployed it (FHS 3.0, 3.13, 3.17; Debian's packages): empty until it serves.
_DATA = ("opt", "srv", "var/www", "var/lib/docker", "var/lib/mysql", "var/lib/pgbackrest", "var/lib/postgresql")


def holds(account: str, root: Path = Path("/")) -> list[str]:
    """Give what a bare machine does not have, sorted.

    Args:
        account: the administrator's, whose home folder may hold anything.
        root: the machine's.
    """
    found = [path for path in _CREATIC_PATHS if (root / path).exists()]
    found += [f"{path}/{name}" for path in _DATA for name in _entry_names(root / path) if name != "lost+found"]
    for home in _entry_names(root / "home"):
        # What useradd puts in a new home folder begins with a dot.
        if home not in (account, "lost+found") and any(
            not name.startswith(".") for name in _entry_names(root / "home" / home)
        ):
            found.append(f"home/{home}")
    return sorted(f"/{path}" for path in found)


def silent(said: str) -> bool:
    """Whether nothing answers at an address, so that the machine may be off; not when it does and lets nobody in.

    Args:
        said: what Ansible says of a machine that it does not reach by SSH.
    """
    return bool(_SILENT.search(said))


def _entry_names(folder: Path) -> Iterator[str]:
    return (path.name for path in folder.iterdir()) if folder.is_dir() else iter(())
