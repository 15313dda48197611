# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The archive room in one French screen, from what its nodes and its gateway answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.action.archive_patch import gateways, reports, saved
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.archive import patch as archive_patch
from creatic.archive import room as archive_room
from creatic.evidence import store as evidence_store


class ActionModule(Acting):
    """Runs on the control node alone, changes nothing but the file it is asked to write."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        home = Path(str(args["home"])).expanduser()
        found = reports(args["nodes"])
        kept = saved(args)
        doors = gateways(args["gateways"])
        holder = evidence_store.lock_holder(home / "verrous", archive_patch.LOCK)
        patch = archive_patch.Patch(home)
        told = f"en cours, {holder}" if holder else ""
        if patch.record and not holder:
            told = f"interrompus ({' ; '.join(archive_patch.lines(patch.record))}) : fab archive.correctifs les reprend"
        moment = now()
        lines = archive_room.screen(
            found,
            args["zones"],
            replicas=int(args.get("replicas") or 3),
            saved=kept,
            gateways=doors,
            lock=told,
            now=moment,
        )
        faults = [
            *archive_room.faults(found, moment.timestamp()),
            *archive_room.gateway_faults(doors, moment.timestamp()),
        ]
        faults += [kept.fault] if kept.fault else []
        if args.get("dest"):
            document = {"ecran": lines, "defauts": [vars(fault) for fault in faults]}
            evidence_store.write_text(Path(str(args["dest"])), json.dumps(document, ensure_ascii=False, indent=1))
        return {"changed": False, "lines": lines, "faults": [str(fault) for fault in faults]}
