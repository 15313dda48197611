# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Accounts that only a certificate opens; runs on the host, standard library only."""

from __future__ import annotations

import stat
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, run

# No password fits; a leading "!" would leave one to be brought back.
CLOSED = "*"
# A session has no use of other user identifiers.
_NO_SUBORDINATES = ("-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0")


def sudo_group(root: Path = Path("/")) -> str:
    """The one group that may execute sudo (ANSSI-BP-028 R38); empty when everyone may, or sudo is missing."""
    program = root / "usr/bin/sudo"
    if not program.exists() or program.stat().st_mode & stat.S_IXOTH:
        return ""
    gid = str(program.stat().st_gid)
    return next((fields[0] for fields in table(root / "etc/group") if fields[2] == gid), "")


def table(path: Path) -> list[list[str]]:
    """Fields of each account or group of a file of /etc."""
    return [line.split(":") for line in path.read_text(encoding="utf-8").splitlines() if line.count(":") >= 3]


def _group_names(name: str, root: Path) -> list[str]:
    return sorted(fields[0] for fields in table(root / "etc/group") if name in fields[3].split(","))


def apply(accounts: list[dict[str, str]], shell: str, check: bool = False, root: Path = Path("/")) -> list[Change]:
    """Bring the accounts to what they must be: this shell, no password, no group but what sudo needs.

    Args:
        accounts: name and comment of each.
        shell: program that opens their sessions.
        check: report only.
        root: folder of the system.

    Raises:
        StateError: a command on accounts fails.
    """
    entries = {fields[0]: fields for fields in table(root / "etc/passwd")}
    secrets = {fields[0]: fields[1] for fields in table(root / "etc/shadow")}
    needed = [group] if (group := sudo_group(root)) else []
    changes = []
    for account in accounts:
        name, comment, home = account["name"], account["comment"], f"/home/{account['name']}"
        wanted = ["--comment", comment, "--shell", shell, "--password", CLOSED, "--groups", ",".join(needed)]
        if name not in entries:
            changes.append(Change(name, "", f"compte sans mot de passe, {shell}"))
            if not check:
                options = ["--no-create-home", "--home-dir", home, "--user-group", *_NO_SUBORDINATES]
                run(["useradd", *options, *wanted, name], f"création du compte {name}")
            continue
        found = (entries[name][4], entries[name][5], entries[name][6], secrets.get(name, ""), _group_names(name, root))
        if found != (comment, home, shell, CLOSED, needed):
            changes.append(Change(name, f"{found[2]} {found[4]}", f"sans mot de passe, {shell} {needed}"))
            if not check:
                run(["usermod", "--home", home, *wanted, name], f"compte {name}")
    return changes
