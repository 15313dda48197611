"""The lab, rolled out once for all journeys; `fab lab.up` comes before (./scripts/test journeys)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parents[2]
HOME = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser() / "lab"
# The project's tools, wherever pytest is called from.
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


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


def on_host(address: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script as root on a host of the lab, over a connection of its own."""
    known = f"UserKnownHostsFile={HOME / 'ssh' / 'known_hosts'}"
    options = ["-i", str(HOME / "ssh" / "id_ed25519"), "-o", known, "-o", "ConnectTimeout=5", "-o", "ControlPath=none"]
    return command("ssh", *options, f"creatic@{address}", f"sudo sh -c '{script}'")


def rollout(communes: str) -> tuple[int, str]:
    """fab rollout; gives its status and its output."""
    done = command("fab", "rollout", communes)
    return done.returncode, done.stdout


@pytest.fixture(scope="session")
def ready() -> str:
    """Everything rolled out once, with its TdT; gives the output of the rollout."""
    done = command("ansible-playbook", "-i", "inventories/lab", "playbooks/tdt_simulator.yml")
    assert done.returncode == 0, done.stdout
    status, output = rollout("toutes")
    assert status == 0, output
    return output
