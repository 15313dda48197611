#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/account_policy.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_policy
short_description: Accounts without shell, without empty password, with private homes
version_added: 0.1.0
description:
  - ANSSI-BP-028 R30, R31, R34 and R50, on every local account in one task.
options:
  root_max_age:
    description: Days before root's password must change.
    type: int
    required: true
  shell_accounts:
    description: Service accounts which keep their shell.
    type: list
    elements: str
    default: []
  private_homes:
    description: Close homes and their start-up files to other accounts.
    type: bool
    default: true
author:
  - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
- name: Ensure service accounts cannot log in
  cdg59.creatic.account_policy:
    root_max_age: 365
    shell_accounts: [postgres]
"""

RETURN = r"""
changed_names:
  description: What changed, or would in check mode.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import account_policy
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import (
    StateError,
    result,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "root_max_age": {"type": "int", "required": True},
            "shell_accounts": {"type": "list", "elements": "str", "default": []},
            "private_homes": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        changes = account_policy.apply(account_policy.Policy(**given), module.check_mode)
    except StateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(changes))


if __name__ == "__main__":
    main()
