# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What modules that bring a machine to a wanted state share: changes, commands, careful writes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import durable
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError


class StateError(CreaticError, cause="etat"):
    """The wanted state cannot be reached; the message (French) names the object, the cause and the fix."""


@dataclass
class Change:
    """One difference between what is and what is wanted.

    Attributes:
        name: file, account, key or unit concerned.
        before: state found, as shown in a diff.
        after: state wanted.
    """

    name: str
    before: str = ""
    after: str = ""


def result(changes: Sequence[Change]) -> dict[str, Any]:
    """Give what a module returns for its changes: changed, names, diff."""
    return {
        "changed": bool(changes),
        "changed_names": [change.name for change in changes],
        "diff": [
            {
                "before": f"{change.before}\n" if change.before else "",
                "after": f"{change.after}\n" if change.after else "",
                "before_header": change.name,
                "after_header": change.name,
            }
            for change in changes
        ],
    }


def lines_diff(lines: Sequence[str], header: str = "") -> dict[str, str]:
    """Changes that are told in French, as a diff; ``header`` names what they are of."""
    headers = {"before_header": header, "after_header": header} if header else {}
    return {"before": "", "after": "".join(f"{line}\n" for line in lines), **headers}


def run(command: Sequence[str], error: str, environment: dict[str, str] | None = None) -> str:
    """Run a command and give its output.

    Raises:
        StateError: it is missing or fails; the message starts with ``error``.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"} | (environment or {})
        )
    except FileNotFoundError:
        raise StateError(f"{error} : la commande « {command[0]} » est absente de cette machine") from None
    if done.returncode:
        detail = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise StateError(f"{error} : {detail or f'code {done.returncode}'}")
    return done.stdout


def write(path: Path, text: str, mode: int = 0o644, validate: Sequence[str] = ()) -> None:
    """Replace a file atomically, keeping its owner and mode when it exists.

    Args:
        path: the file; its folder must exist.
        text: new content.
        mode: mode of a new file.
        validate: command that must accept the new file, ``%s`` being its path.

    Raises:
        StateError: the validation refuses; the present file stays.
    """

    def check(new: Path) -> None:
        if validate:
            run([part.replace("%s", str(new)) for part in validate], f"{path} : contenu refusé, rien n'est changé")

    info = path.stat() if path.exists() else None
    mode, uid, gid = (info.st_mode & 0o7777, info.st_uid, info.st_gid) if info else (mode, -1, -1)
    durable.write(path, text.encode(), mode, uid, gid, check=check)
