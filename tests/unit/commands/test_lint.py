"""scripts/lint_ansible.py finds what ansible-lint finds: its syntax checks are real, and its rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "lint_ansible.py"
GOOD = """---
- name: Good
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Say it
      ansible.builtin.debug:
        msg: bonjour
"""


@pytest.mark.costly
def test_faults_of_syntax_and_of_rules_are_told_each_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[defaults]\ninventory = localhost,\n")
    (tmp_path / "good.yml").write_text(GOOD)
    (tmp_path / "syntax.yml").write_text(GOOD.replace("ansible.builtin.debug", "ansible.builtin.never"))
    (tmp_path / "rule.yml").write_text(GOOD.replace("Say it", "say it"))

    def lint(*names: str) -> tuple[int, list[str]]:
        done = subprocess.run(
            [sys.executable, SCRIPT, "--offline", "--nocolor", "-q", "-f", "pep8", *names],
            cwd=tmp_path, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip # one argument a line says no more
        return done.returncode, [line.removesuffix("[/]") for line in done.stdout.splitlines()]

    status, said = lint("good.yml", "syntax.yml", "rule.yml")
    assert (status, said) == (2, ["rule.yml:6:13: name[casing]", "syntax.yml:6:7: syntax-check[unknown-module]"])
    assert lint("good.yml") == (0, [])
