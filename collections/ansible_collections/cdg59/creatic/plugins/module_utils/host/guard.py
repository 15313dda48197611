# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Timed rollback on the host: what could lock its administrators out undoes itself unless someone confirms.

``arm`` leaves on disk what brings the old state back, and a systemd timer that does it; ``confirm`` takes it
away. Neither needs the control node: the timer is systemd's, and a host that loses its power in between undoes
the change when it boots. One atomic rename decides between a confirmation and a rollback, so that only one wins.

    /var/lib/creatic/garde/<name>/retour.sh   brings the old state back
                                  arme/       waits for a confirmation (token, what the script needs)
                                  revenu/     the same, once rolled back; ``a-faire`` goes when it is done
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import sync_directory, write
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

STATE = Path("/var/lib/creatic/garde")
UNITS = Path("/etc/systemd/system")

UNIT = """\
# creatic: undoes a change of {name} that nobody confirmed, when its timer or the next boot says so.
[Unit]
Description=Retour automatique : {label}
Before=ssh.service ssh.socket
ConditionPathExists=|{state}/arme
ConditionPathExists=|{state}/revenu/a-faire

[Service]
Type=oneshot
ExecStart=/bin/sh {state}/retour.sh

[Install]
WantedBy=multi-user.target
"""

SCRIPT = """\
#!/bin/sh
# Nobody confirmed in time: bring the old state back. Safe to run again.
cd {state} || exit 1
[ ! -d arme ] || mv -T arme revenu || exit 1
[ -e revenu/a-faire ] || exit 0
cd revenu || exit 1
{undo}
date -u +%Y-%m-%dT%H:%M:%SZ > fait
rm -f a-faire
echo "{label} : personne n'a confirmé, l'état précédent est remis"
"""


class GuardError(CreaticError, cause="garde"):
    """The guard cannot be armed or was no longer there; the message (French) says which."""


# The arguments of the modules of a guarded change, beside what each one changes.
ARGUMENTS: dict[str, Any] = {
    "delay": {"type": "int", "default": 45},
    "stage": {"type": "str", "choices": ["inspect", "apply", "confirm", "status"], "default": "inspect"},
    "change": {"type": "str", "default": ""},
}


class Runner(Protocol):
    """Runs a command and returns it when done, outputs as text; fails only when asked to."""

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]: ...


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command of the host, messages untranslated."""
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"}, timeout=120
    )


def failure_message(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said of its failure, on one line."""
    return " / ".join((done.stderr or done.stdout).strip().splitlines()[-4:])


