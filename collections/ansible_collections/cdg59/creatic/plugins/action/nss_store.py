# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of nss_store: opens the providers' .p12 files; their passwords go no further."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import load_certificate
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.nss import describe
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.pki.pkcs12_file import Pkcs12FileError, own_pkcs12


class ActionModule(Acting):
    """Reads the files, then runs the module once, or not at all with files_only."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        files_only = bool(args.pop("files_only", False))
        certificates = []
        for entry in args.get("certificates") or []:
            if entry.get("pkcs12"):
                try:
                    word = Path(entry.get("password_file") or "")
                    material = own_pkcs12(Path(entry["pkcs12"]), word, entry.get("sirens") or ())
                except Pkcs12FileError as error:
                    raise AnsibleActionFail(f"certificat « {entry['name']} » : {error}") from None
                certificates.append({"name": entry["name"], **material})
            else:
                certificates.append(dict(entry))
        if files_only:
            described = [
                describe(load_certificate(entry["certificate"]), entry["name"])
                for entry in certificates
                if entry.get("certificate")
            ]
            return {"changed": False, "certificates": described}
        args["certificates"] = certificates
        result: dict[str, Any] = self._execute_module(
            module_name="cdg59.creatic.nss_store", module_args=args, task_vars=task_vars
        )
        return result
