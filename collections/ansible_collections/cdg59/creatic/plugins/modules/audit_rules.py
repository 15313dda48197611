#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/audit_rules.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_rules
short_description: auditd's rules for the privileged commands of this machine, and their loading
description:
  - Setuid and setgid programs are looked for in C(/usr) and C(/opt).
  - With O(load), every rule is loaded into the kernel; rules that are locked wait for the next boot.
options:
  path: {description: File of C(/etc/audit/rules.d) written by this task., type: path}
  load: {description: Load the rules instead., type: bool, default: false}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure privileged commands are audited
  cdg59.creatic.audit_rules:
    path: /etc/audit/rules.d/60-creatic-privilegies.rules
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import audit_rules
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change


def _apply_rules(path: str | None, load: bool, check: bool) -> list[Change]:
    if not load:
        return audit_rules.apply(Path(path or ""), check)
    return [] if check else [Change("règles d'audit", "", audit_rules.load())]


SPEC: dict[str, Any] = {
    "path": {"type": "path"},
    "load": {"type": "bool", "default": False},
}


def main() -> None:
    converge(
        SPEC, lambda given, check: _apply_rules(given["path"], given["load"], check), required_one_of=[["path", "load"]]
    )


if __name__ == "__main__":
    main()
