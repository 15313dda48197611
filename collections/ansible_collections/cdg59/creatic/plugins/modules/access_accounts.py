#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/access/accounts.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_accounts
short_description: Accounts that only a certificate opens
description:
  - In one task, each account is there, without any password, with the given shell, and in no other group than the one
    that may execute sudo, where sudo is reserved to a group.
options:
  accounts:
    description: The accounts.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: "Name; the home is /home/NAME, which is not created.", type: str, required: true}
      comment: {description: What the account is for., type: str, required: true}
  shell: {description: Program that opens their sessions., type: str, required: true}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the accounts are there
  cdg59.creatic.access_accounts:
    shell: /usr/lib/creatic/creatic-session
    accounts:
      - {name: auditeur, comment: Auditeur}
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.access import accounts as access_accounts
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge, entries

SPEC: dict[str, Any] = {
    "accounts": entries({"name": {"type": "str", "required": True}, "comment": {"type": "str", "required": True}}),
    "shell": {"type": "str", "required": True},
}


def main() -> None:
    converge(SPEC, lambda given, check: access_accounts.apply(given["accounts"], given["shell"], check))


if __name__ == "__main__":
    main()
