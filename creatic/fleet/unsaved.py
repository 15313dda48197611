# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Machines that nobody reaches (``acces: sortant``) and that are not saved: each is told, with why.

Their keys are made at the workshop, where they are still reached: the seal of a passphrase never comes by a report,
which the door carries. Then they go to the backup server by themselves, if it lets in whence they come: a box shows its
own address, which the inventory says (creatic_sauvegarde_sorties).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from creatic.fleet.waves import Machine
from creatic.registry import profiles

FOLDER = "sauvegardes"
SERVER_GIVEN_FILES = ("inscrit", "sequestre.p7m")
"""Of the control node's folder of a machine, what it is given: that the server knows it, and its own sealed copy."""


def unsaved(
    machines: Mapping[str, Machine], home: Path, known: Iterable[Mapping[str, Any]] | None = None
) -> dict[str, str]:
    """Why machines are not saved (French), by name; those of profiles that have nothing to save apart.

    Args:
        machines: those in outgoing access, by name.
        home: state of the control node.
        known: what the backup server says of its clients (``creatic-depots etat``); None when it was not asked.
    """
    saved = profiles.marked("sauvegarde")
    last = {str(one["client"]): str(one["derniere"]) for one in known or ()}
    found = {}
    for name, machine in sorted(machines.items()):
        place = home / FOLDER / name
        if machine.profile not in saved:
            continue
        if not (place / "cle.pub").is_file() or not (place / "sequestre.p7m").is_file():
            found[name] = (
                "ses clés n'ont pas été remises à l'atelier (un compte rendu ne les porte pas). À faire : ramenez-la "
                "où on la joint (ou fab flotte.porte), rejouez son profil, puis fab serveurs backup_server"
            )
        elif not (place / "inscrit").is_file():
            found[name] = (
                "le serveur de sauvegarde ne connaît pas encore sa clé. À faire : fab serveurs backup_server, puis fab "
                "flotte.publier"
            )
        elif known is not None and not last.get(name):
            found[name] = (
                "elle est inscrite, et n'a encore rien envoyé : le serveur laisse-t-il entrer sa box "
                "(creatic_sauvegarde_sorties), et a-t-elle pris une version depuis (fab flotte.etat) ?"
            )
    return found


def lines(found: Mapping[str, str]) -> list[str]:
    """What is said of them, a line each (French)."""
    return [f"{name} : non sauvegardée : {why}" for name, why in found.items()]
