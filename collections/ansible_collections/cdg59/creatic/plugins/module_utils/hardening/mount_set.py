# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Mount options: kept in /etc/fstab, and in force now (ANSSI-BP-028 R28)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, run, write

FSTAB = Path("/etc/fstab")
MOUNTS = Path("/proc/self/mounts")


def mounted(text: str) -> dict[str, set[str]]:
    """Options in force by mount point (the last mount of a point is the one seen)."""
    return {fields[1]: set(fields[3].split(",")) for fields in (line.split() for line in text.splitlines())}


def edit_fstab(text: str, path: str, options: list[str], add: str = "") -> str:
    """Give fstab with the options on the mount point's line; ``add`` is the line of a point which has none."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        fields = line.split()
        if len(fields) >= 4 and not line.lstrip().startswith("#") and fields[1] == path:
            present = fields[3].split(",")
            lacking = [option for option in options if option not in present]
            if lacking:
                fields[3] = ",".join([*present, *lacking])
                lines[number] = "\t".join(fields)
            break
    else:
        if add:
            lines.append(add)
    return "".join(f"{line}\n" for line in lines)


def apply(entries: list[dict[str, Any]], check: bool = False) -> list[Change]:
    """Bring the options of every mount point in force, and into fstab.

    Args:
        entries: path, options, and ``fstab``: a line for a point systemd mounts by itself; without it a point
            that is not in fstab (tmp.mount has a drop-in) keeps its definition.
        check: report only.

    Raises:
        StateError: the kernel refuses to remount.
    """
    changes = []
    now = mounted(MOUNTS.read_text(encoding="utf-8"))
    before = FSTAB.read_text(encoding="utf-8") if FSTAB.exists() else ""
    text = before
    for entry in entries:
        path, options = entry["path"], entry["options"]
        if path not in now:
            continue
        text = edit_fstab(text, path, options, entry.get("fstab") or "")
        lacking = [option for option in options if option not in now[path]]
        if lacking:
            changes.append(Change(f"montage {path}", ",".join(sorted(now[path])), f"+ {','.join(lacking)}"))
            if not check:
                kept = sorted(now[path] & {"ro", "nosuid", "nodev", "noexec", "noatime", "relatime"})
                run(
                    ["mount", "-o", ",".join(["remount", "bind", *kept, *lacking]), path],
                    f"{path} : nouvelles options refusées",
                )
    if text != before:
        changes.append(Change(str(FSTAB), before.rstrip("\n"), text.rstrip("\n")))
        if not check:
            write(FSTAB, text)
    return changes
