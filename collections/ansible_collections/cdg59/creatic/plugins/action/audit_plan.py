# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Notes what an audit is about to look at, and refuses before anything starts what it could not judge."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.audit import store
from creatic.audit.controls import LEVELS
from creatic.audit.sources import Target, in_container
from creatic.registry import wiring
from creatic.registry.groupement import OUTGOING

_CONNECTION_VARIABLES = (
    *("ansible_connection", "ansible_host", "ansible_port", "ansible_user"),
    *("ansible_ssh_common_args", "ansible_ssh_private_key_file"),
)
_KNOWN_HOSTS_OPTION_PATTERN = re.compile(r'UserKnownHostsFile=([^"\s]+)')
_COMMUNE_FIELDS = ("slug", "nom", "siren", "territoire", "taille", "agents", "vague")


def door(variables: Mapping[str, Any]) -> dict[str, Any]:
    """How ssh(1) reaches a machine, as the inventory has Ansible reach it; nothing for the control node itself."""
    if variables.get("ansible_connection", "ssh") != "ssh":
        return {}
    address, port = str(variables.get("ansible_host", "")), int(variables.get("ansible_port") or 22)
    options = str(variables.get("ansible_ssh_common_args") or "")
    key, account = (str(variables.get(name) or "") for name in ("ansible_ssh_private_key_file", "ansible_user"))
    given = shlex.split(options) + (["-i", str(Path(key).expanduser())] if key else [])
    given += ["-p", str(port), *(["-l", account] if account else []), "--", address]
    known = _KNOWN_HOSTS_OPTION_PATTERN.search(options)
    return {"door": given, "known": known[1] if known else str(Path.home() / ".ssh" / "known_hosts"), "port": port}


def target(name: str, variables: Any, profiles: list[str], level: str) -> Target:
    """Describe one host of the inventory.

    Args:
        variables: its templated variables.
        level: level to judge it by, instead of its own.

    Raises:
        AnsibleActionFail: it has no profile, or an unknown level.
    """
    own = [profile for profile in profiles if profile in variables["group_names"]]
    if not own:
        raise AnsibleActionFail(
            f"{name} : aucun profil ; mettez-la dans un des groupes {', '.join(profiles)}, ou hors de --limit"
        )
    system = str((variables.get("creatic_poste") or {}).get("systeme", "debian"))
    wanted = level or str(variables.get("creatic_niveau", ""))
    if wanted not in LEVELS:
        raise AnsibleActionFail(
            f"{name} : niveau « {wanted or 'absent'} » inconnu ; creatic_niveau (inventaire) ou --level est "
            f"l'un de : {', '.join(LEVELS)}"
        )
    commune = variables.get("creatic_commune") or {}
    return Target(
        name=name,
        profile=own[0],
        level=wanted,
        address=str(variables.get("ansible_host", name)),
        system=system,
        commune={key: commune[key] for key in _COMMUNE_FIELDS if key in commune},
        container=in_container(variables),
        outgoing=OUTGOING in variables["group_names"],
        **door({"ansible_host": name, **{key: variables[key] for key in _CONNECTION_VARIABLES if key in variables}}),
    )


def unmanaged_pcs(
    hosts: Iterable[str], hostvars: Mapping[str, Any], groups: Mapping[str, Any], level: str
) -> list[Target]:
    """PCs that nobody reaches, of the communes of which every host is audited: their own facts are judged.

    Args:
        hosts: those that are audited.
        groups: every group of the inventory, with its hosts.
        level: see `target`.
    """
    found, asked = dict[str, Target](), {*hosts}
    for name in hosts:
        told, commune = hostvars[name].get("creatic_postes_portes"), hostvars[name].get("creatic_commune") or {}
        if not told or not {*groups.get(wiring.commune_group(commune["slug"]), ())} <= asked:
            continue
        for one in told:
            found[one["nom"]] = Target(
                name=one["nom"],
                profile="commune_pc",
                level=level or str(commune["niveau"]),
                # No relevé of Debian's is asked of it, whatever its system is.
                system="windows" if one["systeme"] == "windows" else "linux",
                commune={key: commune[key] for key in _COMMUNE_FIELDS if key in commune},
            )
    return list(found.values())


class ActionModule(Acting):
    """Runs on the control node alone."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        folder = store.current()
        if folder is None or not self._task.check_mode:
            raise AnsibleActionFail("cet audit se lance par « fab audit » : il ne change rien et rassemble les preuves")
        profiles = list(args["profiles"])
        hostvars = task_vars["hostvars"]
        level = str(args.get("level") or "")
        targets = [target(name, hostvars[name], profiles, level) for name in task_vars["ansible_play_hosts_all"]]
        targets += unmanaged_pcs(task_vars["ansible_play_hosts_all"], hostvars, task_vars["groups"], level)
        store.write_plan(folder, targets)
        return {"changed": False, "targets": len(targets)}
