"""Whom playbooks/backup_server.yml asks for a first backup."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from testbed.control_node import REPO


def test_machines_that_nobody_reaches_are_not_asked(tmp_path: Path) -> None:
    """They begin by themselves: asking them ended in « unreachable », with all done that could be."""
    folder = Path(shutil.copytree(REPO / "inventories/lab", tmp_path / "inventaire"))
    with (folder / "communes/gondecourt.yml").open("a", encoding="utf-8") as commune:
        commune.write("acces: sortant\n")
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "playbooks/backup_server.yml",
            "-i",
            folder,
            "--list-hosts",
        ],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    asked = done.stdout.partition("Premières sauvegardes")[2].partition("play #")[0].split()
    assert "signatures" in asked
    assert "gondecourt-connecteur" not in asked
