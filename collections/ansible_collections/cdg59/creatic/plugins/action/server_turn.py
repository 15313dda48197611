# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Takes one's turn to change a server that communes share: two rollouts of two communes wait for each other there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.evidence.store import (
    AlreadyLockedError,
    lock_commune,
    operator,
    playbook_pid,
    unlock_communes,
)

LOCK_POLL_SECONDS = 1.0  # seconds between two looks at the lock


class ActionModule(Acting):
    """Works in the control node's own Python; nothing is sent to the host."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        host = str(task_vars["inventory_hostname"])
        if not args.get("home"):
            raise AnsibleActionFail("server_turn : le paramètre home est obligatoire")
        if self._task.check_mode:
            return {"changed": False}
        locks = Path(str(args["home"])).expanduser() / "verrous"
        try:
            if args.get("state") == "given":
                unlock_communes(locks, playbook_pid(), f"serveur-{host}")
                return {"changed": False}
            return self._take_lock(locks, host, float(args.get("timeout") or 600))
        except OSError as error:
            raise AnsibleActionFail(f"le dossier {locks} n'est pas utilisable : {reason(error)}") from error

    def _take_lock(self, locks: Path, host: str, timeout: float) -> dict[str, Any]:
        deadline, told = time.monotonic() + timeout, False
        while True:
            try:
                lock_commune(locks, f"serveur-{host}", playbook_pid(), operator(), f"un déploiement sur {host}")
            except AlreadyLockedError as error:
                if time.monotonic() >= deadline:
                    return {
                        "failed": True,
                        "creatic_lock_refused": True,
                        "msg": f"{error}. Attendre sa fin, puis relancer.",
                    }
                if not told:
                    self._display.display(f"   … {host} : {error} ; son tour est attendu")
                told = True
                time.sleep(LOCK_POLL_SECONDS)
            else:
                return {"changed": False}
