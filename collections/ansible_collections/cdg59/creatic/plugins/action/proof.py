# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of proof: keeps the fetched files in the running rollout's evidence, and judges."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence_store import RUN_FOLDER


def keep_files(folder: Path, prefix: str, files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write fetched files, and return what the evidence says of each.

    Args:
        folder: where to write.
        prefix: place of `folder` in the commune's folder.

    Raises:
        AnsibleActionFail: a file was changed on its way.
    """
    kept = []
    folder.mkdir(parents=True, exist_ok=True)
    for item in files:
        content = base64.b64decode(item["contenu"])
        name = Path(item["nom"]).name
        if hashlib.sha256(content).hexdigest() != item["sha256"]:
            raise AnsibleActionFail(f"{name} a été modifié pendant son transfert : relancer")
        (folder / name).write_bytes(content)
        kept.append({"chemin": f"{prefix}/{name}", "sha256": item["sha256"], "octets": len(content)})
    return kept


class ActionModule(ActionBase):
    """Runs the module, then moves the files out of its result."""

    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        result = self._execute_module(
            module_name="cdg59.creatic.proof", module_args=dict(self._task.args), task_vars=task_vars
        )
        proof = result.get("creatic_proof")
        if not proof:
            return result
        run_folder = os.environ.get(RUN_FOLDER)
        if not run_folder:
            raise AnsibleActionFail(
                "aucun déploiement n'est suivi : lancer playbooks/journeys/rollout.yml "
                "avec le greffon cdg59.creatic.rollout actif (callbacks_enabled)"
            )
        host, slug = variables["inventory_hostname"], variables["creatic_commune"]["slug"]
        proof["fichiers"] = keep_files(Path(run_folder) / slug / host, host, proof["fichiers"])
        if not result.get("failed"):
            made = {item["cle"]: item for item in proof["preuves"]}
            gaps = [
                f"{made[key]['libelle']} : {made[key]['detail']}" if key in made else f"preuve « {key} » absente"
                for key in self._task.args.get("required") or []
                if key not in made or made[key]["verdict"] == "echec"
            ]
            if gaps:
                result["failed"] = True
                result["msg"] = " ; ".join(gaps)
        return result
