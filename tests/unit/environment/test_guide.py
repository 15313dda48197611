"""The guide « Mettre en production » names what there is; tests/production types it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from testbed.control_node import REPO
from testbed.guide import GUIDE


def test_every_command_of_the_guide_is_one_that_fab_knows() -> None:
    listed = subprocess.run(
        [Path(sys.executable).parent / "fab", "--list"], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout
    known = set(re.findall(r"^  ([a-z.]+)(?: \(([a-z.]+)\))?", listed, re.MULTILINE))
    known = {name for names in known for name in names}
    written = set(re.findall(r"\bfab ([a-z]+(?:\.[a-z]+)?)", GUIDE.read_text(encoding="utf-8")))
    assert written and written <= known, written - known
    for playbook in re.findall(r"playbooks/[\w/]+\.yml", GUIDE.read_text(encoding="utf-8")):
        assert (REPO / playbook).is_file()
