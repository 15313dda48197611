#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/applications/mayan_config.py; the action plugin makes the first passwords."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mayan_config
short_description: Bring Mayan EDMS to a wanted configuration, over its API
description:
  - Accounts, groups, roles, metadata, document types with retention, cabinets, indexes, workflows and rights, in one
    task.
  - What is there is read first; only differences are applied.
  - Rights on what the configuration names are made exact. What it no longer names is left, with a warning, since it may
    hold documents; the groups of services that are no more are emptied.
options:
  username: {description: Account of an administrator., type: str, default: admin}
  configuration:
    description:
      - The wanted configuration, as filter C(ged_configuration) gives it.
      - C(users) (C(username), C(first_name), C(last_name), C(email), C(commune)); an account that no run made, or made
        for another commune, is told and gets no right. One that a run made and that is no longer named is closed, never
        deleted.
      - C(groups) and C(roles), members by name;
        C(metadata_types); C(document_types), C(metadata) telling which are required; C(cabinets), each the path of its
        labels; C(indexes) (C(label), C(document_types), C(levels)); C(acls) (C(kind), C(key), C(roles) with their
        permissions); C(former), by kind, labels of before and what they are now; an object that bears one is renamed.
      - Of C(passwords), those of accounts without a commune (programs) are made exact, and others are first ones.
      - C(workflows), as filter C(parapheur_configuration) gives them (C(internal_name), C(label), C(document_types),
        C(states), C(transitions) with their C(fields)). Nothing is taken from a circuit, whose documents would lose
        their history.
    type: dict
    required: true
extends_documentation_fragment:
  - cdg59.creatic.modules
  - cdg59.creatic.modules.diff
  - cdg59.creatic.modules.application
  - cdg59.creatic.modules.accounts
"""

EXAMPLES = r"""
- name: Ensure documents have their place
  cdg59.creatic.mayan_config:
    socket: /run/mayan.sock
    server_name: ged.creatic.test
    password: "{{ mayan_admin_password }}"
    secrets_dir: /root/secrets
    configuration: "{{ communes | cdg59.creatic.ged_configuration('ged.yml') }}"
"""

RETURN = r"""
closed: {description: Logins of persons whose account is closed., returned: always, type: list, elements: str}
calls: {description: Number of calls of the API., returned: always, type: int}
extends_documentation_fragment: cdg59.creatic.modules.changes
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import exchange, mayan_api, mayan_config
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import lines_diff

SPEC: dict[str, Any] = {
    "socket": {"type": "path", "required": True},
    "server_name": {"type": "str", "required": True},
    "username": {"type": "str", "default": "admin"},
    "password": {"type": "str", "required": True, "no_log": True},
    "configuration": {"type": "dict", "required": True},
    "passwords": {"type": "dict", "default": {}, "no_log": True},
}


def _configure_mayan(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    if module.check_mode and not Path(params["socket"]).exists():
        return {"changed": True, "changes": ["tout : l'application n'est pas encore installée"], "calls": 0}
    mayan = mayan_api.Mayan(exchange.UnixConnection(params["socket"]), params["server_name"])
    try:
        mayan.log_in(params["username"], params["password"])
        missing = mayan_config.missing_accounts(mayan, params["configuration"])
        if not module.check_mode and set(missing) - params["passwords"].keys():
            return {"changed": False, "wants_passwords": missing}
        result = mayan_config.apply(mayan, params["configuration"], params["passwords"], module.check_mode)
    except mayan_api.MayanError as error:
        module.fail_json(msg=f"Configuration de {params['server_name']} : {error}")
    for warning in result.warnings:
        module.warn(warning)
    return {
        "changed": bool(result.changes),
        "changes": result.changes,
        "closed": [] if module.check_mode else result.closed,
        "calls": result.calls,
        "diff": lines_diff(result.changes),
        "invocation": {"module_args": {"socket": params["socket"], "server_name": params["server_name"]}},
    }


def main() -> None:
    run(SPEC, _configure_mayan)


if __name__ == "__main__":
    main()
