#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/host/bare.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bare_machine
short_description: Tells what a machine holds that a bare one does not
description:
  - Looks for what the groupement's profiles leave on every machine, and for data of services and of people.
  - Changes nothing.
options:
  account: {description: "The administrator's account, whose home folder is not looked at.", type: str, required: true}
extends_documentation_fragment: cdg59.creatic.modules
"""

EXAMPLES = r"""
- name: Look at the machine
  cdg59.creatic.bare_machine:
    account: "{{ ansible_user }}"
"""

RETURN = r"""
holds: {description: "What a bare machine does not have, by path.", returned: always, type: list, elements: str}
marked: {description: Whether a drill said that this comes from it., returned: always, type: bool}
"""

from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.host import bare
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run


def main() -> None:
    """Entry point."""
    run(
        {"account": {"type": "str", "required": True}},
        lambda module: {
            "changed": False,
            "holds": bare.holds(module.params["account"]),
            "marked": Path("/", bare.MARK).exists(),
        },
    )


if __name__ == "__main__":
    main()
