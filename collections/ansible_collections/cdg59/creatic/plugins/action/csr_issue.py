# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Has the authority sign a CSR which another tool made; for machines where the certificates module cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    Request,
    load_certificate,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.nss import describe
from ansible_collections.cdg59.creatic.plugins.plugin_utils.own_state import OwnState

from creatic.pki.authority import Authority
from creatic.pki.registry import Owner


class ActionModule(OwnState):
    """Works in the control node's own Python; nothing is sent to the host."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode:
            return {"changed": False, "skipped": True, "msg": "rien n'est signé en mode vérification"}
        request = Request.from_dict(args["request"], key_type="rsa")
        self.check_sirens([request], task_vars)
        authority = Authority(Path(str(args["authority_dir"])).expanduser())
        owner = Owner(str(task_vars["inventory_hostname"]), str(args.get("commune") or ""))
        pem = authority.issue(str(args["csr"]), request, owner).pem
        return {"changed": False} | describe(load_certificate(pem), request.common_name)
