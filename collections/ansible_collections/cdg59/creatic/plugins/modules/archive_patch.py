#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Documentation of the action plugin of the same name, which does the work on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: archive_patch
short_description: Steps of a patch of the archive room, one node at a time
description:
  - Keeps on the control node what was done to each node, so that an interrupted patch is taken up by the next run.
  - C(take) takes the room's lock; C(judge) refuses, in French, when a node may not be stopped, and gives the order;
    C(begin), C(end) and C(fail) note one node; C(close) seals the evidence.
options:
  step: {description: What to do., type: str, required: true, choices: [take, judge, begin, end, fail, close]}
  nodes:
    description:
      - What C(creatic-archive bilan) answered, a task's result by node of the room; an empty one for a node that was
        not asked. Step C(take) needs their names alone.
      - Required for steps C(take), C(judge) and C(end).
    type: dict
  gateways:
    description: What each gateway publishes (its metrics), likewise. Required for step C(judge).
    type: dict
  node: {description: Node that the step is about., type: str}
  reboot: {description: Restart each node even if nothing asks for it., type: bool, default: false}
  apt_output: {description: What apt said., type: str}
  rebooted: {description: Whether the node was restarted., type: bool}
  caught_up: {description: What the node said once the others had given it what it missed., type: str}
  patience:
    description: For step C(end), seconds from the first look during which copies may still differ.
    type: int
    default: 0
  reason: {description: Why the node could not be patched., type: str}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.control_node, cdg59.creatic.modules.room]
"""

EXAMPLES = r"""
- name: Refuse to stop a node of a room that is not whole
  cdg59.creatic.archive_patch:
    step: judge
    home: "{{ creatic_home }}"
    nodes: {sae1: "{{ hostvars.sae1.answer }}", sae2: "{{ hostvars.sae2.answer }}", sae3: {}}
    gateways: {passerelle: "{{ hostvars.passerelle.metrics }}"}
    backup_stamp: /var/lib/creatic/sauvegarde-salle
    backup_days: 7
  run_once: true
"""

RETURN = r"""
order: {description: Nodes left to patch (step C(judge))., returned: judge, type: list, elements: str}
interrupted: {description: Node at which an earlier run stopped; empty for none., returned: judge, type: str}
again:
  description: Partitions, by node, whose replicas differ; the node is to read them again.
  returned: judge
  type: dict
"""
