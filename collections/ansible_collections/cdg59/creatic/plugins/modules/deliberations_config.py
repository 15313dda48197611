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
  - Groups and roles are made exact. An account that no file names any more is removed; what a commune published stays
    when it has the service no longer, with a warning.
options:
  socket:
    description: Unix socket of the application.
    type: path
    required: true
  server_name:
    description: Name by which browsers know the site.
    type: str
    required: true
  password:
    description: Password of its administrator.
    type: str
    required: true
  secrets_dir:
    description: Folder of the control node where the first password of each account to make is left, in one file each.
    type: path
  configuration:
    description: The wanted configuration, as filter C(deliberations_configuration) gives it.
    type: dict
    required: true
  passwords:
    description: Set by the action plugin.
    type: dict
extends_documentation_fragment:
  - cdg59.creatic.modules
  - cdg59.creatic.modules.diff
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
changes:
  description: What changed, or would in check mode, in French.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import deliberations


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "socket": {"type": "path", "required": True},
            "server_name": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "configuration": {"type": "dict", "required": True},
            "passwords": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    if module.check_mode and not Path(params["socket"]).exists():
        module.exit_json(changed=True, changes=["tout : le site n'est pas encore installé"])
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
    if found["sans_mot_de_passe"] and not module.check_mode:
        module.exit_json(changed=False, wants_passwords=found["sans_mot_de_passe"])
    for warning in found["avertissements"]:
        module.warn(warning)
    module.exit_json(
        changed=bool(found["changements"]),
        changes=found["changements"],
        diff={"before": "", "after": "".join(f"{change}\n" for change in found["changements"])},
        invocation={"module_args": {"socket": params["socket"], "server_name": params["server_name"]}},
    )


if __name__ == "__main__":
    main()
