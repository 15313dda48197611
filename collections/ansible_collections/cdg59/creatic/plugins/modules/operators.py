#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/access/operators.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: operators
short_description: Who may use a control node that several share
description:
  - The group has these members and no other; they may execute sudo, where that is reserved to a group, and read the
    journal.
options:
  group: {description: "Name of the group, which is there.", type: str, required: true}
  operators: {description: Accounts of the machine., type: list, elements: str, required: true}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the operators may use it
  cdg59.creatic.operators:
    group: creatic-operateurs
    operators: [lea, camille]
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.access import operators
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge

SPEC: dict[str, Any] = {
    "group": {"type": "str", "required": True},
    "operators": {"type": "list", "elements": "str", "required": True},
}


def main() -> None:
    converge(SPEC, lambda given, check: operators.apply(given["group"], given["operators"], check))


if __name__ == "__main__":
    main()
