"""Ends sessions: those that sudo records for a certificate, with whatever they left running."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_PATIENCE_S = 5.0
_USER = "--user="


@dataclass(frozen=True)
class Process:
    """A process of this machine: its number, its effective user and its command line."""

    pid: int
    uid: int
    command: tuple[str, ...]


def processes(proc: Path = PROC) -> Iterator[Process]:
    """Every process that can be read; zombies have no command line, and are left out."""
    for folder in proc.iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError, StopIteration):  # it may end meanwhile
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            status = (folder / "status").read_text(errors="replace").splitlines()
            uid = next(int(line.split()[2]) for line in status if line.startswith("Uid:"))
            if command:
                yield Process(int(folder.name), uid, tuple(command))


def accounts(recorded: list[str], found: list[Process]) -> set[str]:
    """Accounts whose sessions sudo records with this command; what has not root's rights is not sudo."""
    names = set()
    for process in found:
        if process.uid == 0 and "--" in process.command:
            split = process.command.index("--")
            if list(process.command[split + 1 : split + 1 + len(recorded)]) == recorded:
                names |= {word.removeprefix(_USER) for word in process.command[:split] if word.startswith(_USER)}
    return names


def cut(recorded: list[str], kill: Callable[[int, int], None] = os.kill, proc: Path = PROC) -> Counter[str]:
    """Kill all that runs under the accounts which have a session recorded with this command.

    What such a session left behind, detached, bears no mark of it: so every process of the account goes, and other
    holders open a new session.

    Returns:
        How many processes were killed, by account.
    """
    killed: Counter[str] = Counter()
    for name in accounts(recorded, list(processes(proc))):
        uid = pwd.getpwnam(name).pw_uid
        deadline = time.monotonic() + _PATIENCE_S
        while (left := [one.pid for one in processes(proc) if one.uid == uid]) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)
                    killed[name] += 1
            time.sleep(0.1)
    return killed
