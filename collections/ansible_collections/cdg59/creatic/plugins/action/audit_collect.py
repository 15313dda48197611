# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Runs the collector of the role audit_agent on a host, and keeps what it says in the running audit's folder."""

from __future__ import annotations

import json
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.audit import store

COLLECTOR = "/usr/lib/creatic/creatic-audit"


class ActionModule(Acting):
    """Runs one read-only command."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        folder = store.current()
        if folder is None:
            raise AnsibleActionFail("cet audit se lance par « fab audit »")
        result = self._execute_module(
            module_name="ansible.builtin.command",
            module_args={"_raw_params": f"{COLLECTOR} --niveau {args['level']}"},
            task_vars=task_vars,
        )
        if result.get("unreachable"):
            return result
        if result.get("failed") or result.get("rc"):
            said = str(result.get("stderr") or result.get("msg") or "").strip()
            if "No such file" in said and COLLECTOR in said:
                said = f"{COLLECTOR} est absent. À faire : déployez d'abord (fab commune.deployer, ou son playbook)"
            return {"failed": True, "msg": said or "le collecteur a échoué sans message"}
        try:
            report = json.loads(result["stdout"])
            store.keep_collected(folder, task_vars["inventory_hostname"], report)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise AnsibleActionFail(f"la réponse du collecteur est refusée : {error}") from error
        return {"changed": False, "duree_s": report["duree_s"], "cpu_s": report["cpu_s"]}
