#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/host/package_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_set
short_description: Packages wanted and unwanted, in one task
version_added: 0.1.0
description:
  - dpkg is asked what is there; apt only runs when something is missing or unwanted. Package lists older than a day
    are fetched first. Recommended packages are not installed, and configuration files are kept as they are.
options:
  present:
    description: Packages that must be installed.
    type: list
    elements: str
    default: []
  absent:
    description: Packages that must not be.
    type: list
    elements: str
    default: []
  start:
    description: Whether services of new packages may start at once, unconfigured.
    type: bool
    default: true
author:
  - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
- name: Ensure the audit daemon is there and telnet is not
  cdg59.creatic.package_set:
    present: [auditd]
    absent: [telnet]
"""

RETURN = r"""
changed_names:
  description: What changed, or would in check mode.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host import package_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import (
    StateError,
    result,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "present": {"type": "list", "elements": "str", "default": []},
            "absent": {"type": "list", "elements": "str", "default": []},
            "start": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        changes = package_set.apply(given["present"], given["absent"], module.check_mode, given["start"])
    except StateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(changes))


if __name__ == "__main__":
    main()
