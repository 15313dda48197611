#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/host/package_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_set
short_description: Packages wanted and unwanted, in one task
description:
  - dpkg is asked what is there; apt only runs when something is missing or unwanted. Package lists older than a day
    are fetched first. Recommended packages are not installed, and configuration files are kept as they are.
options:
  present: {description: Packages that must be installed., type: list, elements: str, default: []}
  absent: {description: Packages that must not be., type: list, elements: str, default: []}
  start: {description: "Whether services of new packages may start at once, unconfigured.", type: bool, default: true}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the audit daemon is there and telnet is not
  cdg59.creatic.package_set:
    present: [auditd]
    absent: [telnet]
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host import package_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge

SPEC: dict[str, Any] = {
    "present": {"type": "list", "elements": "str", "default": []},
    "absent": {"type": "list", "elements": "str", "default": []},
    "start": {"type": "bool", "default": True},
}


def main() -> None:
    converge(SPEC, lambda given, check: package_set.apply(given["present"], given["absent"], check, given["start"]))


if __name__ == "__main__":
    main()
