#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/access/accounts.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_accounts
short_description: Accounts that only a certificate opens
version_added: 0.1.0
description:
  - In one task, each account is there, without any password, with the given shell, and in no other group than the one
    that may execute sudo, where sudo is reserved to a group.
  - Check mode and diff are supported.
options:
  accounts:
    description: The accounts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name; the home is /home/NAME, which is not created.
        type: str
        required: true
      comment:
        description: What the account is for.
        type: str
        required: true
  shell:
    description: Program that opens their sessions.
    type: str
    required: true
author:
  - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
- name: Ensure the accounts are there
  cdg59.creatic.access_accounts:
    shell: /usr/lib/creatic/creatic-session
    accounts:
      - {name: auditeur, comment: Auditeur}
"""

RETURN = r"""
changed_names:
  description: Accounts that changed, or would in check mode.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.access import accounts as access_accounts
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import (
    StateError,
    result,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {"name": {"type": "str", "required": True}, "comment": {"type": "str", "required": True}},
            },
            "shell": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        changes = access_accounts.apply(given["accounts"], given["shell"], module.check_mode)
    except StateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(changes))


if __name__ == "__main__":
    main()
