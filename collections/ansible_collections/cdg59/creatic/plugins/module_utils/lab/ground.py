# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the lab stands on in this computer: its mount namespace, podman in it, its daemons.

Everything the lab mounts or starts lives in a mount namespace of its own, kept by one bind mount
under /run. In it /sys/fs/cgroup is a plain cgroup2 tree, so that the same podman line works on a host
with cgroup v2 and on one in hybrid mode (which crun refuses), and taking the lab down is dropping
that namespace: no mount is left on the host.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

NAME = "creatic"
# systemd holds about ten watchers a machine, and three more a session; the kernel gives 128 to root on all of them.
WATCHERS = Path("/proc/sys/fs/inotify/max_user_instances")
MIN_WATCHER_COUNT = 1024


class LabError(CreaticError, cause="banc"):
    """The lab cannot be made; the message (French) says what to do."""


def run(command: list[str], error: str, **options: Any) -> str:
    """Run a program; gives what it printed.

    Raises:
        LabError: it failed; `error` (French), then its last lines.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        detail = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(f"{error} : {' / '.join(detail[-3:])}")
    return done.stdout


def ready(done: Callable[[], bool], seconds: float) -> bool:
    """Wait at most that long for it to be done; tells whether it is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.3)
    return False


def _mount_points() -> list[Path]:
    """Where something is mounted on this computer, what is mounted on another after it."""
    return [Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]


class Ground:
    """The lab's place on this computer.

    Args:
        name: of the lab: its network and its folders bear it. Labs of two names stand side by side, each on its subnet,
            and know nothing of each other.

    Attributes:
        state: what it keeps when it is down: images, downloads, logs.
        run: what lasts as long as it is up.
        changes: what was made or removed (French).
    """

    def __init__(self, name: str = NAME) -> None:
        self.name = name
        self.state, self.run = (folder / f"{name}-lab" for folder in (Path("/var/lib"), Path("/run")))
        self.namespace = self.run / "ns" / "mnt"
        self.changes: list[str] = []

    @contextlib.contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Wait for another up or down of this machine's lab to end."""
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "verrou").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    # -- the namespace -------------------------------------------------------------------------

    def in_namespace(self) -> list[str]:
        """What enters the lab's mount namespace: the command comes after."""
        return ["nsenter", f"--mount={self.namespace}", "--wdns=/"]

    def podman_command(self) -> list[str]:
        """Podman on the lab's own storage, inside the lab's namespace."""
        places = {
            "root": self.state / "storage",
            "runroot": self.run / "run",
            "network-config-dir": self.state / "networks",
        }
        options = [word for name, place in places.items() for word in (f"--{name}", str(place))]
        return [*self.in_namespace(), "podman", *options, "--cgroup-manager", "cgroupfs"]

    def podman(self, *arguments: str, error: str = "podman a échoué", **options: Any) -> str:
        """Run podman on the lab's own storage; gives what it printed."""
        return run([*self.podman_command(), *arguments], error, **options)

    def containers(self) -> dict[str, dict[str, Any]]:
        """Machines of the lab by container name, as podman lists them; empty when it is down."""
        if not self.mounted(self.namespace):
            return {}
        listed = json.loads(self.podman("ps", "--all", "--format", "json") or "[]")
        return {entry["Names"][0]: entry for entry in listed}

    def mounted(self, path: Path) -> bool:
        """Whether something is mounted there."""
        return path in _mount_points()

    def ensure(self) -> None:
        """Make the namespace, and let this computer hold as many watchers as the machines want."""
        self._ensure_namespace()
        self._ensure_watchers()

    def remove(self) -> None:
        """Give back what `ensure` took, once nothing runs there any more."""
        if (before := self.run / WATCHERS.name).exists():
            others = [one for one in self.run.parent.glob("*-lab") if one != self.run and self.mounted(one / "ns/mnt")]
            if others:  # their machines hold watchers too: the last lab gives them back
                shutil.copy(before, others[0])
            else:
                WATCHERS.write_text(before.read_text())
        # Podman mounts its storage on itself, and leaves it so, wherever somebody types it out of the namespace.
        storage = self.state / "storage" / "overlay"
        for mount in reversed([path for path in _mount_points() if path == storage or self.run in path.parents]):
            run(["umount", str(mount)], f"démontage de {mount} impossible")
        for folder in (self.run, self.state / "machines"):
            if folder.exists():
                shutil.rmtree(folder)

    def _ensure_namespace(self) -> None:
        if self.mounted(self.namespace):
            return
        self.changes.append("espace de montage")
        folder = self.namespace.parent
        folder.mkdir(parents=True, exist_ok=True)
        if not self.mounted(folder):
            # A namespace can only be kept on a mount that is private.
            run(["mount", "--bind", str(folder), str(folder)], "montage impossible")
            run(["mount", "--make-private", str(folder)], "montage impossible")
        self.namespace.touch()
        run(
            ["unshare", f"--mount={self.namespace}", "--propagation", "private", "true"],
            "impossible de créer l'espace de montage du banc d'essai (droits root complets nécessaires)",
        )
        enter = self.in_namespace()
        run([*enter, "umount", "-R", "/sys/fs/cgroup"], "cgroup : démontage impossible")
        run([*enter, "mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"], "cgroup v2 : montage impossible")

    def _ensure_watchers(self) -> None:
        before = WATCHERS.read_text()
        if int(before) < MIN_WATCHER_COUNT:
            (self.run / WATCHERS.name).write_text(before)  # given back by down
            WATCHERS.write_text(f"{MIN_WATCHER_COUNT}\n")
            self.changes.append(f"fs.inotify.{WATCHERS.name} de ce poste porté à {MIN_WATCHER_COUNT}")

    # -- daemons -------------------------------------------------------------------------------

    def running(self, name: str, program: str) -> int | None:
        """Process of one of the lab's own daemons, while it lives."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.run / f"{name}.pid").read_text())
            if program.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def start(self, name: str, command: list[str]) -> None:
        """Start one of the lab's own daemons."""
        with (self.run / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        (self.run / f"{name}.pid").write_text(f"{process.pid}\n")

    def stop(self, name: str, program: str, what: str) -> None:
        """Stop one of the lab's own daemons, named `what` for people, if it lives."""
        if pid := self.running(name, program):
            self.changes.append(what)
            os.killpg(pid, signal.SIGTERM)
            ready(lambda: self.running(name, program) is None, 10)
