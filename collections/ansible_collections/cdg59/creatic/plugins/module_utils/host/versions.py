# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Another version of an application that holds data: backed up before, with what the way back needs.

What a new version does to the database as it starts, the version before does not undo. So its data is backed up first,
and the moment is kept: PostgreSQL comes back to it (``creatic-sauvegarde revenir``), the environment of before is still
there (docs/exploitation.md).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.host import locked_venv, state
from ansible_collections.cdg59.creatic.plugins.module_utils.host.preflight import check_backup

CURRENT, BACK = "current", "retour.json"
SAVE = ("/usr/bin/creatic-sauvegarde", "faire")
FRESH_H = 3  # the backup is made first, then the control node makes the environment, which may take long


def before(root: Path, name: str) -> str:
    """Name of the environment in use that another one is to replace; empty for a first one, or for the same."""
    link = root / CURRENT
    old = link.resolve().name if link.is_symlink() else ""
    return old if old and old != name and locked_venv.is_installed(root, old) else ""


def save(run: Callable[[Sequence[str], str], str] = state.run) -> None:
    """Back the machine up.

    Raises:
        StateError: it could not be; nothing was changed.
    """
    refused = "nouvelle version refusée, rien n'est changé : la sauvegarde d'avant n'a pas pu être faite"
    try:
        run(SAVE, refused)
    except state.StateError as error:
        raise state.StateError(
            f"{error}. À faire : sur la machine, sudo creatic-sauvegarde faire dit pourquoi (si elle n'est pas "
            "inscrite : fab serveurs backup_server ; si l'inventaire n'a pas de serveur de sauvegarde, ajoutez-en un "
            "d'abord, au groupe backup_server de servers.yml) ; puis relancez"
        ) from None


def leave(root: Path, old: str, name: str, now: dt.datetime, system: Path = Path("/")) -> None:
    """Keep what the way back needs, once a recent backup is there.

    Args:
        root: folder of the environments.
        old, name: environments of before and after.
        now: current time, with its zone.
        system: ``/``, or a tree of the same shape.

    Raises:
        StateError: there is no recent backup.
    """
    [saved] = check_backup(system, FRESH_H, now, required=True)
    if saved["verdict"] != "ok":
        raise state.StateError(
            f"nouvelle version refusée, rien n'est changé : {saved['detail']}. À faire : {saved['remede']}"
        )
    told = {"avant": old, "apres": name, "moment": now.isoformat(timespec="seconds"), "sauvegarde": saved["detail"]}
    state.write(root / BACK, json.dumps(told, ensure_ascii=False, indent=1) + "\n")
