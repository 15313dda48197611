#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_collect
short_description: Collect facts, patch state and OpenSCAP's verdict of a host
description:
  - Runs C(/usr/lib/creatic/creatic-audit), which changes nothing, and keeps its answer in the folder of the running
    C(fab audit).
options:
  level:
    description: ANSSI-BP-028 level whose OpenSCAP profile is run.
    type: str
    choices: [minimal, intermediary, enhanced, high]
    required: true
extends_documentation_fragment: cdg59.creatic.modules
"""

EXAMPLES = r"""
- name: Collect what the audit wants to know
  cdg59.creatic.audit_collect:
    level: enhanced
  check_mode: false
"""
