# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What Ansible tells of each machine of an audit: what was lost on the way, and what has drifted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean
from ansible_collections.cdg59.creatic.plugins.module_utils.words import count, duration

from creatic.audit.sources import PHASES, readable_diff
from creatic.evidence.failures import explain, failure_message


class Follower:
    """Facts of each machine (`hosts`: incident, derive, phases, secondes, taches), and French lines."""

    def __init__(self) -> None:
        self.hosts: dict[str, dict[str, Any]] = {}
        self.phase = ""
        self._clock = time.monotonic()

    def begin(self, phase: str, names: list[str]) -> str:
        """Begin a phase on these machines, none when it is left out; gives its title, empty when it is not shown."""
        self.phase = phase
        self._clock = time.monotonic()
        for name in names:
            self._host_facts(name)
        left = any(not host["incident"] for host in self.hosts.values())
        return PHASES.get(phase, "") if names and left else ""

    def _host_facts(self, name: str) -> dict[str, Any]:
        return self.hosts.setdefault(name, {"incident": None, "derive": [], "phases": [], "secondes": {}, "taches": 0})

    def note_seen(self, name: str) -> dict[str, Any]:
        """Note that a machine goes through the phase, were it for nothing to do; gives its facts."""
        host = self._host_facts(name)
        if self.phase and self.phase not in host["phases"]:
            host["phases"].append(self.phase)
        host["secondes"][self.phase] = round(time.monotonic() - self._clock, 1)
        return host

    def done(self, name: str, task: str, result: Mapping[str, Any], *, changed: bool, hidden: bool) -> str:
        """Keep what would change.

        Args:
            task: what is said of it (evidence/steps.place).
            result: the task's.
            changed: it would change the machine.
            hidden: what it would change holds a secret.

        Returns:
            What is said of the machine; may be empty.
        """
        host = self.note_seen(name)
        if self.phase == "constats":
            return f"   ✓ {name:<40} {duration(result.get('duree_s', 0)):>9}"
        if self.phase == "derive":
            host["taches"] += 1
            if changed:
                told = [] if hidden else result.get("changed_paths")
                paths = [clean(str(path))[:300] for path in told[:200]] if isinstance(told, list) else []
                diff = "" if hidden else readable_diff(result.get("diff"))
                host["derive"].append({"tache": task, "chemins": paths, "diff": diff})
        return ""

    def stopped(self, name: str, task: str, result: Mapping[str, Any], *, reached: bool) -> str:
        """Note what could not be looked at, on a machine that answered or not; gives what is said of it."""
        message = failure_message(result)
        reason, remedy = (clean(" ".join(message.split()))[:1000], "") if reached else explain(message)
        self.note_seen(name)["incident"] = {
            "phase": self.phase or "preparation",
            "nature": "echec" if reached else "injoignable",
            "tache": task,
            "raison": reason,
            "remede": remedy or "Corriger la cause indiquée, puis relancer l'audit.",
        }
        return f"   ✗ {name} : {'échec' if reached else 'injoignable'} : {reason}"

    def end(self) -> tuple[str, int]:
        """End the phase: what is said of the comparison, empty for another phase, and how many have drifted."""
        if self.phase != "derive":
            return "", 0
        drifted = sum(bool(host["derive"]) for host in self.hosts.values())
        seen = sum("derive" in host["phases"] for host in self.hosts.values())
        if not seen:
            return "", 0
        spent = duration(time.monotonic() - self._clock)
        return f"   comparaison de {count(seen, 'machine')} : {drifted} en dérive ({spent})", drifted
