# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Files of modules and of the control node that survive a crash (agents have their own, which goes with them)."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Put the names of a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, data: bytes, mode: int = 0o600, gid: int = -1) -> None:
    """Write a file so that a reader, or a crash, sees the old or the new one whole.

    The mode and the group are set before there is anything to read.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        os.fchown(descriptor, -1, gid)
        os.fchmod(descriptor, mode)
        out.write(data)
        out.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    sync_folder(path.parent)
