"""Facts of this machine that an auditor wants to read, without changing anything."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, errors="replace", check=False, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _os_name(path: Path = Path("/etc/os-release")) -> str:
    lines = dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
    name = lines.get("PRETTY_NAME", "").strip('"')
    version = Path("/etc/debian_version")
    return f"{name} ({version.read_text(encoding='ascii').strip()})" if version.is_file() else name


def _listening() -> list[dict[str, Any]]:
    """Sockets that wait for somebody: protocol, address, port, program."""
    found = []
    for line in _output("ss", "-H", "-l", "-t", "-u", "-n", "-p").splitlines():
        fields = line.split()
        if len(fields) < 5:
            continue
        address, _, port = fields[4].rpartition(":")
        program = line.partition('users:(("')[2].partition('"')[0]
        found.append({"protocole": fields[0], "adresse": address, "port": port, "programme": program})
    return sorted(found, key=lambda item: (item["protocole"], len(item["port"]), item["port"], item["adresse"]))


def _accounts(path: Path = Path("/etc/passwd")) -> list[str]:
    """Accounts which can open a session."""
    closed = ("/nologin", "/false", "/sync")
    lines = [line.split(":") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return sorted(fields[0] for fields in lines if len(fields) == 7 and not fields[6].endswith(closed))


def _synchronized() -> bool:
    """Whether something keeps the clock right, as timedatectl tells it, but without starting its service."""

    class Timex(ctypes.Structure):  # the head of struct timex, adjtimex(2); no mode is set: nothing is adjusted
        _fields_ = (("modes", ctypes.c_uint), *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror")))

    buffer = ctypes.create_string_buffer(512)
    state = ctypes.CDLL(None).adjtimex(buffer)
    return bool(state >= 0 and Timex.from_buffer(buffer).maxerror < 16_000_000)  # microseconds


def facts() -> dict[str, Any]:
    """Describe the machine (sizes in MiB, moments in ISO 8601)."""
    root = os.statvfs("/")
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    memory = next(line for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines() if "MemTotal" in line)
    return {
        "nom": platform.node(),
        "systeme": _os_name(),
        "noyau": platform.release(),
        "architecture": platform.machine(),
        # What PID 1 says of itself: « none » on a real or virtual machine.
        "conteneur": _output("systemd-detect-virt", "--container") or "none",
        "demarre_le": datetime.fromtimestamp(datetime.now(UTC).timestamp() - uptime, UTC).isoformat(timespec="seconds"),
        "memoire_mio": int(memory.split()[1]) // 1024,
        "disque_libre_mio": root.f_bavail * root.f_frsize // 2**20,
        "horloge_synchronisee": _synchronized(),
        "unites_en_echec": _output("systemctl", "list-units", "--failed", "--plain", "--no-legend").splitlines(),
        "ecoute": _listening(),
        "comptes": _accounts(),
    }
