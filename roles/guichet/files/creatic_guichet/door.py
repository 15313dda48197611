"""Holds the sshd of emergency doors, and has it end with the first order that ends: nothing of its tunnel goes on.

sshd looks at the end of a key when a connection begins, and never again. When an order that was good at its start ends,
this program ends too, with a status by which systemd kills all that it started, and starts it again: tunnels whose
orders go on are open again within seconds.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

SSHD = ("/usr/sbin/sshd", "-D", "-e", "-f", "/etc/guichet/porte.sshd_config")
ENDED = 75
"""Exit status when an order ended (EX_TEMPFAIL, sysexits.h)."""
_LOOK_S = 1.0
_END = re.compile(r'expiry-time="(\d{14})Z"')


def ends(keys: Path) -> list[float]:
    """When the orders end whose keys are let in, seconds since the epoch."""
    try:
        found = _END.findall(keys.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [datetime.strptime(one, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp() for one in found]


def hold(keys: Path, command: Sequence[str] = SSHD, now: Callable[[], float] = time.time) -> int:
    """Run sshd until it ends, or an order does; gives the exit status.

    Args:
        keys: what sshd reads; systemd starts all again when it changes.
        command: sshd.
        now: seconds since the epoch.
    """
    coming = [one for one in ends(keys) if one > now()]
    process = subprocess.Popen(command)

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
