"""Holds the sshd of emergency doors: no tunnel outlives its order, and a key has one connection.

sshd looks at the end of a key when a connection begins, and never again. When an order that was good at its start ends,
this program ends too, with a status by which systemd kills all that it started, and starts it again: tunnels whose
orders go on are open again within seconds.

sshd bounds the connections of who is not let in yet, and of nobody else. It says here whom it lets in: the connection
of before with the same key is ended, which a machine whose line was cut needs as well, since it holds its port.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

SSHD = ("/usr/sbin/sshd", "-D", "-e", "-f", "/etc/guichet/porte.sshd_config")
ENDED = 75
"""Exit status when an order ended (EX_TEMPFAIL, sysexits.h)."""
PROC = Path("/proc")
_LOOK_S = 1.0
_TRIES = 50  # an sshd that is just making its child is looked at again
_END = re.compile(r'expiry-time="(\d{14})Z"')
_KEY = re.compile(r" ssh-ed25519 (\S+) ")
_LET_IN = re.compile(  # with LogLevel VERBOSE
    r"Accepted publickey for \S+ from (?P<address>\S+) port (?P<port>\d{1,5}) ssh2: ED25519 (?P<key>SHA256:\S+)"
)


def ends(keys: Path) -> list[float]:
    """When the orders end whose keys are let in, seconds since the epoch."""
    try:
        found = _END.findall(keys.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [datetime.strptime(one, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp() for one in found]


def fingerprints(keys: Path) -> set[str]:
    """Of the keys that are let in, as sshd says them."""
    try:
        blobs = [base64.b64decode(one) for one in _KEY.findall(keys.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return set()
    return {f"SHA256:{base64.b64encode(hashlib.sha256(one).digest()).decode().rstrip('=')}" for one in blobs}


def hold(keys: Path, command: Sequence[str] = SSHD, now: Callable[[], float] = time.time) -> int:
    """Run sshd until it ends, or an order does; gives the exit status.

    Args:
        keys: what sshd reads; systemd starts all again when it changes.
        command: sshd.
        now: seconds since the epoch.
    """
    coming = [one for one in ends(keys) if one > now()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")
    threading.Thread(target=follow, args=(process.stderr or (), lambda: fingerprints(keys)), daemon=True).start()

    def stop(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    while True:
        try:
            return process.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if any(one <= now() for one in coming):
                process.terminate()
                process.wait()
                return ENDED


def follow(said: Iterable[str], known: Callable[[], set[str]]) -> None:
    """Pass on what sshd says, and leave each key the last connection that it was let in with.

    A client's words are among sshd's, ends of lines included (its farewell): a line counts for a key that is let in,
    which strangers do not know, and takes no connection that is another key's. Whatever it claims, a key has one.

    Args:
        said: what sshd says.
        known: gives the fingerprints of the keys that are let in.
    """
    held: dict[str, str] = {}
    for line in said:
        with contextlib.suppress(OSError):  # whoever reads this is gone: sshd is never held up
            sys.stderr.write(line)
            sys.stderr.flush()
        found = _LET_IN.fullmatch(line.rstrip())
        if not found or found["key"] not in known():
            continue
        new = _connection(found["address"], int(found["port"]))
        if new in held.values():
            continue
        if before := held.pop(found["key"], ""):
            _end(before)
        if new:
            held[found["key"]] = new


def _connection(address: str, port: int) -> str:
    """A connection from there, as the kernel numbers it; empty when it is over, or nobody can tell."""
    try:
        known = ipaddress.ip_address(address)
        words = (known.packed[place : place + 4] for place in range(0, len(known.packed), 4))
        there = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{port:04X}"
        table = PROC / "self/net" / ("tcp" if known.version == 4 else "tcp6")  # proc_net_tcp(5)
        rows = [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
    except (OSError, ValueError):
        return ""
    mine = str(os.getuid())
    return next((row[9] for row in rows if row[2] == there and row[7] == mine and row[9] != "0"), "")


def _end(connection: str) -> None:
    """End the processes that hold a connection: sshd's, which are of this account."""
    for _try in range(_TRIES):
        holding = [int(one.name) for one in PROC.iterdir() if one.name.isdecimal() and _holds(one, connection)]
        if not holding:
            return
        for pid in holding:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _holds(process: Path, connection: str) -> bool:
    with contextlib.suppress(OSError):
        return any(one.readlink().name == f"socket:[{connection}]" for one in (process / "fd").iterdir())
    return False
