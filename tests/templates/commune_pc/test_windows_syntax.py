"""The Windows tasks, which no machine here can run: Ansible at least reads them, with their collection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[3]


@pytest.mark.parametrize("tasks", ["windows", "windows_issued", "windows_file"])
def test_ansible_reads_the_windows_tasks(tmp_path: Path, tasks: str) -> None:
    playbook = tmp_path / "windows.yml"
    playbook.write_text(
        "- hosts: localhost\n  tasks:\n    - ansible.builtin.import_role:\n"
        f"        name: {TOP}/roles/commune_pc\n        tasks_from: {tasks}\n"
    )
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "--syntax-check", "-i", "localhost,", str(playbook)],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
