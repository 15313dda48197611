#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Documentation of the action plugin of the same name, which does the work on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: archive_status
short_description: The archive room in one French screen
description:
  - Reads what every node and every gateway answered, judges, and says it.
options:
  nodes:
    description:
      - What C(creatic-archive bilan) answered, a task's result by node of the room; an empty one for a node that was
        not asked.
    type: dict
    required: true
  zones: {description: Failure domain of each node., type: dict, required: true}
  gateways: {description: "What each gateway publishes (its metrics), as for the nodes.", type: dict, required: true}
  replicas: {description: Copies of each archive., type: int, default: 3}
  dest: {description: "File to write screen and faults to, as JSON.", type: path}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.control_node, cdg59.creatic.modules.room]
"""

EXAMPLES = r"""
- name: Show the archive room
  cdg59.creatic.archive_status:
    home: "{{ creatic_home }}"
    nodes: {sae1: "{{ hostvars.sae1.answer }}", sae2: {}}
    zones: {sae1: 1, sae2: 2}
    gateways: {passerelle: "{{ hostvars.passerelle.metrics }}"}
  run_once: true
"""

RETURN = r"""
lines: {description: The screen., returned: always, type: list, elements: str}
faults: {description: "Why no node should be stopped now, in French.", returned: always, type: list, elements: str}
"""
