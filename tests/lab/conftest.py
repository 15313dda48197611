"""The administrator's own folder of keys, and how a machine of the lab is reached with them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where keys are made; what needs it needs root."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    return tmp_path_factory.mktemp("ssh")


def ssh(folder: Path, address: str, command: str) -> str:
    """Run a command on a machine as its administrator; gives what it printed."""
    options = ["-i", str(folder / "id_ed25519"), "-o", f"UserKnownHostsFile={folder / 'known_hosts'}"]
    options += ["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30"]
    asked = ["ssh", *options, f"creatic@{address}", command]
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
