# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Gives a host OpenSCAP's data stream of Debian 13, which the control node fetches, checks and keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.audit import scap


class ActionModule(Acting):
    """Hands over to C(ansible.builtin.copy) when the host lacks the content, and touches nothing when it has it."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if not args.get("cache"):
            raise AnsibleActionFail("scap_content : le paramètre cache est obligatoire")
        target = args.get("dest") or scap.HOST_PATH
        found = self._execute_module(
            module_name="ansible.builtin.stat",
            module_args={"path": target, "checksum_algorithm": "sha256", "get_attributes": False, "get_mime": False},
            task_vars=task_vars,
        )
        if found.get("failed") or found.get("unreachable"):
            return found
        if scap.is_in_place(found["stat"]):
            return {"changed": False, "dest": target}
        if self._task.check_mode:
            return {"changed": True, "dest": target}
        source = scap.data_stream(Path(args["cache"]).expanduser(), self._display.display)
        task = self._task.copy()
        task.args = {
            "src": str(source),
            "dest": target,
            "owner": "root",
            "group": "root",
            "mode": "0644",
        }
        task.diff = False  # 13 MB of XML
        copy = self._shared_loader_obj.action_loader.get(
            "ansible.builtin.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        result: dict[str, Any] = copy.run(task_vars=task_vars)
        return result
