# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Owner, group and mode of existing files, kept over package upgrades where a package owns them."""

from __future__ import annotations

import glob
import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError, run

OVERRIDES = Path("/var/lib/dpkg/statoverride")


def _is_overridden(path: Path, wanted: str) -> bool:
    try:
        return f"{wanted} {path}" in OVERRIDES.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False


def _owner_ids(owner: str, group: str, check: bool) -> tuple[int, int]:
    try:
        return pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError as error:
        if check:
            return -1, -1
        raise StateError(f"compte ou groupe inconnu de cette machine : {error}") from None


def apply(entries: list[dict[str, Any]], check: bool = False) -> list[Change]:
    """Bring every existing path to its owner, group and mode; what does not exist is left alone.

    Args:
        entries: path (or glob), owner, group, mode (octal text, or None), ``most`` (bits that may be set: a
            stricter mode is kept), ``package`` (the file belongs to a package: dpkg-statoverride keeps the choice).
        check: report only.

    Raises:
        StateError: an unknown account or group.
    """
    changes = []
    for entry in entries:
        uid, gid = _owner_ids(entry["owner"], entry["group"], check)
        for name in sorted(glob.glob(entry["path"])):  # noqa: PTH207 - Path.glob takes no absolute pattern
            path = Path(name)
            if path.is_symlink():
                continue
            info = path.stat()
            present = stat.S_IMODE(info.st_mode)
            mode = present & int(entry["most"], 8) if entry.get("most") else int(entry["mode"], 8)
            before = f"{info.st_uid}:{info.st_gid} {present:04o}"
            after = f"{uid}:{gid} {mode:04o}"
            if before != after:
                changes.append(Change(name, before, after))
                if not check:
                    os.chown(path, uid, gid)
                    path.chmod(mode)
            kept = f"{entry['owner']} {entry['group']} {mode:o}"
            if entry.get("package") and not _is_overridden(path, kept):
                changes.append(Change(f"dpkg-statoverride {name}", "", kept))
                if not check:
                    run(
                        ["dpkg-statoverride", "--force-statoverride-add", "--add", *kept.split(), name],
                        "dpkg-statoverride",
                    )
    return changes
