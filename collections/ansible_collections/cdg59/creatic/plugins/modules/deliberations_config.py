#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/applications/deliberations.py; the action plugin makes the first passwords."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deliberations_config
short_description: Bring the site of the délibérations to a wanted configuration
description:
  - Institutions, accounts, groups and roles in one call and one transaction, by the site's own service.
  - What is there is read first; only differences are applied.
  - Groups and roles are made exact. An account that no file names any more is removed, and one whose login passes to
    another commune's person is made anew, with another first password; what a commune published stays when it has the
    service no longer, with a warning.
options:
  configuration:
    description: The wanted configuration, as filter C(deliberations_configuration) gives it.
    type: dict
    required: true
extends_documentation_fragment:
  - cdg59.creatic.modules
  - cdg59.creatic.modules.diff
  - cdg59.creatic.modules.application
  - cdg59.creatic.modules.accounts
"""

EXAMPLES = r"""
- name: Ensure the communes are as their files say
  cdg59.creatic.deliberations_config:
    socket: /run/plone.sock
    server_name: deliberations.creatic.test
    password: "{{ plone_admin_password }}"
    secrets_dir: /root/secrets
    configuration: "{{ communes | cdg59.creatic.deliberations_configuration }}"
"""

RETURN = r"""
extends_documentation_fragment: cdg59.creatic.modules.changes
closed: {description: Logins whose first password is nobody's any more., returned: always, type: list, elements: str}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import deliberations
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import lines_diff

SPEC: dict[str, Any] = {
    "socket": {"type": "path", "required": True},
    "server_name": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "configuration": {"type": "dict", "required": True},
    "passwords": {"type": "dict", "default": {}, "no_log": True},
}


def _configure_site(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    if module.check_mode and not Path(params["socket"]).exists():
        return {"changed": True, "changes": ["tout : le site n'est pas encore installé"]}
    try:
        found = deliberations.apply(
            deliberations.connect(params["socket"]),
            params["server_name"],
            params["password"],
            params["configuration"],
            params["passwords"],
            module.check_mode,
        )
    except deliberations.DeliberationsError as error:
        module.fail_json(msg=f"Configuration de {params['server_name']} : {error}")
    gone = found.get("retires", [])  # a site of before says nothing of it
    if found["sans_mot_de_passe"] and not module.check_mode:
        # Nothing was done yet: of these alone, another first password is about to be made.
        wanted = found["sans_mot_de_passe"]
        return {"changed": False, "wants_passwords": wanted, "closed": [one for one in gone if one in wanted]}
    for warning in found["avertissements"]:
        module.warn(warning)
    return {
        "changed": bool(found["changements"]),
        "changes": found["changements"],
        "closed": [] if module.check_mode else gone,
        "diff": lines_diff(found["changements"]),
        "invocation": {"module_args": {"socket": params["socket"], "server_name": params["server_name"]}},
    }


def main() -> None:
    run(SPEC, _configure_site)


if __name__ == "__main__":
    main()
