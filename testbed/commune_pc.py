"""A commune's PC as the person at it uses it."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any


def typing(hostvars: dict[str, Any], creatic_home: Path, command: str, pin: str) -> tuple[int, str]:
    """Run a command on the PC in a terminal, as the person; the PIN is typed when it is asked for."""
    line = f"sudo -u {hostvars['creatic_poste']['compte']} -H sh -c {shlex.quote(command)}"
    with subprocess.Popen(
        ["ssh", "-tt", "-i", creatic_home / "ssh" / "id_ed25519",
         "-o", f"UserKnownHostsFile={creatic_home}/ssh/known_hosts", "-o", "StrictHostKeyChecking=yes",
         f"{hostvars.get('ansible_user', 'creatic')}@{hostvars['ansible_host']}", line],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as terminal:  # fmt: skip # what is held, by line
        assert terminal.stdin
        assert terminal.stdout
        shown = b""
        while block := os.read(terminal.stdout.fileno(), 4096):
            shown += block
            if b"s'affiche pas) : " in shown and terminal.stdin:
                terminal.stdin.write(pin.encode() + b"\n")
                terminal.stdin.flush()
                shown = shown.replace(b"s'affiche pas) : ", b"s'affiche pas) ; ")
        return terminal.wait(timeout=60), shown.decode()
