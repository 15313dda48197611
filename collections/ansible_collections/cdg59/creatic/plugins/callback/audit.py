# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Follows the playbook of an audit: progress in French, what was lost on the way, and what has drifted."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.plugins.callback import CallbackBase
from ansible_collections.cdg59.creatic.plugins.callback.rollout import failure_message
from ansible_collections.cdg59.creatic.plugins.module_utils.audit import store
from ansible_collections.cdg59.creatic.plugins.module_utils.audit.sources import PHASES, readable_diff
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.rollout import count, duration, explain

DOCUMENTATION = """
name: audit
type: aggregate
short_description: Follows an audit and keeps what its playbook finds
version_added: "0.1.0"
description:
  - Enabled for every playbook, it acts only for C(journeys/audit.yml).
  - As the standard output callback (C(ANSIBLE_STDOUT_CALLBACK=cdg59.creatic.audit), as C(fab audit) does) it is the
    only output, compact and in French.
"""


class CallbackModule(CallbackBase):
    """Turns Ansible's events into what the audit says of each host."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "cdg59.creatic.audit"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.folder: Path | None = None
        self.phase = ""
        self.alone = C.DEFAULT_STDOUT_CALLBACK == self.CALLBACK_NAME
        self._clock = time.monotonic()
        self._hosts: dict[str, dict[str, Any]] = {}

    def _say(self, text: str, color: str | None = None) -> None:
        if self.alone:
            self._display.display(text, color=color)
            sys.stdout.flush()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Act only for the audit."""
        path = Path(str(playbook._file_name))
        self.folder = store.current()
        self.disabled = (path.parent.name, path.name) != ("journeys", "audit.yml") or self.folder is None

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Close the phase that ends, open the next."""
        self._end_phase()
        self.phase = str(play.get_vars().get("creatic_phase", ""))
        self._clock = time.monotonic()
        hosts = play.get_variable_manager()._inventory.get_hosts(play.hosts)
        for host in hosts:
            self._host(host.name)
        if self.phase in PHASES and not all(host["incident"] for host in self._hosts.values()):
            self._say(f"\n{PHASES[self.phase]}", C.COLOR_HIGHLIGHT)

    def _host(self, name: str) -> dict[str, Any]:
        return self._hosts.setdefault(name, {"incident": None, "derive": [], "phases": [], "secondes": {}, "taches": 0})

    def _note(self, result: Any) -> dict[str, Any]:
        host = self._host(result.host.get_name())
        if self.phase and self.phase not in host["phases"]:
            host["phases"].append(self.phase)
        host["secondes"][self.phase] = round(time.monotonic() - self._clock, 1)
        return host

    def v2_runner_on_ok(self, result: Any) -> None:
        """Keep what would change."""
        host = self._note(result)
        if result.task.action in C._ACTION_ALL_INCLUDES:
            return
        if self.phase == "constats":
            self._say(f"   ✓ {result.host.get_name():<40} {duration(result.result.get('duree_s', 0)):>9}", C.COLOR_OK)
        if self.phase != "derive":
            return
        host["taches"] += 1
        if result.is_changed():
            hidden = "censored" in result.result or bool(result.task.no_log)
            diff = "" if hidden else readable_diff(result.result.get("diff"))
            told = result.result.get("changed_paths")
            paths = [] if hidden or not isinstance(told, list) else [clean(str(path))[:300] for path in told[:200]]
            host["derive"].append({"tache": result.task.get_name(), "chemins": paths, "diff": diff})

    def v2_runner_on_skipped(self, result: Any) -> None:
        """A host for which there is nothing to do went through the phase."""
        self._note(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note what could not be looked at."""
        if not ignore_errors:
            self._incident(result, "echec")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note the host that is not there, or no longer."""
        self._incident(result, "injoignable")

    def _incident(self, result: Any, nature: str) -> None:
        host = self._note(result)
        message = failure_message(result.result)
        reason, remedy = explain(message) if nature == "injoignable" else (clean(" ".join(message.split()))[:1000], "")
        host["incident"] = {
            "phase": self.phase or "preparation",
            "nature": nature,
            "tache": result.task.get_name(),
            "raison": reason,
            "remede": remedy or "Corriger la cause indiquée, puis relancer l'audit.",
        }
        lead = "injoignable" if nature == "injoignable" else "échec"
        self._say(f"   ✗ {result.host.get_name()} : {lead} : {reason}", C.COLOR_ERROR)

    def _end_phase(self) -> None:
        if self.phase == "derive":
            drifted = sum(bool(host["derive"]) for host in self._hosts.values())
            seen = sum("derive" in host["phases"] for host in self._hosts.values())
            color = C.COLOR_CHANGED if drifted else C.COLOR_OK
            spent = duration(time.monotonic() - self._clock)
            self._say(f"   comparaison de {count(seen, 'machine')} : {drifted} en dérive ({spent})", color)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write what was found."""
        self._end_phase()
        if self.folder is not None and os.environ.get(store.FOLDER):
            store.write_followed(self.folder, self._hosts)
