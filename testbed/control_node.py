"""The control node of the lab: its state, and the project's tools."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[1]
HOME = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser() / "lab"
# The project's tools on the lab, wherever pytest is called from.
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "CREATIC_INVENTORY": "inventories/lab",
}


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a tool of the project's environment, outputs together."""
    return subprocess.run(
        arguments,
        cwd=REPO,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=1800,
        **options,
    )
