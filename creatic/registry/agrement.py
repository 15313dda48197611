# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What an agrément asks of an inventory before a machine changes (creatic_archive_agrement).

An archive service that keeps for others is agréé by the State (Code du patrimoine, R212-19 to R212-31), against NF
Z42-013 (NF 461): copies on distant sites, a date that a third party certifies. The convention of R212-18-1 asks for
less: which one applies is to be asked of the Archives départementales.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from creatic.registry import profiles
from creatic.registry.checked_yaml import Problem

FLAG = "creatic_archive_agrement"
SITE = "creatic_site"
COPIES = ("archive_node", "backup_server")
DOOR = "archive_gateway"
_LAW = f"avec {FLAG}: true (Code du patrimoine, R212-19 à R212-31)"


def timestamps() -> tuple[str, ...]:
    """Variables by which the door of the archives has its timestamps of a third party."""
    told = profiles.load()[DOOR].dit
    return told["horodatage"], told["racine"]


def problems(wanted: Any, machines: Mapping[str, tuple[str, Mapping[str, Any]]]) -> list[Problem]:
    """What lacks.

    Args:
        wanted: the flag; None when the inventory does not give it.
        machines: profile and variables (`SITE`, `timestamps()`; None for none) of each machine of the archive room, and
            of the backup servers.
    """
    if wanted in (None, False):
        return []
    if wanted is not True:
        return [Problem("group_vars/all.yml", None, FLAG, "la valeur n'est pas du type attendu (bool)",
                        f"écrivez {FLAG}: true, ou retirez la ligne")]  # fmt: skip # a row a line
    found = []
    copies = {
        name: str(given.get(SITE) or "").strip() for name, (profile, given) in machines.items() if profile in COPIES
    }
    if nowhere := sorted(name for name, site in copies.items() if not site):
        found.append(
            Problem("servers.yml", None, SITE, f"le site manque ({', '.join(nowhere)}) ; il en faut deux {_LAW}",
                    f"écrivez {SITE}: et le nom du bâtiment, sur chaque nœud d'archives et serveur de sauvegarde")
        )  # fmt: skip # one call by its parts
    elif len(sites := sorted({site.casefold(): site for site in copies.values()}.values())) < 2:
        where = (
            f"toutes les copies des archives sont au même site ({sites[0]})"
            if sites
            else "aucune machine ne garde d'archives"
        )
        found.append(
            Problem("servers.yml", None, SITE, f"{where} ; il en faut deux {_LAW}",
                    "mettez un nœud d'archives ou le serveur de sauvegarde dans un autre bâtiment, éloigné")
        )  # fmt: skip # one call by its parts
    for name in timestamps():
        lacking = sorted(host for host, (profile, given) in machines.items() if profile == DOOR and not given.get(name))
        if lacking:
            found.append(
                Problem(f"group_vars/{DOOR}.yml", None, name,
                        f"un horodatage qualifié est demandé {_LAW}, et cette variable est vide ({', '.join(lacking)})",
                        "donnez l'unité d'horodatage d'un prestataire qualifié (eIDAS, article 42) et sa racine")
            )  # fmt: skip # one call by its parts
    return found
