# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Ansible's side of a patch of the archive room: gives creatic/archive/patch.py what each node answered."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.archive import patch as archive_patch
from creatic.archive import room as archive_room
from creatic.evidence.failures import explain
from creatic.evidence.store import operator, playbook_pid


def report(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What a node answered to `creatic-archive bilan`, from the task's result."""
    if answer.get("unreachable"):
        return {"erreur": f"injoignable en SSH ({explain(str(answer.get('msg', '')))[0]})"}
    try:
        found: dict[str, Any] = json.loads(answer.get("stdout") or "")
    except ValueError:
        lines = str(answer.get("stderr") or answer.get("msg") or "").strip().splitlines()
        return {"erreur": f"creatic-archive ne répond pas ({lines[-1] if lines else 'sans message'})"}
    return found


def reports(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What every node answered; one which was not asked (``--limit``), whose answer is empty, says so."""
    return {
        name: report(answer) if answer else {"erreur": "n'a pas été interrogé : relancez sans --limit"}
        for name, answer in sorted(answers.items())
    }


def gateways(answers: Mapping[str, Mapping[str, Any]]) -> list[archive_room.Gateway]:
    """What every gateway answered to `cat` of its metrics files; one which was not asked has an empty answer."""
    found = []
    for name, answer in sorted(answers.items()):
        error = ""
        if answer.get("unreachable"):
            error = f"injoignable en SSH ({explain(str(answer.get('msg', '')))[0]})"
        found.append(archive_room.Gateway(name, str(answer.get("stdout") or ""), error))
    return found


def saved(args: Mapping[str, Any]) -> archive_room.Backup:
    """The last backup, as the inventory says to judge it."""
    return archive_room.backup(str(args.get("backup_stamp") or ""), float(args.get("backup_days") or 0), now())


class ActionModule(Acting):
    """Runs on the control node alone."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        patch = archive_patch.Patch(Path(str(args["home"])).expanduser(), dry=bool(self._task.check_mode))
        try:
            return self._run_step(str(args["step"]), patch)
        except archive_patch.PatchError as error:
            if args["step"] == "end":
                patch.fail(str(args["node"]), str(error))
            return {"failed": True, "msg": str(error)}
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename} n'est pas utilisable : {reason(error)}") from error

    def _run_step(self, step: str, patch: archive_patch.Patch) -> dict[str, Any]:
        args = self._task.args
        node = str(args.get("node") or "")
        if step == "take":
            patch.take(sorted(args["nodes"]), operator(), playbook_pid(), reboot=bool(args.get("reboot")))
            return {"changed": False, "reboot": patch.record["redemarrer"]}
        if step == "judge":
            kept = saved(args)
            seen = reports(args["nodes"])
            refused = [
                *([kept.fault] if kept.fault else []),
                *archive_room.gateway_faults(gateways(args["gateways"]), time.time()),
            ]
            try:
                order = patch.judge(seen, kept.text, refused, time.time())
            except archive_patch.PatchError as error:
                return {"failed": True, "msg": str(error), "again": archive_room.missing_copies(seen)}
            return {"changed": False, "order": order, "interrupted": patch.interrupted, "again": {}}
        if step == "begin":
            patch.begin(node)
            return {"changed": True}
        if step == "end":
            facts = {
                "paquets": archive_patch.packages(str(args.get("apt_output") or "")),
                "redemarre": bool(args.get("rebooted")),
                "rattrapage": str(args.get("caught_up") or ""),
            }
            seen = reports(args["nodes"])
            done = patch.end(node, facts, seen, time.time(), float(args.get("patience") or 0))
            return {"changed": False, "noeud": done, "again": done is None}
        if step == "fail":
            patch.fail(node, str(args.get("reason") or ""))
            return {"failed": True, "msg": f"{node} : {args.get('reason')}"}
        if step == "close":
            folder, unsealed = patch.close()
            if unsealed:
                return {"failed": True, "msg": f"{folder} n'est pas signé : {unsealed}"}
            return {"changed": True, "folder": str(folder)}
        raise AnsibleActionFail(f"archive_patch : étape « {step} » inconnue")
