# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the documentation of several modules says: of all, and of those which show a diff, change a state, or do not run
on the host."""

from __future__ import annotations


class ModuleDocFragment:
    """Parts of documentation, by the name that modules extend."""

    DOCUMENTATION = r"""
version_added: 0.1.0
author:
  - Cre@tic (@cdg59)
attributes:
  check_mode:
    description: Says what would change, and changes nothing.
    support: full
"""

    DIFF = r"""
attributes:
  diff_mode:
    description: Shows what changes, or would.
    support: full
"""

    CONTROL_NODE = r"""
attributes:
  action:
    description: Runs on the control node, whatever the host of the play.
    support: full
"""

    # Of the modules that answer by module_utils/host/module.py (converge).
    RETURN = r"""
changed_names:
  description: What changed, or would in check mode.
  returned: always
  type: list
  elements: str
"""
