#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/audit_rules.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_rules
short_description: auditd's rules for the privileged commands of this machine, and their loading
version_added: 0.1.0
description:
  - Setuid and setgid programs are looked for in C(/usr) and C(/opt).
  - With O(load), every rule is loaded into the kernel; rules that are locked wait for the next boot.
options:
  path:
    description: File of C(/etc/audit/rules.d) written by this task.
    type: path
  load:
    description: Load the rules instead.
    type: bool
    default: false
author:
  - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
- name: Ensure privileged commands are audited
  cdg59.creatic.audit_rules:
    path: /etc/audit/rules.d/60-creatic-privilegies.rules
"""

RETURN = r"""
changed_names:
  description: What changed, or would in check mode.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import audit_rules
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import (
    Change,
    StateError,
    result,
)


def _apply(path: str | None, load: bool, check: bool) -> list[Change]:
    if not load:
        return audit_rules.apply(Path(path or ""), check)
    return [] if check else [Change("règles d'audit", "", audit_rules.load())]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "load": {"type": "bool", "default": False},
        },
        required_one_of=[["path", "load"]],
        supports_check_mode=True,
    )
    given = module.params
    try:
        changes = _apply(given["path"], given["load"], module.check_mode)
    except StateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(changes))


if __name__ == "__main__":
    main()
