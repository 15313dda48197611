#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Documentation of the action plugin of the same name, which does the work on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_plan
short_description: Note what an audit is about to look at
description:
  - Writes, in the folder of the running C(fab audit), the hosts of the play with their profile, level and commune.
  - Fails, in French, on a host without profile or with an unknown level, before anything is looked at.
options:
  profiles: {description: Groups of the inventory that are profiles., type: list, elements: str, required: true}
  level: {description: "Level to judge every host by, instead of its own.", type: str}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.control_node]
"""

EXAMPLES = r"""
- name: Ensure what to audit is known
  cdg59.creatic.audit_plan:
    profiles: [parapheur, commune_pc]
  run_once: true
  delegate_to: localhost
"""
