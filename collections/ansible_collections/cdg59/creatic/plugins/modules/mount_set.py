#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/mount_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mount_set
short_description: Mount options, kept and in force
description:
  - Options are added to fstab and, without unmounting, to what is mounted. Points that are not mounted are left alone.
options:
  entries:
    description: Mount points and their options.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Mount point., type: str, required: true}
      options: {description: Options it must have., type: list, elements: str, required: true}
      fstab: {description: Line to add when fstab does not have the point., type: str}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure nothing is executed from shared memory
  cdg59.creatic.mount_set:
    entries:
      - {path: /dev/shm, options: [noexec], fstab: "tmpfs /dev/shm tmpfs nosuid,nodev,noexec 0 0"}
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import mount_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge, entries

SPEC: dict[str, Any] = {
    "entries": entries(
        {
            "path": {"type": "str", "required": True},
            "options": {"type": "list", "elements": "str", "required": True},
            "fstab": {"type": "str"},
        }
    ),
}


def main() -> None:
    converge(SPEC, lambda given, check: mount_set.apply(given["entries"], check))


if __name__ == "__main__":
    main()
