# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The state of the control node serves one environment, however Ansible was given its inventory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, Request
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.registry import environment


def ensure_own_state(action: ActionBase, task_vars: dict[str, Any] | None) -> None:
    """Refuse the state of another environment, before an authority that is in it is made or serves.

    A play whose inventory is no groupement's (``-i localhost,``) has no environment: nothing is asked of it.

    Raises:
        AnsibleActionFail: see `environment.claim`.
    """
    known = task_vars or {}
    folder = environment.folder_of(known.get("ansible_inventory_sources") or ())
    if folder is None or not {"creatic_env", "creatic_home"} <= known.keys():
        return
    home, name = (str(action._templar.template(known[key])) for key in ("creatic_home", "creatic_env"))
    try:
        told = environment.claim(Path(home).expanduser(), name, folder, write=not action._task.check_mode)
    except environment.InvalidEnvironmentError as error:
        raise AnsibleActionFail(str(error)) from error
    if told:
        Display().display(told, stderr=True)


class OwnState(Acting):
    """Base of the action plugins that an authority of the control node serves."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        ensure_own_state(self, task_vars)
        return super().run(tmp, task_vars)

    def check_sirens(self, requests: Iterable[Request], task_vars: Mapping[str, Any]) -> None:
        """Refuse the groupement's SIREN to a machine of a commune, whose file says it: it opens all communes' pages.

        Raises:
            PkiError: it is asked for.
        """
        own = task_vars.get("creatic_groupement_siren") if "creatic_commune" in task_vars else None
        siren = str(self._templar.template(own)) if own else ""
        if siren and any(one.siren == siren for one in requests):
            raise PkiError(
                f"le SIREN {siren} est celui du groupement (creatic_groupement_siren), et non d'une commune ou d'une "
                "entité. À faire : corrigez le fichier de la commune. Rien n'est émis"
            )
