# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of proof: keeps the fetched files in the running rollout's evidence, and judges."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import AnswerError, checked
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.evidence.act import RECEIPT, receipt_fault
from creatic.evidence.files import receive_files
from creatic.evidence.follow import RUN_FOLDER


class RefusedFilesError(AnsibleActionFail):
    """Some files of a machine may not be kept.

    Attributes:
        kept: what the evidence says of the others.
        reasons: why, one French reason by file.
    """

    def __init__(self, kept: list[dict[str, Any]], reasons: list[str]) -> None:
        super().__init__(f"fichiers refusés : {' ; '.join(reasons)}")
        self.kept, self.reasons = kept, reasons


def keep_files(folder: Path, prefix: str, files: Any) -> list[dict[str, Any]]:
    """Write the files that a machine sent, and return what the evidence says of each.

    Args:
        folder: where to write.
        prefix: place of `folder` in the commune's folder.

    Raises:
        FilesRefused: some may not be kept; the others are.
    """
    kept, reasons = receive_files(folder, prefix, files)
    if reasons:
        raise RefusedFilesError(kept, reasons)
    return kept


class ActionModule(Acting):
    """Runs the module, then moves the files out of its result."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        result = self._execute_module(module_name="cdg59.creatic.proof", module_args=args, task_vars=task_vars)
        proof = result.get("creatic_proof")
        if not proof:
            return result
        run_folder = os.environ.get(RUN_FOLDER)
        if not run_folder:
            raise AnsibleActionFail(
                "aucun déploiement n'est suivi : lancer playbooks/journeys/rollout.yml "
                "avec le greffon cdg59.creatic.rollout actif (callbacks_enabled)"
            )
        host, slug = task_vars["inventory_hostname"], task_vars["creatic_commune"]["slug"]
        told = proof if isinstance(proof, dict) else {}
        made, refused = {}, [] if told else ["réponse illisible"]
        for kind in ("preuves", "certificats"):
            try:
                made[kind] = checked(kind, told.get(kind, []))
            except AnswerError as error:
                made[kind] = []
                refused.append(str(error))
        try:
            kept = keep_files(Path(run_folder) / slug / host, host, told.get("fichiers", []))
        except RefusedFilesError as error:
            kept = error.kept
            refused += error.reasons
        receipt = Path(run_folder) / slug / host / RECEIPT
        act = next((item for item in made["preuves"] if item["cle"] == "acte" and item["verdict"] != "echec"), None)
        # In production the test act is cancelled before the préfecture: there is no ARActe.
        if act and "acte" in (args.get("required") or []) and "--production" not in args["argv"]:
            content = receipt.read_bytes() if f"{host}/{RECEIPT}" in {item["chemin"] for item in kept} else None
            siren = str(task_vars["creatic_commune"].get("siren"))
            fault = receipt_fault(act["mesures"], content, siren, now().date())
            refused += [fault] if fault else []
        result["creatic_proof"] = made | {"fichiers": kept, "refus": refused}
        if refused:
            result["failed"] = True
            result["msg"] = f"refusé de cette machine : {' ; '.join(refused)}"
        if not result.get("failed"):
            proofs = {item["cle"]: item for item in made["preuves"]}
            gaps = [
                f"{proofs[key]['libelle']} : {proofs[key]['detail']}" if key in proofs else f"preuve « {key} » absente"
                for key in args.get("required") or []
                if key not in proofs or proofs[key]["verdict"] == "echec"
            ]
            if gaps:
                result["failed"] = True
                result["msg"] = " ; ".join(gaps)
        return result
