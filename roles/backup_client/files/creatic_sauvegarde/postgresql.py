"""This machine's PostgreSQL, by pgBackRest: saved with its journal, brought back as it was, or at a given moment.

The repository is on this machine, encrypted (role postgresql); borg carries it and its key to the server.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from creatic_sauvegarde.settings import BackupError

UNIT = "postgresql@17-main.service"
ADMINISTRATOR = "postgres"
REPOSITORY = Path("/var/lib/pgbackrest")
_FULL_EVERY = timedelta(days=7)
_REPLAY_S = 1800


def _run(program: str, *arguments: str, told: str) -> str:
    """Run a program of PostgreSQL as its administrator, by the unix socket.

    Args:
        program: its name.
        told: in French, what could not be done, for the message.

    Raises:
        BackupError: it failed.
    """
    options: dict[str, Any] = {}
    if os.geteuid() == 0:
        owner = pwd.getpwnam(ADMINISTRATOR)
        options = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    done = subprocess.run([program, *arguments], cwd="/", capture_output=True, text=True, check=False, **options)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise BackupError(f"PostgreSQL : {told} ({lines[-1] if lines else 'sans message'})")
    return done.stdout


def _rest(command: str, *options: str, told: str) -> str:
    return _run("pgbackrest", "--stanza=main", *options, command, told=told)


def _service(action: str) -> None:
    done = subprocess.run(["systemctl", action, UNIT], capture_output=True, text=True, check=False)
    if done.returncode:
        what = "s'arrêter" if action == "stop" else "démarrer"
        raise BackupError(f"PostgreSQL : il ne veut pas {what}, voir journalctl -u {UNIT}")


def _saved() -> list[dict[str, Any]]:
    """Backups of the repository, the last one last."""
    told = json.loads(_rest("info", "--output=json", told="son dépôt ne peut pas être lu"))
    found: list[dict[str, Any]] = told[0].get("backup", []) if told else []
    return found


def save(names: list[str]) -> str:
    """Save the whole server: what changed, and all of it once a week.

    Args:
        names: databases that must be there.

    Returns:
        The backup's label in the repository.

    Raises:
        BackupError: one is not there, or the server or its repository does not answer.
    """
    nothing = "rien n'est sauvegardé"
    there = _run("psql", "-XAtqc", "SELECT datname FROM pg_database", "postgres", told=nothing).split()
    if missing := sorted(set(names) - set(there)):
        raise BackupError(f"base PostgreSQL « {missing[0]} » : elle n'existe pas, {nothing}")
    whole = [one["timestamp"]["stop"] for one in _saved() if one["type"] == "full"]
    recent = whole and datetime.now(UTC) - datetime.fromtimestamp(whole[-1], UTC) < _FULL_EVERY
    _rest("backup", f"--type={'diff' if recent else 'full'}", told=nothing)
    return str(_saved()[-1]["label"])


def _bring_back(*options: str) -> None:
    _service("stop")
    try:
        _rest("restore", "--delta", "--target-action=promote", *options, told="il ne peut pas être remis")
    finally:
        _service("start")
    end = time.monotonic() + _REPLAY_S
    asked = ("psql", "-XAtqc", "SELECT pg_is_in_recovery()", "postgres")
    while _run(*asked, told="il n'est pas revenu").strip() != "f":
        if time.monotonic() > end:
            raise BackupError("PostgreSQL : il rejoue encore son journal, voir journalctl")
        time.sleep(0.2)


def set_aside() -> None:
    """Stop the server and move its repository aside, for the one that a restoration brings."""
    _service("stop")
    aside = REPOSITORY / "avant"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for name in ("archive", "backup"):
        if (REPOSITORY / name).exists():
            (REPOSITORY / name).rename(aside / name)


def put_back(label: str) -> None:
    """Bring the server back as it was at the end of a backup of the repository.

    Raises:
        BackupError: the repository does not have it whole, or the server does not start on it.
    """
    _bring_back(f"--set={label}", "--type=immediate")


def check(moment: datetime) -> None:
    """Make sure that the server can go back to a moment.

    Args:
        moment: with its time zone.

    Raises:
        BackupError: the repository does not go there, or does not receive what is written.
    """
    ends = [datetime.fromtimestamp(one["timestamp"]["stop"], UTC) for one in _saved()]
    if not ends or not min(ends) < moment < datetime.now(UTC):
        first = f"du {min(ends).astimezone():%d/%m/%Y %H:%M:%S} à maintenant" if ends else "aucun : il est vide"
        raise BackupError(f"ce moment n'est pas de ceux que le dépôt garde ({first}), rien n'est changé")
    # What was written last is in the repository before anything is replaced.
    _rest("check", told="son journal n'arrive pas au dépôt, rien n'est changé")


def go_back(moment: datetime) -> None:
    """Bring the server back as it was at a moment; what was written since stays in the repository, on another line.

    Raises:
        BackupError: the server does not start on it.
    """
    _bring_back("--type=time", f"--target={moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00")
