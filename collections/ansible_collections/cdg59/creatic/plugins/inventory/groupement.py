# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Inventory of the groupement: communes/*.yml become hosts, groups and variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template
from ansible.utils.display import Display
from ansible_collections.cdg59.creatic.plugins.plugin_utils import project  # noqa: F401 # brings creatic

from creatic.life.absent import absent
from creatic.registry import entities, groupement, profiles, servers

DOCUMENTATION = """
name: groupement
short_description: Hosts and groups of the groupement, from one file per commune
description:
  - Reads C(communes/*.yml) next to its configuration, which must be named C(groupement.yml).
  - Each commune is the group C(commune_<slug>) (hyphens become underscores), a child of C(territoire_<name>),
    C(taille_petite), C(taille_moyenne) or C(taille_grande), C(vague_<number>) and C(service_<name>).
  - PCs are in C(commune_pc), connectors in C(tdt_connector), all in C(systeme_debian) or C(systeme_windows).
  - Each profile is a group, with C(creatic_profil), its name, the variables that C(profiles.yml) gives it, and where
    its machines serve communes, C(creatic_communes), the list of their C(creatic_commune). Test benches are in the
    group C(banc).
  - The entities that a commune hosts (C(entites)) have no group; they follow their commune in C(creatic_communes).
  - A PC with C(acces=installeur) is no host. C(creatic_postes_portes), on the group of its commune, names it.
  - Variables are C(creatic_commune) on the group of the commune, C(creatic_poste) and C(creatic_connecteur)
    on hosts. Windows hosts are reached over PSRP; C(group_vars/systeme_windows.yml) says how they
    authenticate.
  - One wrong file refuses the whole inventory. All problems are shown together, in French, and Ansible stops
    whatever its configuration says of sources that cannot be parsed.
  - Where the file of a commune that did not leave is gone, C(creatic_communes) is undefined, and says so.
  - Good files are kept in C(.cache/groupement) next to C(ansible.cfg), by content.
options:
  plugin: {description: Name of this plugin., required: true, choices: [cdg59.creatic.groupement]}
  departement:
    description: Code of the département in three characters, as in the identifiers of acts.
    required: true
    type: str
  territoires: {description: "Territories that a commune may name, with their labels.", required: true, type: dict}
  adresses: {description: IPv4 range in which C(fab commune.nouvelle) proposes a free /24., type: str}
"""

# What is true of every Windows PC; credentials belong to the environment.
WINDOWS = {
    "ansible_connection": "psrp",
    "ansible_port": 5986,
    "ansible_psrp_protocol": "https",
    "ansible_psrp_cert_validation": "validate",
    "ansible_become": False,
}
_LOST = trust_as_template("{{ undef(hint=creatic_communes_perdues) }}")
PARSER_ERROR_EXIT_STATUS = 4  # Ansible's exit code for an AnsibleParserError


def _describe_unmanaged_pc(host: groupement.Host) -> dict[str, Any]:
    """What is said of a PC that is no host."""
    told = host.variables["creatic_poste"]
    return {"nom": host.name, "systeme": told["systeme"], "certificats": told["certificats"]}


class InventoryModule(BaseInventoryPlugin):
    """Turn each commune into groups and hosts."""

    NAME = "cdg59.creatic.groupement"
    # Texts of files are text, whatever is written in them: `ansible-inventory --list` marks each ("__ansible_unsafe").
    # The one template here is written here, whole (`_LOST`).
    trusted_by_default = False

    def verify_file(self, path: str) -> bool:
        """Accept groupement.yml, and its files that Ansible meets when it walks the folder: they are no inventories."""
        source = Path(path)
        if source.name in servers.OTHER_FILES[1:]:
            return source.with_name("groupement.yml").is_file()
        return source.name == "groupement.yml" or (
            source.parent.name == "communes" and (source.parent.parent / "groupement.yml").is_file()
        )

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add the communes to the inventory, or stop Ansible."""
        super().parse(inventory, loader, path, cache)
        source = Path(path)
        if source.name != "groupement.yml":
            return  # communes are read together, from groupement.yml; the others by who needs them
        config = constants.CONFIG_FILE
        try:
            communes = groupement.load(source.parent, Path(config).parent / ".cache/groupement" if config else None)
        except groupement.GroupementError as error:
            # Not an AnsibleParserError: Ansible makes a warning of it and goes on with the other sources,
            # unless ansible.cfg forbids it; with it, the messages would come twice, and mixed with others.
            self._refuse_inventory(error.problems)
        if problems := servers.problems(source.parent):
            self._refuse_inventory(problems)
        self._add_profiles()
        for commune in communes:
            self._add_commune(commune)
        hosted = entities.sirens((one.slug, one.data) for one in communes)
        lost = absent(source.parent, {one.slug: str(one.data["siren"]) for one in communes}, hosted)
        for profile in profiles.load().values():
            if profile.communes and lost:
                # Whoever serves communes refuses; what is not deployed from their files (audits, updates) goes on.
                self.inventory.set_variable(profile.name, "creatic_communes_perdues", " ; ".join(map(str, lost)))
                self.inventory.set_variable(profile.name, "creatic_communes", _LOST)
            elif profile.communes:
                # As their own groups have them: set_variable marks where they come from, at a cost, once.
                every = (self.inventory.groups[commune.group].vars["creatic_commune"] for commune in communes)
                served = [one for one in entities.with_entities(every) if profile.serves(one["services"])]
                self.inventory.groups[profile.name].set_variable("creatic_communes", served)

    def _add_profiles(self) -> None:
        self.inventory.add_group(profiles.BENCH)
        for profile in profiles.load().values():
            self.inventory.add_group(profile.name)
            for name, value in {**profile.variables, "creatic_profil": profile.name}.items():
                self.inventory.set_variable(profile.name, name, value)
            if profile.banc:
                self.inventory.add_child(profiles.BENCH, profile.name)

    def _add_commune(self, commune: groupement.Commune) -> None:
        group = self.inventory.add_group(commune.group)
        self.inventory.set_variable(group, "creatic_commune", commune.variables)
        for parent in commune.parents:
            self.inventory.add_group(parent)
            self.inventory.add_child(parent, group)
        if carried := [_describe_unmanaged_pc(host) for host in commune.pcs() if host.is_carried]:
            self.inventory.set_variable(group, "creatic_postes_portes", carried)
        for host in commune.hosts():
            self.inventory.add_host(host.name, group=group)
            for name in host.groups:
                if name not in self.inventory.groups:
                    self._add_system(name)
                self.inventory.add_child(name, host.name)
            for name, value in host.variables.items():
                self.inventory.set_variable(host.name, name, value)

    def _add_system(self, name: str) -> None:
        self.inventory.add_group(name)
        if name == "systeme_windows":
            for variable, value in WINDOWS.items():
                self.inventory.set_variable(name, variable, value)

    @staticmethod
    def _refuse_inventory(problems: list[groupement.Problem]) -> None:
        count = f"{len(problems)} erreurs" if len(problems) > 1 else "1 erreur"
        listed = "\n".join(f"  - {problem}" for problem in problems)
        Display().error(f"Inventaire refusé, rien n'est lancé. {count} :\n{listed}", wrap_text=False)
        raise SystemExit(PARSER_ERROR_EXIT_STATUS)
