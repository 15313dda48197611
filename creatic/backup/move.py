# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A planned move of the control node: its last backup, then it is closed; the new one takes the state from the backup.

The mark is written after the backup, so that what comes back is open. What another operator does meanwhile would be in
neither: he is waited for, and the backup is asked again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now

from creatic.evidence import history, store
from creatic.registry.environment import MOVED

COMMAND = "sauvegarde.demenager"


class MoveRefusedError(CreaticError, cause="deplacement"):
    """The control node is not closed; the message (French) says what to do."""


def depart(home: Path, towards: str, by: str, save: Callable[[], bool]) -> None:
    """Save the control node's state, then close it.

    Args:
        home: its state.
        towards: name of the new control node.
        by: who closes it.
        save: makes the backup; tells whether it is done.

    Raises:
        MoveRefused: somebody else acts, or the backup failed; nothing is closed.
    """
    if not towards.strip() or len(towards) > 100 or not towards.isprintable():
        raise MoveRefusedError("--vers : le nom du nouveau poste de commande, 100 caractères au plus.")
    began = now().isoformat(timespec="milliseconds")
    _refuse_move(
        [one for one in _earlier_entries(home) if one.result == "en cours"],
        "est en cours : attendez sa fin, puis relancez",
    )
    _refuse_locks(home / "verrous")
    if not save():
        raise MoveRefusedError("La sauvegarde n'a pas pu se faire : ce poste reste ouvert. Corrigez, puis relancez.")
    _refuse_move(
        [one for one in _earlier_entries(home) if one.began >= began or one.result == "en cours"],
        "a été lancé pendant la sauvegarde, qui ne l'a peut-être pas : relancez",
    )
    _refuse_locks(home / "verrous")
    mark = {"vers": towards.strip(), "le": now().isoformat(timespec="seconds"), "par": by}
    write(home / MOVED, (json.dumps(mark, ensure_ascii=False) + "\n").encode(), 0o644)


def _earlier_entries(home: Path) -> list[history.Entry]:
    """Return what was run here, but for the last command that moves it: this one."""
    entries = history.read(home)
    own = next((one for one in reversed(entries) if COMMAND in one.command), None)
    return [one for one in entries if one is not own]


def _refuse_move(entries: list[history.Entry], why: str) -> None:
    if entries:
        raise MoveRefusedError(f"« {entries[-1].command} » ({entries[-1].by}) {why}. Ce poste reste ouvert.")


def _refuse_locks(locks: Path) -> None:
    """Refuse while a playbook, which is no command of the history, holds a commune or a server."""
    for name in sorted(path.stem for path in locks.glob("*.json")):
        if holder := store.lock_holder(locks, name):
            raise MoveRefusedError(
                f"Le verrou « {name} » est pris, {holder} : attendez sa fin, puis relancez. Ce poste reste ouvert."
            )
