# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How a machine is, whatever it serves: failed units, disks, clock, restart asked for, mails that wait; what its
journal says was refused within a day, how its pages answer.

Asked by `machine_report` on a morning, and left every five minutes for Prometheus by this very file, which role base
installs where a supervision looks: it needs nothing but Python.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

PREFIX = "creatic_machine_"
_MACHINE_METRICS_FILE = Path("/var/lib/creatic/metrics/machine.prom")
_MOUNTS = Path("/proc/self/mounts")
_RESTART = Path("/run/reboot-required")
_SPOOL = Path("/var/spool/postfix")
_DISKS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "overlay", "vfat")
_QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")
_UNITS_MAX = 50
_WEB = Path("/var/log/nginx")
_WEB_MAX = 4 * 1024 * 1024  # bytes read of the end of a log
_WEB_S = 900  # what they tell is of the last quarter of an hour
_TCP = (Path("/proc/1/net/tcp"), Path("/proc/1/net/tcp6"))  # the machine's: this unit has no network of its own
_REQUEST = re.compile(rb'\[([^\]"]{26})\] "[^"]*" ([0-9]{3}) ')  # nginx escapes the quotes that clients write
_SATURATED = re.compile(rb"^(\S{10} \S{8}) \[alert\] .*worker_connections are not enough", re.MULTILINE)
_HEARD_MAX = 500  # lines of the journal
_NAMES_MAX = 20  # certificates, accounts
# sshd says it of certificates of its own authority alone, once their signature is verified.
_SSH = {
    "Certificate invalid: expired": "certificat échu",
    "Certificate invalid: not yet valid": "certificat pas encore valable",
    "revoked by file": "certificat révoqué",
}
_WHO = re.compile(r"(?:authenticating user|publickey for) (\S+) ")
# As role nginx_tls has nginx write it: its number, then its subject (RFC 2253), escaped as JSON.
_REVOKED = re.compile(r"certificat revoque ([0-9A-F]{1,64}) \S+ \S+ (.*)")
_COMMON_NAME_PATTERN = re.compile(r"(?:^|[,+])CN=((?:[^,+\\]|\\.)*)")
_ESCAPE_PATTERN = re.compile(r"((?:\\[0-9A-F]{2})+)|\\(.)")
Ask = Callable[[Sequence[str]], str | None]
"""Runs a program and gives what it says; None when it fails."""


