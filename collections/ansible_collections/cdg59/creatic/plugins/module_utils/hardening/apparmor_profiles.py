# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""AppArmor's profiles: what they do not allow is refused, not only told (ANSSI-BP-028 R45)."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, run, write

PROFILES = Path("/etc/apparmor.d")
# Where the kernel takes profiles; absent from a container, and from a kernel without AppArmor.
KERNEL = Path("/sys/kernel/security/apparmor/profiles")
# The flags of a profile's first line: profile NAME /program flags=(complain,attach_disconnected) {
_FLAGS = re.compile(r"^(\s*(?:profile\s|/|hat\s|\^)[^#\n]*?)\s*(?:flags\s*=\s*)?\(([\w\s,.=-]+)\)\s*\{", re.M)


def enforced(text: str) -> str:
    """Give a profile file without its ``complain`` flags; every other flag is kept."""

    def line(found: re.Match[str]) -> str:
        flags = re.findall(r"[^\s,]+", found[2])
        if "complain" not in flags:
            return found[0]
        kept = ",".join(flag for flag in flags if flag != "complain")
        return f"{found[1]} flags=({kept}) {{" if kept else f"{found[1]} {{"

    return _FLAGS.sub(line, text)


def apply(check: bool = False, folder: Path = PROFILES, kernel: Path = KERNEL) -> list[Change]:
    """Have every profile enforced, from the file on, and in the kernel where it has AppArmor.

    Args:
        check: report only.
        folder: where the profiles are (for tests).
        kernel: the kernel's list of profiles (for tests).

    Raises:
        StateError: AppArmor refuses a profile; its file is put back.
    """
    changes = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.is_symlink() or not path.is_file():
            continue
        before = path.read_text(encoding="utf-8")
        after = enforced(before)
        if after == before:
            continue
        changes.append(Change(str(path), before.rstrip("\n"), after.rstrip("\n")))
        if not check:
            write(path, after, validate=["apparmor_parser", "--skip-kernel-load", "--skip-cache", "--quiet", "%s"])
    if changes and not check and kernel.exists():
        names = [change.name for change in changes]
        run(["apparmor_parser", "--replace", "--write-cache", *names], "AppArmor refuse les profils")
    return changes
