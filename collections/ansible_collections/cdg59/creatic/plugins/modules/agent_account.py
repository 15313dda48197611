#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/applications/account.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent_account
short_description: What an application knows of somebody's account
description:
  - On the application's host, asks it for the account of a login, and for what is left in its person's hands.
  - Changes nothing.
options:
  application: {description: Profile of the host., type: str, required: true, choices: [parapheur, ged, deliberations]}
  login: {description: "Login, as the communes' files write it.", type: str, required: true}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.application]
"""

EXAMPLES = r"""
- name: Ask for the account
  cdg59.creatic.agent_account:
    application: ged
    server_name: ged.creatic.test
    password: "{{ mayan_admin_password }}"
    login: claire.dubois
"""

RETURN = r"""
account:
  description: C(nom), C(courriel), C(commune), C(ouvert), C(en_main); empty when the application has no such account.
  returned: always
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import account
from ansible_collections.cdg59.creatic.plugins.module_utils.host import module


def _run_module(given: AnsibleModule) -> dict[str, Any]:
    wanted = given.params
    found = account.find(wanted["application"], wanted["server_name"], wanted["password"], wanted["login"])
    return {"changed": False, "account": found}


def main() -> None:
    """Entry point."""
    module.run(
        {
            "application": {"type": "str", "required": True, "choices": list(account.SOCKETS)},
            "server_name": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "login": {"type": "str", "required": True},
        },
        _run_module,
    )


if __name__ == "__main__":
    main()
