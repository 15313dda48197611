# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of sshd_commit: renders the files, then the commit-confirm of the SSH server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.cdg59.creatic.plugins.action.file_set import FileRenderer
from ansible_collections.cdg59.creatic.plugins.plugin_utils.commit_confirm import CommitConfirm, reach


class ActionModule(FileRenderer, CommitConfirm):
    """Runs the module's stages."""

    module = "cdg59.creatic.sshd_commit"
    subject = "serveur SSH"
    untouched = "la configuration qui marchait est en place"
    advice = "Vérifiez AllowUsers, AllowGroups, AuthorizedKeysFile et les méthodes d'authentification."

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        args |= {"files": self.rendered(task_vars), "account": self._admin_account(task_vars)}
        return self.commit(args, task_vars)

    def _require_network_path(self, task_vars: Mapping[str, Any] | None) -> None:
        """Who is on the spot comes in by this server; the door does not tell whether it answers."""
        reach("127.0.0.1", int((task_vars or {}).get("ansible_port") or 22), b"SSH-2.0-")
