#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/file_settings.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_settings
short_description: Set values in configuration files which have no drop-in folder
version_added: 0.1.0
description:
  - Each key is there once, at its value; other lines are untouched.
options:
  files:
    description: Files and their values.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path; the file must exist, unless O(files[].optional).
        type: str
        required: true
      values:
        description: Wanted values by key, as text. An empty value is a bare word, null takes the key away.
        type: dict
        required: true
      style:
        description: What stands between key and value.
        type: str
        choices: [equals, space]
        default: equals
      validate:
        description: Command that must accept the new file; C(%s) is its path.
        type: str
      optional:
        description: A missing file is not an error.
        type: bool
        default: false
author:
  - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
- name: Ensure root does not log in over SSH
  cdg59.creatic.file_settings:
    files:
      - {path: /etc/ssh/sshd_config, style: space, values: {PermitRootLogin: "no"}, validate: sshd -t -f %s}
"""

RETURN = r"""
changed_names:
  description: What changed, or would in check mode.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import file_settings
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import (
    StateError,
    result,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "str", "required": True},
                    "values": {"type": "dict", "required": True},
                    "style": {"type": "str", "choices": ["equals", "space"], "default": "equals"},
                    "validate": {"type": "str"},
                    "optional": {"type": "bool", "default": False},
                },
            },
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        changes = file_settings.apply(given["files"], module.check_mode)
    except StateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(changes))


if __name__ == "__main__":
    main()
