# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What an environment is set to: the inventory's variables, else what roles' argument specifications say."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from creatic.registry import profiles as profiles_file
from creatic.registry import variables


class Settings:
    """Variables of an environment's machines.

    Args:
        top: the repository, for the roles' specifications.
        known: what ``ansible-inventory --list`` says.
    """

    def __init__(self, top: Path, known: Mapping[str, Any]) -> None:
        self.top = top
        self.hosts: Mapping[str, Mapping[str, Any]] = known.get("_meta", {}).get("hostvars", {})

    @functools.cached_property
    def machines(self) -> dict[str, list[str]]:
        """Machines of each profile; test benches are none of the groupement's."""
        known, found = profiles_file.load(), dict[str, list[str]]()
        for host, given in sorted(self.hosts.items()):
            profile = known.get(str(given.get("creatic_profil", "")))
            if profile and not profile.banc:
                found.setdefault(profile.name, []).append(host)
        return found

    def values(self, name: str, profile: str = "") -> list[Any]:
        """What a variable is, each value once: on the machines of a profile, or on any; empty when nothing gives it."""
        wanted = self.machines.get(profile, ()) if profile else self.hosts
        found: list[Any] = []
        for host in wanted:
            value = self.hosts[host].get(name, self._role_default(name, profile))
            if value not in (None, *found):
                found.append(value)
        return found

    def only(self, name: str, profile: str = "") -> Any:
        """Its only value; None for none, for several, or for one that Ansible computes from others."""
        found = self.values(name, profile)
        return None if len(found) != 1 or computed(found[0]) else found[0]

    def is_default(self, name: str, profile: str) -> bool:
        """Whether no machine of the profile is given it: the role's own value serves."""
        return not any(name in self.hosts[host] for host in self.machines.get(profile, ()))

    def _role_default(self, name: str, role: str) -> Any:
        return _role_options(self.top, role).get(name, {}).get("default") if role else None


def computed(value: Any) -> bool:
    """Whether Ansible makes the value from others: the inventory has its expression alone."""
    return isinstance(value, str) and "{{" in value


@functools.cache
def _role_options(top: Path, role: str) -> dict[str, dict[str, Any]]:
    try:
        return variables.options(top, role)
    except FileNotFoundError:  # a profile that has no role of its name
        return {}
