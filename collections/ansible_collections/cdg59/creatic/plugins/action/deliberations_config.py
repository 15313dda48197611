# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of deliberations_config: the first password of each account, kept for who hands it over."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.action.mayan_config import ActionModule as FirstPasswords
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import deliberations


class ActionModule(FirstPasswords):
    """Sends the passerelle's password always: made in a run for real, as it is in check mode."""

    MODULE = "cdg59.creatic.deliberations_config"

    def _always_sent_logins(self, folder: Path) -> list[str]:
        service = deliberations.SERVICE
        return [service] if (folder / service).exists() or not self._task.check_mode else []
