# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of nft_commit: the commit-confirm of a firewall."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.cdg59.creatic.plugins.plugin_utils.commit_confirm import CommitConfirm


class ActionModule(CommitConfirm):
    """Runs the module's stages."""

    module = "cdg59.creatic.nft_commit"
    subject = "pare-feu"
    untouched = "/etc/nftables.conf n'a pas changé"
    advice = (
        "Vérifiez que firewall_admin_networks contient l'adresse du poste de commande telle que la machine la voit, "
        "et que firewall_ssh_port est le bon."
    )

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if not boolean(args.get("load", True)):  # nothing comes in force: there is nothing to confirm
            return self._run_stage("inspect", args, task_vars)
        return self.commit(args, task_vars)
