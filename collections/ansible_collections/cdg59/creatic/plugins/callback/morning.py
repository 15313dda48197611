# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Keeps what each machine tells of itself in the morning, for `fab matin`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host.bare import silent
from ansible_collections.cdg59.creatic.plugins.plugin_utils.listener import Listener

from creatic.evidence.failures import explain, failure_message
from creatic.evidence.store import write_text

DOCUMENTATION = """
name: morning
type: aggregate
short_description: Keeps what each machine tells of itself in the morning
version_added: "0.1.0"
description:
  - Written at the end as JSON, by host, its report, or why there is none; in the file that E(CREATIC_MATIN) names.
"""

VARIABLE = "CREATIC_MATIN"


class CallbackModule(Listener):
    """One answer for each host, at whatever number of them."""

    CALLBACK_NAME = "cdg59.creatic.morning"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told: dict[str, dict[str, Any]] = {}

    def v2_runner_on_ok(self, result: Any) -> None:
        """Keep a report."""
        if "report" in result.result:
            self._told[result.host.get_name()] = {"rapport": result.result["report"]}
        else:
            self._record_failure(result, reached=True)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Keep that it could not be asked, or did not end in time."""
        if "timedout" in result.result:
            why = f"elle n'a pas fini de répondre en {result.result['timedout']['period']} s"
            fix = "un disque ou systemd y est bloqué : regardez cette machine"
            self._told[result.host.get_name()] = {"raison": why, "remede": fix}
        else:
            self._record_failure(result, reached=True)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Keep that it does not answer."""
        self._record_failure(result, reached=False)

    def _record_failure(self, result: Any, *, reached: bool) -> None:
        message = failure_message(result.result)
        why, fix = explain(message, reached=reached)
        off = not reached and silent(message)
        self._told[result.host.get_name()] = {"raison": why, "remede": fix, "eteinte": off}

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write them."""
        if target := os.environ.get(VARIABLE):
            write_text(Path(target), json.dumps(self._told))  # ASCII: a name may be no text
