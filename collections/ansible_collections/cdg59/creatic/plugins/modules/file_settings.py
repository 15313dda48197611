#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/file_settings.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_settings
short_description: Set values in configuration files which have no drop-in folder
description:
  - Each key is there once, at its value; other lines are untouched.
options:
  files:
    description: Files and their values.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: "Absolute path; the file must exist, unless O(files[].optional).", type: str, required: true}
      values:
        description: Wanted values by key, as text. An empty value is a bare word, null takes the key away.
        type: dict
        required: true
      style: {description: What stands between key and value., type: str, choices: [equals, space], default: equals}
      validate: {description: Command that must accept the new file; C(%s) is its path., type: str}
      optional: {description: A missing file is not an error., type: bool, default: false}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure root does not log in over SSH
  cdg59.creatic.file_settings:
    files:
      - {path: /etc/ssh/sshd_config, style: space, values: {PermitRootLogin: "no"}, validate: sshd -t -f %s}
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import file_settings
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge, entries

SPEC: dict[str, Any] = {
    "files": entries(
        {
            "path": {"type": "str", "required": True},
            "values": {"type": "dict", "required": True},
            "style": {"type": "str", "choices": ["equals", "space"], "default": "equals"},
            "validate": {"type": "str"},
            "optional": {"type": "bool", "default": False},
        }
    ),
}


def main() -> None:
    converge(SPEC, lambda given, check: file_settings.apply(given["files"], check))


if __name__ == "__main__":
    main()
