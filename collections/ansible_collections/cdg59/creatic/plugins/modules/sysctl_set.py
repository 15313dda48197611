#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/sysctl_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sysctl_set
short_description: Keep kernel settings in one file, and in force
description:
  - One call for any number of settings: the file is written, and what differs in the kernel is set.
options:
  path: {description: "File of C(/etc/sysctl.d), wholly written by this task.", type: path, required: true}
  settings: {description: "Wanted value by key, as text.", type: dict, required: true}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure addresses of the kernel are hidden
  cdg59.creatic.sysctl_set:
    path: /etc/sysctl.d/99-creatic.conf
    settings: {kernel.kptr_restrict: "2"}
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import sysctl_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge

SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "settings": {"type": "dict", "required": True},
}


def main() -> None:
    converge(SPEC, lambda given, check: sysctl_set.apply(Path(given["path"]), given["settings"], check))


if __name__ == "__main__":
    main()
