# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Accounts: no service account with a shell, no empty password, private homes (ANSSI-BP-028 R30, R31, R34, R50)."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, run

NO_SHELL = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false", "/bin/sync", "/usr/bin/sync", "")
FIRST_USER, LAST_USER = 1000, 59999
INIT_FILES = (".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".profile", ".cshrc", ".kshrc", ".login")
INIT_FILES_MODE = 0o740
HOME_MODE = 0o750


@dataclass
class Policy:
    """What is wanted of the accounts.

    Attributes:
        root_max_age: days before root's password must change.
        shell_accounts: service accounts which keep their shell.
        private_homes: whether homes and their start-up files are closed to others.
    """

    root_max_age: int
    shell_accounts: list[str]
    private_homes: bool


def _read_shadow(root: Path) -> dict[str, list[str]]:
    return {line.split(":")[0]: line.split(":") for line in (root / "etc/shadow").read_text().splitlines() if line}


def _limit_setting(path: Path, most: int, check: bool) -> Change | None:
    mode = stat.S_IMODE(path.lstat().st_mode)
    if path.is_symlink() or not mode & ~most:
        return None
    if not check:
        path.chmod(mode & most)
    return Change(str(path), f"mode {mode:04o}", f"mode {mode & most:04o}")


def apply(policy: Policy, check: bool = False, root: Path = Path("/")) -> list[Change]:
    """Bring the accounts to the policy.

    Raises:
        StateError: a command on accounts fails.
    """
    changes: list[Change] = []
    shadow = _read_shadow(root)
    if shadow.get("root", [""] * 9)[4] != str(policy.root_max_age):
        changes.append(
            Change("root", f"mot de passe : {shadow['root'][4] or 'aucune'} jours", f"{policy.root_max_age} jours")
        )
        if not check:
            run(["chage", "--maxdays", str(policy.root_max_age), "root"], "durée du mot de passe de root")
    for line in (root / "etc/passwd").read_text().splitlines():
        name, _x, uid_text, _gid, _gecos, home, shell = line.split(":")
        uid = int(uid_text)
        if shadow.get(name, ["", "x"])[1] == "":
            changes.append(Change(name, "mot de passe vide", "verrouillé"))
            if not check:
                run(["passwd", "--lock", name], f"verrouillage de {name}")
        if 0 < uid < FIRST_USER and shell not in NO_SHELL and name not in policy.shell_accounts:
            changes.append(Change(name, f"shell {shell}", "shell /usr/sbin/nologin"))
            if not check:
                run(["usermod", "--shell", "/usr/sbin/nologin", name], f"shell de {name}")
        folder = root / home.lstrip("/")
        if policy.private_homes and FIRST_USER <= uid <= LAST_USER and folder.is_dir():
            wanted = [(folder, HOME_MODE), *((folder / file, INIT_FILES_MODE) for file in INIT_FILES)]
            changes += [
                change
                for path, most in wanted
                if path.exists(follow_symlinks=False) and (change := _limit_setting(path, most, check))
            ]
    return changes
