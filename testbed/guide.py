"""The guide « Mettre en production », and somebody whose only hint it is."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from testbed.control_node import REPO
from testbed.patience import allowed

GUIDE = REPO / "docs/production.md"
PASSPHRASES = tuple(word * 4 for word in ("racine", "emettrice", "acces-ssh"))
BOOTSTRAP = "scripts/bootstrap production && . .venv/bin/activate\n"


def blocks(step: str) -> list[str]:
    """Commands of a step of the guide, as they are written."""
    text = GUIDE.read_text(encoding="utf-8")
    section = re.search(rf"^## {step}\. .*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert section
    return re.findall(r"^```sh\n(.*?)^```", section[0], re.MULTILINE | re.DOTALL)


def tracked(tests: bool = True) -> list[Path]:
    """What a clone holds, relative to it; without the tests, audits cannot be made there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.split("\0") if name and (tests or not name.startswith("tests/"))]
    return [Path(name) for name in names if (REPO / name).exists()]


class Technician:
    """Somebody in a clone of his own, on this very computer; the tools are there already."""

    def __init__(self, folder: Path) -> None:
        self.clone, self.home = folder / "creatic", folder / "home"
        for name in tracked(tests=False):
            target = self.clone / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, target)
        self.home.mkdir()

    def types(self, commands: str, keyboard: str = "") -> subprocess.CompletedProcess[str]:
        """Run commands in one shell, in the clone."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("CREATIC_", "ANSIBLE_"))
        }
        return subprocess.run(
            ["bash", "-ec", commands.replace(BOOTSTRAP, "")],
            cwd=self.clone,
            env=environment | {"HOME": str(self.home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            input=keyboard,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=allowed(180),
        )


class Terminal:
    """A shell that stays open, as a person's: what one command exports, the next one has.

    Args:
        command: starts the shell; its keyboard is a pipe.
    """

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )

    def types(self, line: str, keyboard: str = "", seconds: float = 600) -> tuple[int, str]:
        """One line, and what the keyboard gives to those that read it; gives the status and the output."""
        assert self._process.stdin and self._process.stdout
        mark = secrets.token_hex(8)
        # Programs that look at the keyboard would take the next line for theirs, and sudo throws away what was typed
        # before it takes the screen: the shell has read all of it before it begins.
        typed = f"{line}\n{keyboard}" if keyboard else f"{{ {line}\n}} </dev/null; "
        said: list[str] = []
        limit = threading.Timer(allowed(seconds), self._process.kill)
        limit.start()
        try:
            self._process.stdin.write(f"{typed}printf '\\n%s %s\\n' {mark} $?\n")
            for got in self._process.stdout:
                if got.startswith(mark):
                    return int(got.split()[1]), "".join(said).rstrip("\n") + "\n"
                said.append(got)
        finally:
            limit.cancel()
        self._process.kill()
        ended = self._process.wait()
        raise AssertionError(
            f"{line} : pas fini après {seconds} s, ou le terminal s'est fermé ({ended})\n{''.join(said)}"
        )

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
