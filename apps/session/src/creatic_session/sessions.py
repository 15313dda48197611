"""Sessions as the kernel sees them: one systemd scope each, ended as a whole, with whatever was left beside it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
_PATIENCE_S = 5.0
# Made by systemd itself: what an account's own manager makes is under user@, whatever its name.
_SCOPE = re.compile(
    r"(?!.*/user@)(?:/.*)?/system\.slice/(?P<name>creatic-acces-(?P<account>[a-z][a-z0-9_-]*)-(?P<serial>\d+)-\d+\.scope)"
    r"(?=/|$)"
)
# Where sshd and the login shell are, before the session's scope: the only place from which one is opened.
_DOOR = re.compile(
    r"(?!.*/(?:user@|creatic-acces-))(?:/.*)?/(?:sshd?(?:-session)?(?:@[^/]*)?\.service|session-[^/]+\.scope)"
)
# What would run something for an account later: crontab, jobs of at, user manager kept after the session (linger).
_PLANNED = ("var/spool/cron/crontabs/{name}", "var/lib/systemd/linger/{name}")
_JOBS = "var/spool/cron/atjobs"
RECORDINGS = Path("/var/log/sudo-io")
_ROOM = 10  # a tenth of their disk
# What one writes there fills a disk, or the memory, that others work with, and outlives it. PostgreSQL gives its places
# before it asks who comes; systemd, the bus that leads to it, the journal and sshd answer anybody, each message in its
# turn: those of twenty seconds kept everybody from systemd for ten minutes. Who may read a file may lock it.
_CLOSED = {
    **dict.fromkeys(("/tmp", "/var/tmp", "/dev/shm", "/run/lock"), "r-x"),  # noqa: S108 - folders that are closed to the session, none that is written in
    **dict.fromkeys(
        ("/run/postgresql", "/run/systemd", "/run/dbus", "/run/ssh-unix-local", "/var/cache/debconf"), "---"
    ),
}


class Unfit(Exception):
    """This machine is in no state to have a session; the message is French."""


@dataclass(frozen=True)
class Process:
    """A process of this machine.

    Attributes:
        uids: its real, effective and saved users.
        cgroup: its control group (version 2), from the root of the hierarchy.
    """

    pid: int
    uids: frozenset[int]
    cgroup: str

    @property
    def scope(self) -> re.Match[str] | None:
        """The session it belongs to: its account and its certificate's serial."""
        return _SCOPE.match(self.cgroup)

    @property
    def at_the_door(self) -> bool:
        """Whether it is where sshd opens sessions, which no process of a session can reach."""
        return _DOOR.fullmatch(self.cgroup) is not None


def process(pid: int | str, proc: Path = PROC) -> Process | None:
    """A process; None when it ended. One whose first thread alone did (a zombie with others) is there.

    Its holder gives it its name, of any bytes: none hides it.
    """
    try:
        status = dict(line.split(":", 1) for line in _lines(proc / str(pid) / "status") if ":" in line)
        groups = _lines(proc / str(pid) / "cgroup")
    except OSError:
        return None
    if status.get("State", "").strip().startswith("Z") and status.get("Threads", "").strip() in ("", "0", "1"):
        return None
    cgroup = next((line.removeprefix("0::") for line in groups if line.startswith("0::")), "")
    return Process(int((proc / str(pid)).resolve().name), frozenset(map(int, status["Uid"].split()[:3])), cgroup)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").split("\n")


def processes(proc: Path = PROC) -> Iterator[Process]:
    """Every process that can be read."""
    for folder in proc.iterdir():
        if folder.name.isdecimal() and (found := process(folder.name, proc)):
            yield found


def of_scope(name: str) -> Callable[[Process], bool]:
    """Processes of one session, by the name of its scope."""
    return lambda one: one.scope is not None and one.scope["name"] == name


def of_certificate(serial: str) -> Callable[[Process], bool]:
    """Processes of every session opened with a certificate."""
    return lambda one: one.scope is not None and one.scope["serial"] == serial


def astray(uid: int) -> Callable[[Process], bool]:
    """Processes that run under an account beside its sessions: left by one, or started for it by something else."""
    return lambda one: uid in one.uids and one.scope is None and not one.at_the_door


def cut(
    wanted: Callable[[Process], bool],
    kill: Callable[[int, int], None] = os.kill,
    proc: Path = PROC,
    cgroups: Path = CGROUPS,
) -> Counter[str]:
    """Kill processes until none is left: a session's all at once, by the kernel, whatever their user.

    Returns:
        How many were there, by account; of processes beside a session, by user number.
    """
    killed: dict[int, str] = {}
    deadline = time.monotonic() + _PATIENCE_S
    while (left := [one for one in processes(proc) if wanted(one)]) and time.monotonic() < deadline:
        for one in left:
            killed[one.pid] = one.scope["account"] if one.scope else str(max(one.uids))
            if one.scope:
                place = cgroups / one.cgroup[1 : one.scope.end()] / "cgroup.kill"
                with contextlib.suppress(OSError):
                    place.write_text("1")
            with contextlib.suppress(ProcessLookupError):
                kill(one.pid, signal.SIGKILL)
        time.sleep(0.05)
    return Counter(killed.values())


def recordings_room(folder: Path = RECORDINGS) -> None:
    """Check that the recordings leave the machine's disk to those who work with it: what a session shows is recorded,
    and may have no end.

    Raises:
        Unfit: they take a tenth of it.
    """
    taken = 0
    for top, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                taken += (Path(top) / name).lstat().st_blocks * 512
    if not taken:
        return
    disk = os.statvfs(folder)
    if taken * _ROOM > disk.f_blocks * disk.f_frsize:
        raise Unfit(
            f"les enregistrements des sessions occupent plus d'un dixième du disque de cette machine ({taken >> 20} "
            f"Mio). À faire, par l'exploitant : emportez ceux de {folder}, puis effacez-les"
        )


def enclose(uid: int, root: Path = Path("/")) -> None:
    """Close to an account what its sessions neither write nor reach: asked as each begins, for what came since.

    Raises:
        Unfit: it is not closed.
    """
    lines = [f"a+ {place} - - - - u:{uid}:{right}\n" for place, right in _CLOSED.items()]
    done = subprocess.run(
        ["systemd-tmpfiles", f"--root={root}", "--create", "-"],
        input="".join(lines),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Unfit(f"ce que ce compte n'écrit pas ne lui est pas fermé : {done.stderr.strip()[-300:]}")


def forget(name: str, uid: int, root: Path = Path("/")) -> None:
    """Remove what is planned to run later under an account."""
    for place in _PLANNED:
        with contextlib.suppress(OSError):
            (root / place.format(name=name)).unlink()
    jobs = root / _JOBS
    for job in jobs.iterdir() if jobs.is_dir() else ():
        with contextlib.suppress(OSError):
            if job.lstat().st_uid == uid:
                job.unlink()
