# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Has the SSH authority ready, in the control node's own Python: no connection, no other interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError
from ansible_collections.cdg59.creatic.plugins.modules.access_ca import SPEC
from ansible_collections.cdg59.creatic.plugins.plugin_utils.own_state import OwnState

from creatic.access.authority import SshAuthority
from creatic.pki.extract import Extract
from creatic.pki.keys import Passphrases


class ActionModule(OwnState):
    """Does everything in `act`; nothing is sent anywhere."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        _, args = self.validate_argument_spec(argument_spec=SPEC)
        directory = Path(args["dir"]).expanduser().absolute()
        authority = SshAuthority(directory, Passphrases(directory, generate=args["generate_passphrases"]))
        # On the machine itself, which nobody reaches: what the authority publishes, and no key (fleet/contents.py).
        itself = Extract.there(directory.parent / "pki")
        if itself and not (authority.public.is_file() and authority.krl.is_file()):
            raise PkiError(f"{directory} : il y manque ce que l'autorité SSH publie. À faire : fab flotte.publier")
        changes = [] if itself else authority.ensure(args["create"], self._task.check_mode)
        return {
            "changed": bool(changes),
            "changes": changes,
            "public_key": str(authority.public),
            "revoked": str(authority.krl),
        }
