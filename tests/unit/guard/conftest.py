"""A host's folders under a temporary one: real shell, systemd played by a recorder."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.host.guard import Guard, run


class Systemd:
    """Records what systemd was asked; runs the rest for real."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refuses: set[str] = set()
        self.answers: dict[str, str] = {}

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if command[0] not in ("systemctl", "systemd-run", "nft", "unshare"):
            return run(command)
        line = " ".join(command)
        self.asked.append(line)
        failed = any(word in line for word in self.refuses)
        answer = next((text for word, text in self.answers.items() if word in line), "")
        return subprocess.CompletedProcess(command, int(failed), answer, "refusé" if failed else "")


@pytest.fixture
def systemd() -> Systemd:
    return Systemd()


@pytest.fixture
def guard(tmp_path: Path, systemd: Systemd) -> Guard:
    units = tmp_path / "units"
    units.mkdir()
    return Guard("essai", "essai", state=tmp_path / "garde", units=units, run=systemd)