def run_program(words: Sequence[str]) -> str | None:
    """Run a program."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def failed(command: Ask) -> list[str] | None:
    """Names of failed units; None when systemd does not say."""
    listed = command(["systemctl", "list-units", "--failed", "--output=json", "--no-pager"])
    return None if listed is None else [str(one["unit"]) for one in json.loads(listed)]


def disks(mounts: Path = _MOUNTS) -> list[dict[str, Any]]:
    """Disks as ``{point, plein in percent}``, each once.

    Args:
        mounts: fstab(5).
    """
    found, seen = [], set()
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        device, point, kind = line.split()[:3]
        if kind not in _DISKS or device in seen:
            continue
        seen.add(device)
        try:
            room = os.statvfs(point.replace("\\040", " "))
        except OSError:
            continue
        used = room.f_blocks - room.f_bfree
        if used + room.f_bavail:  # as df(1) counts, what is kept for root left out
            found.append({"point": point, "plein": round(100 * used / (used + room.f_bavail))})
    return found


def on_time(command: Ask) -> bool | None:
    """Whether the clock is synchronised. A container has its host's, which nothing here tells: None."""
    if command(["systemd-detect-virt", "--quiet", "--container"]) is not None:
        return None
    answer = command(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    return {"yes": True, "no": False}.get((answer or "").strip())


def restart_wanted(file: Path = _RESTART) -> bool:
    """Whether Debian asks for a restart."""
    return file.exists()


def mails(spool: Path = _SPOOL) -> int | None:
    """Mails that wait in postfix; None on a machine that has none."""
    if not spool.is_dir():
        return None
    return sum(len(files) for queue in _QUEUES for _folder, _below, files in os.walk(spool / queue))


def read_journal(command: Ask, pattern: str, *matches: str) -> list[tuple[str, str]]:
    """What the journal says since a day, the newest first, 500 lines at most.

    Args:
        pattern: of the messages, which journalctl looks for.
        matches: fields of the journal; those that begin with "_" are systemd's word, not the sender's.

    Returns:
        Process and message of each.
    """
    asked = ["journalctl", "--system", "--quiet", "--no-pager", "--since=-24h", f"--lines={_HEARD_MAX}"]
    fields = ["--output=json", "--output-fields=MESSAGE,_PID", "--case-sensitive=true", f"--grep={pattern}"]
    found = []
    for line in (command([*asked, *fields, *matches]) or "").splitlines():  # it fails when there is none
        with contextlib.suppress(ValueError, TypeError, KeyError):
            one = json.loads(line)
            said = one["MESSAGE"]  # an array of bytes when it is no text, null when it is too long
            found.append((str(one["_PID"]), said if isinstance(said, str) else bytes(said).decode(errors="replace")))
    return found


def access_refused(command: Ask) -> Counter[tuple[str, str]]:
    """Accesses by SSH that were refused because it is not their time, by account and reason (French)."""
    ours = ("_UID=0", "SYSLOG_IDENTIFIER=sshd", "SYSLOG_IDENTIFIER=sshd-session")
    told = read_journal(command, "|".join(_SSH), *ours)
    names = {}
    if processes := sorted({f"_PID={process}" for process, _text in told}):
        for process, text in read_journal(command, "authenticating user|publickey for", *ours, *processes):
            if who := _WHO.search(text):
                names[process] = who[1]
    counted: Counter[tuple[str, str]] = Counter()
    for process, text in told:
        [reason, *_more] = [reason for said, reason in _SSH.items() if said in text] or [""]
        if reason:
            counted[names.get(process, "compte inconnu"), reason] += 1
    return counted


def revoked_shown(command: Ask) -> Counter[str]:
    """Revoked certificates that somebody showed, by subject and number (to the collector of journals: by address)."""
    counted: Counter[str] = Counter()
    for _process, text in read_journal(command, "^certificat revoque ", "_SYSTEMD_UNIT=nginx.service"):
        if found := _REVOKED.match(text):
            name = None
            with contextlib.suppress(ValueError):  # cut short
                name = _COMMON_NAME_PATTERN.search(json.loads(f'"{found[2]}"'))
            counted[f"{_unescape_value(name[1]) if name else 'sans nom'} (n° {found[1]})"] += 1
    for _process, text in read_journal(command, "^refusé, .* : certificate revoked", "_SYSTEMD_UNIT=journaux.service"):
        counted[f"journaux depuis {text.split()[1]}"] += 1
    return counted


def _unescape_value(text: str) -> str:
    """A value of a subject as RFC 2253 escapes it."""
    return _ESCAPE_PATTERN.sub(
        lambda found: bytes.fromhex(found[1].replace("\\", "")).decode(errors="replace") if found[1] else found[2], text
    )


def worm_refused(command: Ask) -> int:
    """How often the filter of the archives refused to change or delete what must be kept."""
    return len(read_journal(command, "WORM [0-9]{3} [A-Z]+ /", "_SYSTEMD_UNIT=swift-proxy.service"))


def pages(folder: Path = _WEB, now: float | None = None) -> dict[str, int] | None:
    """What nginx answered in the last quarter of an hour; None on a machine that has none.

    Returns:
        asked, failed (5xx), saturated (connections that it could not take).
    """
    if not (folder / "access.log").is_file():
        return None
    since = (time.time() if now is None else now) - _WEB_S
    statuses = []
    for moment, status in _REQUEST.findall(_read_tail(folder / "access.log")):
        with contextlib.suppress(ValueError):
            if datetime.strptime(moment.decode(), "%d/%b/%Y:%H:%M:%S %z").timestamp() > since:
                statuses.append(status)
    saturated = 0
    for moment in _SATURATED.findall(_read_tail(folder / "error.log")):
        with contextlib.suppress(ValueError):
            saturated += datetime.strptime(moment.decode(), "%Y/%m/%d %H:%M:%S").astimezone().timestamp() > since
    return {"asked": len(statuses), "failed": sum(one[:1] == b"5" for one in statuses), "saturated": saturated}


def _read_tail(path: Path) -> bytes:
    """The end of a log; nothing when there is none."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(os.fstat(stream.fileno()).st_size - _WEB_MAX, 0))
            return stream.read(_WEB_MAX)
    except OSError:
        return b""


def connected(tables: Sequence[Path] = _TCP) -> int:
    """How many connections port 443 has (proc_pid_net(5): 01BB; state 01 is an established one)."""
    count = 0
    for path in tables:
        with contextlib.suppress(OSError):
            rows = [line.split()[:4] for line in path.read_text(encoding="ascii").splitlines()[1:]]
            count += sum(row[1].endswith(":01BB") and row[3] == "01" for row in rows)
    return count


def _escape_label(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", " ")[:200]


def _metric_lines(command: Ask, mounts: Path, restart: Path, spool: Path, web: Path) -> Iterator[str]:
    units = failed(command)
    if units is not None:
        yield from (f'unit_failed{{unite="{_escape_label(one)}"}} 1' for one in sorted({*units})[:_UNITS_MAX])
    yield from (f'disk_percent{{point="{_escape_label(one["point"])}"}} {one["plein"]}' for one in disks(mounts))
    if (clock := on_time(command)) is not None:
        yield f"clock_synchronized {int(clock)}"
    yield f"restart_wanted {int(restart_wanted(restart))}"
    if (waiting := mails(spool)) is not None:
        yield f"mails_waiting {waiting}"
    for (account, reason), count in access_refused(command).most_common(_NAMES_MAX):
        yield f'access_refused{{compte="{_escape_label(account)}",motif="{reason}"}} {count}'
    for name, count in revoked_shown(command).most_common(_NAMES_MAX):
        yield f'revoked_shown{{certificat="{_escape_label(name)}"}} {count}'
    if refused := worm_refused(command):
        yield f"worm_refused {refused}"
    if (answered := pages(web)) is not None:
        yield from (f"pages_{name} {count}" for name, count in answered.items())
        yield f"pages_connections {connected()}"


def text(
    command: Ask = run_program, mounts: Path = _MOUNTS, restart: Path = _RESTART, spool: Path = _SPOOL, web: Path = _WEB
) -> str:
    """The figures, in Prometheus' text format (0.0.4)."""
    told = [PREFIX + line for line in _metric_lines(command, mounts, restart, spool, web)]
    names = dict.fromkeys(line.partition("{")[0].partition(" ")[0] for line in told)
    return "".join(
        f"# TYPE {name} gauge\n" + "".join(f"{one}\n" for one in told if one.startswith((f"{name}{{", f"{name} ")))
        for name in names
    )


def main(target: Path = _MACHINE_METRICS_FILE) -> None:
    """Replace the file of figures at once; a reader sees the old one or the new one, whole."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w") as stream:
            stream.write(text())
        beside.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
