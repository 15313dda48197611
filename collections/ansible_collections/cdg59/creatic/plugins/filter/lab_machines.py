# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the lab's machines are made as: what the inventory says of each, and the packages that its roles would bring."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cdg59.creatic.plugins.filter.hardening import at_level

_EVERYWHERE = ("base", "hardening")
_LINES = "{{ __hardening_log_level }}"


def lab_machines(
    names: Iterable[str],
    groups: Mapping[str, Collection[str]],
    hostvars: Mapping[str, Mapping[str, Any]],
    roles: str,
    cable: str,
) -> list[dict[str, Any]]:
    """Give the machines that module lab makes; a Windows PC is none of them.

    What every machine gets, whatever its profile, is there already, save on one that shows that roles bring it
    (C(creatic_machine_nue)). What answers the supervision is not on test machines.

    Args:
        names: hosts that are wanted.
        roles: folder of the roles, whose C(vars/main.yml) name the packages.
        cable: where the cables of machines in outgoing access lead, C(routeur) or C(atelier).
    """
    packages = _Packages(Path(roles))
    debian = (name for name in names if hostvars[name].get("creatic_poste", {}).get("systeme", "debian") == "debian")
    found = []
    for name in debian:
        given, tests = hostvars[name], name in groups.get("banc", ())
        found.append(
            {
                "name": name,
                "address": given["ansible_host"],
                "names": given.get("creatic_names", []),
                "machine": given.get("creatic_machine", "conteneur"),
                "memory": given.get("creatic_memoire", "1024M"),
                "disks": given.get("creatic_disques", []),
                "line": cable if name in groups.get("acces_sortant", ()) else "banc",
                "packages": []
                if given.get("creatic_machine_nue", False)
                else packages.names_for(given["creatic_niveau"], watched=not tests),
            }
        )
    return found


class _Packages:
    """Names of packages, as the roles of every machine say them."""

    def __init__(self, roles: Path) -> None:
        texts = [Path(roles, one, "vars", "main.yml").read_text(encoding="utf-8") for one in _EVERYWHERE]
        self._lists = {name: told for text in texts for name, told in yaml.safe_load(text).items()}

    def names_for(self, level: str, watched: bool) -> list[str]:
        """Those of a machine of a level of ANSSI-BP-028, whose figures the supervision reads or not."""
        # The lab has a supervision: what takes lines to it is on every machine.
        hardening = [
            {**one, "niveau": "minimal" if one["niveau"] == _LINES else one["niveau"]}
            for one in self._lists["__hardening_packages"]
        ]
        return [
            *self._lists["__base_packages"],
            *(self._lists["__base_metrics_packages"] if watched else ()),
            *(one["name"] for one in at_level(hardening, level)),
        ]


class FilterModule:
    """Filters for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"lab_machines": lab_machines}
