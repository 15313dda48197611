#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/sysctl_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sysctl_set
short_description: Keep kernel settings in one file, and in force
version_added: 0.1.0
description:
  - One call for any number of settings: the file is written, and what differs in the kernel is set.
options:
  path:
    description: File of C(/etc/sysctl.d), wholly written by this task.
    type: path
    required: true
  settings:
    description: Wanted value by key, as text.
    type: dict
    required: true
author:
  - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
- name: Ensure addresses of the kernel are hidden
  cdg59.creatic.sysctl_set:
    path: /etc/sysctl.d/99-creatic.conf
    settings: {kernel.kptr_restrict: "2"}
"""

RETURN = r"""
changed_names:
  description: What changed, or would in check mode.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import sysctl_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import (
    StateError,
    result,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "settings": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        changes = sysctl_set.apply(Path(given["path"]), given["settings"], module.check_mode)
    except StateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(changes))


if __name__ == "__main__":
    main()
