# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Prove, over a new connection, that the administrator's key, group and sudo work; give the group first if asked.

On a machine that nobody reaches, which runs this on itself, a new session of the account proves its group and sudo.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.cdg59.creatic.plugins.plugin_utils.commit_confirm import CommitConfirm

_PROBE = "id -nG; sudo -n id -u"


class ActionModule(CommitConfirm):
    """Asks the host; the only thing it may change is the account's membership of the group."""

    subject = "l'accès d'administration"

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        group = str(args.get("group") or "")
        itself = self._on_itself(task_vars)
        if self._transport_name != "ssh" and not itself:
            raise AnsibleActionFail("admin_access ne vaut que par SSH : une seconde connexion prouve l'accès")
        account = self._admin_account(task_vars)
        groups, reason = self._probe_login(task_vars)
        if not reason and group and group not in groups:
            if self._task.check_mode:
                return {"changed": True, "msg": f"{account} rejoindrait le groupe {group}"}
            reason = self._join_group(account, group, task_vars)
            if not reason:
                groups, reason = self._probe_login(task_vars)
                if not reason and group not in groups:
                    reason = f"{account} n'a toujours pas le groupe {group}"
            if not reason:
                if not itself:  # a shared connection keeps the groups it was opened with
                    self._connection.reset()
                return {"changed": True, "groups": sorted(groups)}
        if reason:
            return {
                "failed": True,
                "changed": False,
                "msg": (
                    f"Durcissement refusé, rien n'est changé : par une "
                    f"{'nouvelle session' if itself else 'seconde connexion SSH'}, {reason}. Le compte {account} doit "
                    f"{'exister' if itself else 'entrer par sa clé'} et utiliser sudo sans mot de passe et sans "
                    "terminal."
                ),
            }
        if not itself and group and group not in self._shared_groups():
            self._connection.reset()
        return {"changed": False, "groups": sorted(groups)}

    def _join_group(self, account: str, group: str, task_vars: dict[str, Any] | None) -> str:
        for module, arguments in (
            ("ansible.builtin.group", {"name": group, "system": True}),
            ("ansible.builtin.user", {"name": account, "groups": [group], "append": True}),
        ):
            done = self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
            if done.get("failed"):
                return f"le groupe {group} n'a pas pu être donné à {account} ({done.get('msg')})"
        return ""

    def _shared_groups(self) -> set[str]:
        return set(self._low_level_execute_command("id -nG", sudoable=False)["stdout"].split())

    def _probe_login(self, task_vars: Mapping[str, Any] | None) -> tuple[set[str], str]:
        """Groups of a new login, and why it is not enough, if so."""
        try:
            if self._on_itself(task_vars):
                session = f"runuser -u {shlex.quote(self._admin_account(task_vars))} -- sh -c {shlex.quote(_PROBE)}"
                done = self._low_level_execute_command(session, sudoable=False)
            else:
                with self._new_connection(task_vars):
                    done = self._low_level_execute_command(_PROBE, sudoable=False)
        except AnsibleError as error:
            return set(), f"la connexion échoue ({str(error)[-200:]})"
        lines = done["stdout"].strip().splitlines()
        if done["rc"] or len(lines) != 2 or lines[1].strip() != "0":
            return set(), f"sudo ne répond pas ({(done['stderr'].strip() or 'sans explication')[-200:]})"
        return set(lines[0].split()), ""
