# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of deliberations_config: the first password of each account, kept for who hands it over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.cdg59.creatic.plugins.action.mayan_config import first_password
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import deliberations


class ActionModule(ActionBase):
    """Sends the module the passwords beside the rest: the passerelle's always, a new account's when it is made."""

    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        folder = Path(str(args.pop("secrets_dir"))).expanduser()
        args["passwords"] = {}
        if (folder / deliberations.SERVICE).exists() or not self._task.check_mode:
            args["passwords"][deliberations.SERVICE] = first_password(folder, deliberations.SERVICE)
        result = self._module(args, task_vars)
        if "wants_passwords" in result:
            args["passwords"] |= {login: first_password(folder, login) for login in result["wants_passwords"]}
            result = self._module(args, task_vars)
        return result

    def _module(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_name="cdg59.creatic.deliberations_config", module_args=args, task_vars=task_vars
        )
        return found
