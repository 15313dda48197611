# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Keeps how the run of a machine that nobody reaches went, for its fetcher (role flotte)."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.plugin_utils.listener import Listener

from creatic.evidence.act import RECEIPT
from creatic.evidence.failures import explain, failure_message
from creatic.evidence.follow import RUN_FOLDER
from creatic.evidence.store import write_text

DOCUMENTATION = """
name: pull
type: aggregate
short_description: Keeps how a machine's own run went
version_added: "0.1.0"
description:
  - Written at the end as JSON in the file that E(CREATIC_FLOTTE_RESULTAT) names, tasks that changed something, proofs,
    and why it failed, in French.
"""

VARIABLE = "CREATIC_FLOTTE_RESULTAT"
_MAX_CHANGED_TASKS = 200  # names of tasks
_MAX_RECEIPT_BYTES = 32_768  # bytes of an ARActe


class CallbackModule(Listener):
    """One machine, its own."""

    CALLBACK_NAME = "cdg59.creatic.pull"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._changed: list[str] = []
        self._proofs: list[Any] = []
        self._reason = ""

    def v2_runner_on_ok(self, result: Any) -> None:
        """Note what changed, and proofs."""
        self._collect_proof(result)
        if result.result.get("changed") and len(self._changed) < _MAX_CHANGED_TASKS:
            self._changed.append(result.task.get_name())

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note why; the first reason is the one."""
        self._collect_proof(result)
        if not ignore_errors and not self._reason:
            why, fix = explain(failure_message(result.result), reached=True)
            self._reason = f"{result.task.get_name()} : {why}" + (f" À faire : {fix}" if fix else "")

    def _collect_proof(self, result: Any) -> None:
        if "creatic_proof" not in result.result:
            return
        proof = dict(result.result["creatic_proof"])
        kept = Path(os.environ.get(RUN_FOLDER, "/nowhere"))
        for file in kept.glob(f"*/{result.host.get_name()}/{RECEIPT}"):  # the préfecture's own word, which is signed
            if file.stat().st_size <= _MAX_RECEIPT_BYTES:
                proof["ar_acte"] = base64.b64encode(file.read_bytes()).decode()
        self._proofs.append(proof)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write it."""
        if target := os.environ.get(VARIABLE):
            told = {"modifies": self._changed, "preuves": self._proofs, "raison": self._reason}
            write_text(Path(target), json.dumps(told, default=str))
