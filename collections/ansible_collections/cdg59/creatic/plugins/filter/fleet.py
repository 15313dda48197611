# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a machine that nobody can reach is told of its door, and of those who sign for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

from creatic.fleet.assemble import common_name
from creatic.registry import wiring

DOCUMENTATION = """
name: fleet_door
short_description: The door, the name and the signers of a machine in outgoing access
version_added: "0.1.0"
description:
  - C(fleet_door) gives the variable flotte_door, C(fleet_name) the common name of a machine's certificate,
    C(fleet_signers) and C(fleet_revoked) the keys that may, and may no longer, sign for the fleet.
options:
  _input:
    description: Groups of the inventory, the machine's name, or the state's folder.
    type: raw
    required: true
"""


def fleet_door(groups: wiring.Groups, hostvars: wiring.HostVars) -> dict[str, Any]:
    """The variable flotte_door. Raises AnsibleFilterError: the inventory has no door."""
    if not groups.get("guichet"):
        raise AnsibleFilterError(
            "une commune est en accès sortant, et l'inventaire n'a aucun guichet. À faire : ajoutez une machine au "
            "groupe guichet de servers.yml"
        )
    try:
        url = wiring.url(hostvars, groups["guichet"][0])
        return {"url": url, "addresses": wiring.addresses(groups, hostvars, ["guichet"])}
    except wiring.WiringError as error:
        raise AnsibleFilterError(str(error)) from error


def fleet_signers(home: str) -> str:
    """The variable flotte_signers. Raises AnsibleFilterError: the fleet has no key yet."""
    file = Path(home).expanduser() / "flotte/publie/signataires"
    if not file.is_file():
        raise AnsibleFilterError(
            f"{file} : la flotte n'a pas encore de clé. À faire : fab pki.creer, qui la fait, puis relancez"
        )
    return file.read_text(encoding="utf-8")


def fleet_revoked(home: str) -> str:
    """The variable flotte_revoked; empty when no key was ever revoked."""
    file = Path(home).expanduser() / "flotte/publie/revoques"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


class FilterModule:
    """Filters for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "fleet_door": fleet_door,
            "fleet_name": common_name,
            "fleet_signers": fleet_signers,
            "fleet_revoked": fleet_revoked,
        }