@dataclass
class Guard:
    """The timed rollback of one thing of the host.

    Attributes:
        name: short name, which names the unit ``creatic-garde-<name>``.
        label: French name of the thing, as the journal and errors call it.
        state: folder of all guards.
        units: systemd's folder for units of the administrator.
        run: runs a command.
    """

    name: str
    label: str
    state: Path = STATE
    units: Path = UNITS
    run: Runner = run

    @property
    def folder(self) -> Path:
        return self.state / self.name

    @property
    def unit(self) -> str:
        return f"creatic-garde-{self.name}"

    def pending(self) -> bool:
        """Whether a change waits for its confirmation, or a rollback for its end."""
        return (self.folder / "arme").is_dir() or (self.folder / "revenu" / "a-faire").exists()

    def status(self, token: str) -> dict[str, str]:
        """State of one change: ``arme``, ``revenu`` (with its time, ISO 8601 UTC) or ``absent``."""
        for place in ("arme", "revenu"):
            with contextlib.suppress(FileNotFoundError):
                if (self.folder / place / "jeton").read_text() == token:
                    done = self.folder / place / "fait"
                    if place == "arme" or not done.exists():
                        return {"state": "arme", "at": ""}
                    return {"state": "revenu", "at": done.read_text().strip()}
        return {"state": "absent", "at": ""}

    def roll_back(self) -> None:
        """Bring the old state back now, when a change still waits: an interrupted run is undone before the next.

        Raises:
            GuardError: the old state could not be brought back.
        """
        if not self.pending():
            return
        self._stop_timer()
        done = self.run(["/bin/sh", str(self.folder / "retour.sh")])
        if done.returncode or self.pending():
            raise GuardError(f"{self.label} : l'état précédent n'a pas pu être remis ({failure_message(done)})")

    def arm(self, token: str, delay: int, save: Callable[[Path], str]) -> None:
        """Arm the rollback. Returns once it is on disk and its timer runs; nothing else changes before.

        Args:
            token: names this change; the confirmation must bear it.
            delay: seconds left to confirm.
            save: writes into a folder what is needed to go back, and returns the lines of shell that do it,
                run from that folder.

        Raises:
            GuardError: systemd refuses the timer; nothing is armed.
        """
        if self.pending():
            raise GuardError(f"{self.label} : un changement attend déjà sa confirmation")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o700)
        for old in ("revenu", "prepare", "confirme"):
            shutil.rmtree(self.folder / old, ignore_errors=True)
        prepared = self.folder / "prepare"
        prepared.mkdir(mode=0o700)
        script = SCRIPT.format(state=self.folder, undo=save(prepared), label=self.label)
        write(self.folder / "retour.sh", script.encode(), 0o700)
        write(prepared / "a-faire", b"", 0o600)
        write(prepared / "jeton", token.encode(), 0o600)
        self._install_unit()
        self._stop_timer()
        prepared.rename(self.folder / "arme")
        sync_directory(self.folder)
        done = self.run(
            [
                *("systemd-run", "--quiet", f"--on-active={delay}s", "--timer-property=AccuracySec=100ms"),
                f"--unit={self.unit}.service",
            ]
        )
        if done.returncode:
            shutil.rmtree(self.folder / "arme")
            raise GuardError(f"{self.label} : le retour automatique n'a pas pu être armé ({failure_message(done)})")

    def check(self, token: str) -> None:
        """Refuse a confirmation which comes too late, or for another run.

        Raises:
            GuardError: it was rolled back already, or another run's change waits.
        """
        if self.status(token)["state"] == "arme":
            return
        if (self.folder / "arme").is_dir():
            raise GuardError(f"{self.label} : un autre passage a pris la main sur cette machine ; relancez")
        raise GuardError(f"{self.label} : trop tard, la machine a déjà remis l'état précédent")

    def confirm(self, token: str) -> None:
        """Disarm: the new state is kept.

        Raises:
            GuardError: it was rolled back already, or another run's change waits.
        """
        self.check(token)
        confirmed = self.folder / "confirme"
        try:
            (self.folder / "arme").rename(confirmed)
        except FileNotFoundError:  # since the check
            raise GuardError(f"{self.label} : trop tard, la machine a déjà remis l'état précédent") from None
        sync_directory(self.folder)
        self._stop_timer()
        shutil.rmtree(confirmed)

    def _stop_timer(self) -> None:
        self.run(["systemctl", "--quiet", "stop", f"{self.unit}.timer"])  # not there most of the time

    def _install_unit(self) -> None:
        path = self.units / f"{self.unit}.service"
        wanted = UNIT.format(name=self.name, label=self.label, state=self.folder).encode()
        if path.exists() and path.read_bytes() == wanted:
            return
        write(path, wanted, 0o644)
        done = self.run(["systemctl", "--quiet", "enable", path.name])
        if done.returncode:
            raise GuardError(f"{self.label} : systemd refuse l'unité {path.name} ({failure_message(done)})")


class Guarded(Protocol):
    """What is changed under a guard."""

    guard: Guard

    def apply(self, token: str, delay: int) -> object:
        """Arm the guard, then change."""

    def confirm(self, token: str) -> None:
        """Keep the change."""


def stage(given: Mapping[str, Any], changed: Guarded, inspect: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do the stage that the control node asks for (plugin_utils/commit_confirm.py), and answer.

    Args:
        given: the arguments, `ARGUMENTS` among them.
        changed: what the module changes.
        inspect: compares, and answers what would change.
    """
    if given["stage"] == "status":
        return {"changed": False, **changed.guard.status(given["change"])}
    if given["stage"] == "confirm":
        changed.confirm(given["change"])
    elif given["stage"] == "apply":
        changed.apply(given["change"], given["delay"])
    else:
        return inspect()
    return {"changed": False}
