# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of place_proof: the communes of the run that the server serves, and the account that asks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.module_utils.applications.places import DOORS
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.registry import wiring

SERVICE = "passerelle"


class ActionModule(Acting):
    """Sends the module whom to ask for, and a password of the control node."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        profile = str(task_vars.get("creatic_profil", ""))
        groups, besides = task_vars["groups"], args.pop("besides", None) or ()
        asked_for = [*task_vars["ansible_play_hosts_all"], *(host for one in besides for host in groups.get(one, ()))]
        communes = wiring.communes_of(groups, asked_for, task_vars.get("creatic_communes") or ())
        if profile not in DOORS or not communes or self._task.check_mode:
            return {"changed": False, "skipped": True}
        login = account(profile, groups)
        file = password_file(Path(str(args.pop("secrets_dir"))).expanduser(), profile, login)
        try:
            password = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise AnsibleActionFail(
                f"{file} : le mot de passe du compte « {login} » est illisible ({reason(error)}). À faire : restaurez "
                "ce fichier depuis la sauvegarde du poste de commande"
            ) from None
        asked = {
            "application": profile,
            "name": self._templar.template(task_vars["creatic_names"])[0],
            "account": login,
            "password": password,
            "communes": communes,
        }
        return dict(self._execute_module("cdg59.creatic.place_proof", args | asked, task_vars=task_vars))


def account(profile: str, groups: Mapping[str, Any]) -> str:
    """The account by which the groupement's programs work: the passerelle's, the administrator's where it has none."""
    return SERVICE if profile != "ged" or groups.get("passerelle") else "admin"


def password_file(secrets: Path, profile: str, login: str) -> Path:
    """Where the control node keeps a password."""
    return secrets / profile / login if login == "admin" else secrets / profile / "comptes" / login
