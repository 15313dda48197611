# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of encrypted_raid: makes and keeps the keys, one file for each volume of each host."""

from __future__ import annotations

import base64
import re
import secrets
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import lines_diff
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

MODULE = "cdg59.creatic.encrypted_raid"
_VOLUME_NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,15}")
_MIN_KEY_LENGTH = 43  # base64 of 32 bytes


def volume_key(path: Path, *, check: bool) -> tuple[str, bool]:
    """The key of a volume, made and kept before anything is encrypted with it.

    Args:
        path: its file.
        check: nothing is written.

    Returns:
        The key (base64 of 64 random bytes), and whether it is new.

    Raises:
        AnsibleActionFail: the file does not hold a key.
    """
    if path.exists():
        key = path.read_text("utf-8").strip()
        if len(key) < _MIN_KEY_LENGTH or not key.isascii():
            raise AnsibleActionFail(
                f"{path} ne contient pas une clé ({_MIN_KEY_LENGTH} caractères au moins) : remettez-la "
                "depuis la sauvegarde "
                "du poste de commande"
            )
        return key, False
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write(path, key.encode(), 0o600)
    return key, True


class ActionModule(Acting):
    """Hands the keys over to the module."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if not self._is_pipelining_enabled("new"):
            raise AnsibleActionFail(
                "la clé des disques serait écrite sur la machine : mettez pipelining = True dans ansible.cfg, et "
                "n'utilisez pas ANSIBLE_KEEP_REMOTE_FILES"
            )
        folder = Path(str(args["secrets_dir"])).expanduser()
        host = task_vars["inventory_hostname"]
        files = {name: folder / f"{host}-{name}.cle" for name in self._volume_names(args)}
        found = {name: volume_key(path, check=self._task.check_mode) for name, path in files.items()}
        new = [name for name, (_key, made) in found.items() if made]
        args["keys"] = {name: key for name, (key, _made) in found.items()}
        args |= {"key_files": {name: str(path) for name, path in files.items()}, "new_keys": new}
        result: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=args, task_vars=task_vars)
        result.pop("invocation", None)
        # Only when the host said so: after a cut, a new key may be the volume's.
        if "formatted" in result and not self._task.check_mode:
            for name in set(new) - set(result["formatted"]):
                files[name].unlink()
        result["diff"] = [lines_diff(result.get("changes", []), "volumes")]
        return result

    @staticmethod
    def _volume_names(args: dict[str, Any]) -> list[str]:
        names = [str(volume["name"]) for volume in args["volumes"]]
        for name in names:
            if not _VOLUME_NAME_PATTERN.fullmatch(name) or names.count(name) > 1:
                raise AnsibleActionFail(
                    f"encrypted_raid_volumes : « {name} » n'est pas un nom de volume, ou l'est deux fois (16 "
                    "caractères au plus : minuscules, chiffres, tirets)"
                )
        return names
