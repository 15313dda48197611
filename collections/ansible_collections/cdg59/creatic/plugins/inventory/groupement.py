# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Inventory of the groupement: communes/*.yml become hosts, groups and variables."""

from __future__ import annotations

DOCUMENTATION = """
name: groupement
short_description: Hosts and groups of the groupement, from one file per commune
description:
  - Reads C(communes/*.yml) next to its configuration file C(groupement.yml).
options:
  plugin:
    description: Must be C(cdg59.creatic.groupement).
    required: true
    choices: [cdg59.creatic.groupement]
"""

from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.inventory import BaseInventoryPlugin


class InventoryModule(BaseInventoryPlugin):
    """Turn each commune file into hosts and groups."""

    NAME = "cdg59.creatic.groupement"

    def verify_file(self, path: str) -> bool:
        """Accept groupement.yml, and the communes that Ansible finds when it walks the folder."""
        source = Path(path)
        return source.name == "groupement.yml" or (
            source.parent.name == "communes" and (source.parent.parent / "groupement.yml").is_file()
        )

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add every commune to the inventory."""
        super().parse(inventory, loader, path, cache)
        if Path(path).name != "groupement.yml":
            return  # read with all the others when Ansible reaches groupement.yml
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        for file in sorted(Path(path).parent.glob("communes/*.yml")):
            self._add_commune(file.stem, yaml.safe_load(file.read_text(encoding="utf-8")), config)

    def _add_commune(self, slug: str, data: dict[str, Any], config: dict[str, Any]) -> None:
        agents = data["agents"]
        size, level = next(
            sized
            for limit, sized in (
                (49, ("petite", "minimal")),
                (100, ("moyenne", "intermediary")),
                (agents, ("grande", "enhanced")),
            )
            if agents <= limit
        )
        group = self.inventory.add_group("commune_" + slug.replace("-", "_"))
        commune = {
            key: data[key] for key in ("nom", "siren", "insee", "territoire", "agents", "vague", "services")
        } | {"slug": slug, "taille": size, "niveau": level, "departement": config["departement"]}
        self.inventory.set_variable(group, "creatic_commune", commune)
        for parent in (
            f"territoire_{data['territoire']}",
            f"taille_{size}",
            f"vague_{data['vague']}",
            *(f"service_{service}" for service in data["services"]),
        ):
            self.inventory.add_group(parent)
            self.inventory.add_child(parent, group)
        for poste in data["postes"]:
            host = f"{slug}-{poste['nom']}"
            for name in (group, "commune_pc", f"systeme_{poste['systeme']}"):
                self.inventory.add_group(name)
                self.inventory.add_host(host, group=name)
            self.inventory.set_variable(host, "ansible_host", poste["adresse"])
            self.inventory.set_variable(
                host,
                "creatic_poste",
                {
                    "nom": poste["nom"],
                    "systeme": poste["systeme"],
                    "compte": poste.get("compte", "agent"),
                    "certificats": poste.get("certificats", []),
                },
            )
        connector = data.get("connecteur")
        if connector:
            host = f"{slug}-connecteur"
            for name in (group, "tdt_connector", "systeme_debian"):
                self.inventory.add_group(name)
                self.inventory.add_host(host, group=name)
            self.inventory.set_variable(host, "ansible_host", connector["adresse"])
            self.inventory.set_variable(host, "creatic_connecteur", {"tdt": connector["tdt"]})
