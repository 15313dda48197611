#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Documentation of the action plugin of the same name, which does everything on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: admin_access
short_description: Prove that the administrator's own way in works, over a second connection
description:
  - Opens a new SSH connection (not the shared one) with the play's own account and key, without a terminal, and
    asks for its groups and for C(sudo). The task fails, in French, when any of it does not work.
  - With O(group), the account joins it first when it has not; the play's shared connection is then opened again,
    so that the following tasks have the group too.
options:
  group: {description: Group which the account must be in., type: str}
extends_documentation_fragment: cdg59.creatic.modules
"""

EXAMPLES = r"""
- name: Ensure the administrator keeps a way in
  cdg59.creatic.admin_access:
    group: sudogrp
"""

RETURN = r"""
groups: {description: Groups of the new login., returned: success, type: list, elements: str}
"""
