#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/host/service_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_set
short_description: Units that must run, and units that must not
version_added: 0.1.0
description:
  - All units are asked in one call of systemctl.
  - A unit whose conditions are not met here is enabled and left to systemd.
options:
  'on':
    description: Units to enable and start.
    type: list
    elements: str
    default: []
  'off':
    description: Units to stop and mask; those not installed are left alone.
    type: list
    elements: str
    default: []
  jobs:
    description: Oneshot units to start in the background; their own conditions say whether there is work.
    type: list
    elements: str
    default: []
author:
  - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
- name: Ensure the audit daemon runs
  cdg59.creatic.service_set:
    'on': [auditd.service]
"""

RETURN = r"""
changed_names:
  description: What changed, or would in check mode.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host import service_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import (
    StateError,
    result,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "on": {"type": "list", "elements": "str", "default": []},
            "off": {"type": "list", "elements": "str", "default": []},
            "jobs": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        changes = service_set.apply(given["on"], given["off"], given["jobs"], module.check_mode)
    except StateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(changes))


if __name__ == "__main__":
    main()
