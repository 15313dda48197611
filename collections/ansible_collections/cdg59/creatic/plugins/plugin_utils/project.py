# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Finds the control node's own package, creatic, and what it shares with the applications, beside this collection.

A clone's environment has it (scripts/bootstrap); a machine that applies a bundle by itself has the bundle alone.
Inventory plugins, which Ansible loads before any other, import this first.
"""

from __future__ import annotations

import sys
from pathlib import Path

TOP = Path(__file__).parents[6]
if (TOP / "creatic").is_dir():
    sys.path[:0] = [one for one in (str(TOP), str(TOP / "apps/common/src")) if one not in sys.path]
