#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/host/service_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_set
short_description: Units that must run, and units that must not
description:
  - All units are asked in one call of systemctl.
  - A unit whose conditions are not met here is enabled and left to systemd.
options:
  'on': {description: Units to enable and start., type: list, elements: str, default: []}
  'off':
    description: Units to stop and mask; those not installed are left alone.
    type: list
    elements: str
    default: []
  jobs:
    description: Oneshot units to start in the background; their own conditions say whether there is work.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the audit daemon runs
  cdg59.creatic.service_set:
    'on': [auditd.service]
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host import service_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge

SPEC: dict[str, Any] = {
    "on": {"type": "list", "elements": "str", "default": []},
    "off": {"type": "list", "elements": "str", "default": []},
    "jobs": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    converge(SPEC, lambda given, check: service_set.apply(given["on"], given["off"], given["jobs"], check))


if __name__ == "__main__":
    main()
