# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What every action plugin of the collection begins with."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError


class Acting(ActionBase):
    """Base of the action plugins: a subclass says what is done, of which arguments."""

    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        try:
            return self.act(dict(self._task.args), task_vars or {})
        except CreaticError as error:
            raise AnsibleActionFail(str(error)) from error

    @abstractmethod
    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Do the task, of these arguments; gives its result. An error of ours fails it, with its message."""
