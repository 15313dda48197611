#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/permission_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: permission_set
short_description: Owner, group and mode of existing files
description:
  - What does not exist is left alone. Files of packages are kept by dpkg-statoverride.
options:
  entries:
    description: Paths and what they must be.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: "Absolute path, or a glob.", type: str, required: true}
      owner: {description: Owner., type: str, default: root}
      group: {description: Group., type: str, default: root}
      mode: {description: "Exact mode, octal text.", type: str}
      most: {description: "Bits that may be set, octal text; a stricter mode is kept.", type: str}
      package:
        description: The file belongs to a package, the choice must survive its upgrades.
        type: bool
        default: false
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure only root reads the daemon's configuration
  cdg59.creatic.permission_set:
    entries:
      - {path: /etc/ssh/sshd_config, mode: "0600"}
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import permission_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge, entries

SPEC: dict[str, Any] = {
    "entries": entries(
        {
            "path": {"type": "str", "required": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str"},
            "most": {"type": "str"},
            "package": {"type": "bool", "default": False},
        },
        required_one_of=[["mode", "most"]],
    ),
}


def main() -> None:
    converge(SPEC, lambda given, check: permission_set.apply(given["entries"], check))


if __name__ == "__main__":
    main()
