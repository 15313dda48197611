# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of pkcs11_token: reads the PIN, and has the stand-in provider sign what the token asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import PERSON
from ansible_collections.cdg59.creatic.plugins.plugin_utils.own_state import OwnState

from creatic.pki.authority import Authority
from creatic.pki.registry import Owner

MODULE = "cdg59.creatic.pkcs11_token"


class ActionModule(OwnState):
    """Runs the module to inspect, signs, and runs it again to write when something was signed."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        pin_file = Path(args.pop("pin_file"))
        if not pin_file.is_file():
            raise AnsibleActionFail(f"{pin_file} (champ secret) est introuvable : écrivez-y le code PIN du jeton")
        args["pin"] = pin_file.read_text(encoding="ascii").strip()
        authority = Authority(Path(args.pop("authority_dir")).expanduser())
        subject = args["subject"]
        request = Request(
            name=args["label"],
            profile=args.get("profile", "client"),
            common_name=subject["common_name"],
            organization=subject["organization"],
            siren=subject["siren"],
            key_type="rsa",
            holder=str(subject.get("holder") or PERSON),
        )
        args["subject"] = {**subject, "common_name": request.common_name}  # as the authority writes it
        first: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=args, task_vars=task_vars)
        csr = first.pop("csr", "")
        if first.get("failed") or not csr:
            return first
        owner = Owner(str(task_vars["inventory_hostname"]))
        args["issued"] = authority.issue(csr, request, owner).pem
        second: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=args, task_vars=task_vars)
        second.pop("csr", None)
        return second
