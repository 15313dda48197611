"""Programs of this Python's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from testbed.patience import allowed

TOP = Path(__file__).parents[1]
SIGNING = os.pathsep.join(
    str(TOP / part) for part in ("roles/signature/files", "collections/ansible_collections/cdg59/creatic/agents")
)
"""PYTHONPATH of what signs and verifies, and of what agents share, as their archives carry it."""


def said(program: str, *arguments: str, seconds: float, **environment: str) -> str:
    """What one prints, run from the top of the project; it must end well, in this time on an idle machine."""
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(
        command, cwd=TOP, env=os.environ | environment, capture_output=True, text=True, timeout=allowed(seconds),
        check=False,
    )  # fmt: skip # one call by its parts
    assert done.returncode == 0, done.stderr
    return done.stdout
