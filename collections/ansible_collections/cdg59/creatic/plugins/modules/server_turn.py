#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Documentation of the action plugin of the same name, which does the work on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: server_turn
short_description: Take one's turn to change a server that communes share
description:
  - Takes the lock of the server, the one of C(fab serveurs), on the control node; while another run has it, waits in
    order and says for whom.
  - Fails, in French, with who has it, when it is not given back in time.
  - Nothing is taken in check mode.
options:
  home: {description: State folder of the control node; locks are in its C(verrous/)., type: path, required: true}
  state: {description: Whether the turn is taken or given back., type: str, choices: [taken, given], default: taken}
  timeout: {description: Seconds to wait for it., type: int, default: 600}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.control_node]
"""

EXAMPLES = r"""
- name: Take the server's turn
  cdg59.creatic.server_turn:
    home: "{{ creatic_home }}"
"""
