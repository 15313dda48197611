#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/account_policy.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_policy
short_description: Accounts without shell, without empty password, with private homes
description:
  - ANSSI-BP-028 R30, R31, R34 and R50, on every local account in one task.
options:
  root_max_age: {description: Days before root's password must change., type: int, required: true}
  shell_accounts: {description: Service accounts which keep their shell., type: list, elements: str, default: []}
  private_homes: {description: Close homes and their start-up files to other accounts., type: bool, default: true}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure service accounts cannot log in
  cdg59.creatic.account_policy:
    root_max_age: 365
    shell_accounts: [postgres]
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import account_policy
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge

SPEC: dict[str, Any] = {
    "root_max_age": {"type": "int", "required": True},
    "shell_accounts": {"type": "list", "elements": "str", "default": []},
    "private_homes": {"type": "bool", "default": True},
}


def main() -> None:
    converge(SPEC, lambda given, check: account_policy.apply(account_policy.Policy(**given), check))


if __name__ == "__main__":
    main()
