"""What a host says of its services: who listens, how shut in they are, what memory they take."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host


def on_the_lab_alone(hostvars: Mapping[str, Any], what: str) -> None:
    """Leave a machine of production alone, and say (French) what these tests do."""
    if hostvars["creatic_env"] != "lab":
        pytest.skip(f"{what} : banc d'essai seulement")  # they would leave traces where people work


def as_root(host: Host, command: str) -> str:
    """Output of a shell command that root alone may run."""
    with host.sudo():
        return str(host.check_output(command))


def properties(host: Host, unit: str, *names: str) -> dict[str, str]:
    """What systemd applies to a unit."""
    asked = " ".join(f"-p {name}" for name in names)
    lines = host.check_output(f"systemctl show {unit} {asked}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def exposure(host: Host, unit: str) -> float:
    """What a unit could reach, from 0 (nothing) to 10, as systemd judges it."""
    shown = as_root(host, f"systemd-analyze security --no-pager {unit}")
    return float(re.findall(r"exposure level[^:]*: ([\d.]+)", shown)[0])


EXPORTER = 9100
"""Where a machine answers its supervision, if it has one (tests/profiles/common/test_metrics.py)."""


def listening(host: Host) -> dict[int, str]:
    """Ports on which something listens, TCP and UDP, with what ss says of it; but the clock's and the exporter's."""
    lines = as_root(host, "ss --no-header --listening --tcp --udp --numeric --processes").splitlines()
    found = {int(line.split()[4].rpartition(":")[2]): line for line in lines if '"chronyd"' not in line}
    return {port: line for port, line in found.items() if port != EXPORTER}


def listens_on(host: Host, *ports: int) -> None:
    """Something listens on these ports, and on no other. See `listening`."""
    found = listening(host)
    assert set(found) == set(ports), found


def memory(host: Host, accounts: str, but: str = " ") -> list[float]:
    """Megabytes of each process of these accounts (``a,b``), shared pages counted once (PSS).

    Args:
        but: awk's expression; processes of units whose name matches are not counted.
    """
    script = (
        f"for pid in $(ps -o pid=,unit= -u {accounts} | awk '$2 !~ /{but}/ {{print $1}}'); do "
        "awk '/^Pss:/ {print $2}' /proc/$pid/smaps_rollup || true; done"  # some end meanwhile
    )
    return [int(line) / 1024 for line in as_root(host, script).splitlines()]


def memory_holds(host: Host, accounts: str, most: float, processes: int, but: str = " ") -> None:
    """These accounts' processes, more than `processes`, take less than `most` megabytes. See `memory`."""
    used = memory(host, accounts, but)
    assert len(used) > processes, used
    assert sum(used) < most, used


def there_and_closed(host: Host, path: str) -> bool:
    """Whether a path exists and another account cannot read it."""
    with host.sudo():
        there = host.run(f"test -e {path}").succeeded
    with host.sudo("nobody"):
        return bool(there and host.run(f"test -r {path}").failed)


def in_clear(host: Host, *paths: str) -> list[str]:
    """Devices that are not dm-crypt, nor rest on it alone, of those that hold these paths or the swap.

    Whatever lsblk does not know (a container's overlay, a share of the network) counts as such.
    """

    def closed(device: dict[str, Any]) -> bool:
        below = device.get("children", [])
        return device["type"] == "crypt" or bool(below and all(map(closed, below)))

    swaps = [line.split() for line in as_root(host, "swapon --noheadings --show=TYPE,NAME").splitlines()]
    held = [*paths, *(name for kind, name in swaps if kind == "file")]
    asked = "; ".join(f"findmnt -nvo SOURCE -T {shlex.quote(path)}" for path in held)
    found = []
    for device in dict.fromkeys([*as_root(host, asked).split(), *(name for kind, name in swaps if kind != "file")]):
        shown = as_root(host, f"lsblk --inverse --json --output NAME,TYPE {device} 2>/dev/null || true")
        if not (shown and all(map(closed, json.loads(shown)["blockdevices"]))):
            found.append(device)
    return found


def waits_on_the_disk(host: Host, unit: str) -> None:
    """What a service is sent waits on the disk, not in its memory."""
    with host.sudo():
        pid = host.check_output("systemctl show -p MainPID --value %s", unit)
        environment = host.check_output(f"tr '\\0' '\\n' < /proc/{pid}/environ").splitlines()
        mounts = [line.split() for line in host.check_output(f"cat /proc/{pid}/mountinfo").splitlines()]
    [place] = [one.partition("=")[2] for one in environment if one.startswith("TMPDIR=")]
    kinds = {one[4]: one[one.index("-") + 1] for one in mounts}  # the last mounted at a place is what is seen there
    holder = max((point for point in kinds if Path(place).is_relative_to(point)), key=len)
    assert kinds[holder] != "tmpfs", (unit, place)
