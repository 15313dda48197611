# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the applications share (apps/common), on the control node alone: nothing ships it to a module's machine."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any


def shared(name: str) -> Any:
    """A module of creatic_agent, by its name."""
    sources = str(Path(__file__).parents[6] / "apps" / "common" / "src")
    if sources not in sys.path:
        sys.path.append(sources)
    return importlib.import_module(f"creatic_agent.{name}")
