# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of mayan_config: the first password of each account, made once, kept for who hands it over."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

# Without those that look alike: it is read from paper once.
_RANDOM_ALPHABET = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class ActionModule(Acting):
    """Sends the module the passwords beside the rest."""

    MODULE = "cdg59.creatic.mayan_config"

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        folder = Path(str(args.pop("secrets_dir"))).expanduser()
        services = self._service_logins(args.get("configuration"))
        always = [*self._always_sent_logins(folder), *(one for one in services if self._has_password(folder, one))]
        args["passwords"] = {login: first_password(folder, login) for login in always}
        result: dict[str, Any] = self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars)
        if "wants_passwords" in result:
            _forget_passwords(folder, result)  # a login that passes to somebody else: another one is made
            args["passwords"] |= {login: first_password(folder, login) for login in result["wants_passwords"]}
            result = self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars)
        _forget_passwords(folder, result)
        return result

    def _always_sent_logins(self, folder: Path) -> list[str]:
        """Accounts whose password is sent whether they are new or not, beside the programs'."""
        return []

    def _service_logins(self, configuration: Any) -> list[str]:
        """Accounts of programs: their password is what the control node keeps (fab comptes.renouveler)."""
        users = configuration.get("users", []) if isinstance(configuration, Mapping) else []
        return [one["username"] for one in users if one.get("commune") == ""]

    def _has_password(self, folder: Path, login: str) -> bool:
        return (folder / login).exists() or not self._task.check_mode


def _forget_passwords(folder: Path, result: Mapping[str, Any]) -> None:
    """Who left knows theirs: whoever gets the login again gets another one."""
    for login in result.get("closed", []):
        (folder / Path(login).name).unlink(missing_ok=True)


def first_password(folder: Path, login: str) -> str:
    """Give the first password of an account; it is made if there is none yet."""
    file = folder / login
    if not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        password = "-".join("".join(secrets.choice(_RANDOM_ALPHABET) for _letter in range(5)) for _group in range(4))
        with open(file, "x", encoding="utf-8", opener=_open_private) as stream:
            stream.write(f"{password}\n")
    return file.read_text(encoding="utf-8").strip()


def _open_private(path: str, flags: int) -> int:
    import os

    return os.open(path, flags, 0o600)
