"""The guide « Mettre en production » names what there is; tests/production types it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from testbed.control_node import REPO
from testbed.guide import GUIDE


def known(environment: str = "") -> set[str]:
    """Commands of fab, in an environment."""
    listed = subprocess.run(
        [Path(sys.executable).parent / "fab", "--list"],
        cwd=REPO, capture_output=True, text=True, check=True, env=os.environ | {"CREATIC_INVENTORY": environment},
    ).stdout  # fmt: skip # one call by its parts
    names = re.findall(r"^  ([a-z.]+)(?: \(([a-z.]+)\))?", listed, re.MULTILINE)
    return {name for pair in names for name in pair if name}


def run_by(path: Path) -> set[str]:
    """Commands of fab that a program runs: the word after « fab » in what is written of a call or a list."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        words = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.List | ast.Tuple) else ()
        values = [str(word.value) if isinstance(word, ast.Constant) else "-" for word in words]
        found |= {then for word, then in pairwise(values) if word == "fab" and not then.startswith("-")}
    return found


def test_every_command_that_tests_and_scripts_run_is_one_that_fab_knows() -> None:
    """A long part ran a name of before, and was red for it on the day that it was drawn."""
    lab = known("inventories/lab")
    ran = {path: run_by(path) for folder in ("tests", "testbed", "scripts") for path in (REPO / folder).rglob("*.py")}
    assert "commune.deployer" in set().union(*ran.values())
    assert not {path.name: names - lab for path, names in ran.items() if names - lab}


def test_every_command_of_the_guide_is_one_that_fab_knows() -> None:
    written = set(re.findall(r"\bfab ([a-z]+(?:\.[a-z]+)?)", GUIDE.read_text(encoding="utf-8")))
    assert written and written <= known(), written - known()
    for playbook in re.findall(r"playbooks/[\w/]+\.yml", GUIDE.read_text(encoding="utf-8")):
        assert (REPO / playbook).is_file()
