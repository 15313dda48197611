"""The sheet of flows, tried by the machines that it names."""

from __future__ import annotations

import re
from pathlib import Path

from testbed.control_node import command

RELAYS = "tcp 252[56] : le réseau laisse passer, et rien n'y écoute"  # mails: there while a test reads them


def test_machines_try_the_flows_of_the_sheet(tmp_path: Path) -> None:
    sheet = tmp_path / "flux.csv"
    done = command("fab", "reseau", "--fichier", str(sheet), "--essayer")
    tried = re.search(r"^(\d+) flux essayés depuis (\d+) machines", done.stdout, re.MULTILINE)
    assert tried and int(tried[1]) > 80 and int(tried[2]) > 15, done.stdout
    refused = [line for line in done.stdout.splitlines() if re.search(" → .*, tcp ", line)]
    assert [line for line in refused if not re.search(RELAYS, line)] == []
    assert done.returncode == (1 if refused else 0)
    assert "relais" in sheet.read_text(encoding="utf-8-sig")
