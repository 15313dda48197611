"""The guide « Mettre en production », and the terminal of somebody whose only hint it is."""

from __future__ import annotations

import re
import secrets
import subprocess
import threading
from pathlib import Path

from testbed.control_node import REPO
from testbed.patience import allowed

GUIDE = REPO / "docs/production.md"
PASSPHRASES = tuple(word * 4 for word in ("racine", "emettrice", "acces-ssh", "flotte-"))


def blocks(step: str) -> list[str]:
    """Commands of a step of the guide, as they are written."""
    text = GUIDE.read_text(encoding="utf-8")
    section = re.search(rf"^## {step}\. .*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert section
    return re.findall(r"^```sh\n(.*?)^```", section[0], re.MULTILINE | re.DOTALL)


def tracked() -> list[Path]:
    """What a clone holds, relative to it; its tests too: audits are made of them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (REPO / name).exists()]


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
        typed = f"{{ {line}\n}} <<'{mark}'\n{keyboard}{mark}\n" if keyboard else f"{{ {line}\n}} </dev/null; "
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
