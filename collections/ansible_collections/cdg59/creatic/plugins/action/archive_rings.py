# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of archive_rings: makes the room's secrets once, keeps builders and rings."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.cdg59.creatic.plugins.module_utils.archive.rings import PORTS
from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import lines_diff
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

MODULE = "cdg59.creatic.archive_rings"
IDENTITY = {
    "prefixe": "swift_hash_path_prefix",
    "suffixe": "swift_hash_path_suffix",
    "racine": "encryption_root_secret",
}


def room_secrets(folder: Path, accounts: list[str], root_secret: str, *, built: bool, check: bool) -> dict[str, str]:
    """Secrets of the room, made when they are missing: ``salle.json`` (identity) and ``comptes.json`` (keys).

    Args:
        root_secret: taken instead of a generated one, when given.
        built: the room exists: its identity is never made anew.

    Returns:
        The identity: prefixe, suffixe, racine.

    Raises:
        AnsibleActionFail: the identity of an existing room was lost.
    """
    identity_file, accounts_file = folder / "salle.json", folder / "comptes.json"
    identity: dict[str, str] = json.loads(identity_file.read_text("utf-8")) if identity_file.exists() else {}
    if not identity and built:
        raise AnsibleActionFail(
            f"{identity_file} a disparu alors que la salle d'archives existe : sans ce fichier, ses archives sont "
            "introuvables et illisibles. Restaurez-le depuis la sauvegarde du poste de commande"
        )
    wanted = {key: identity.get(key) or secrets.token_hex(24) for key in ("prefixe", "suffixe")}
    wanted["racine"] = root_secret or identity.get("racine") or base64.b64encode(secrets.token_bytes(48)).decode()
    keys: dict[str, str] = json.loads(accounts_file.read_text("utf-8")) if accounts_file.exists() else {}
    complete = keys | {name: secrets.token_hex(24) for name in accounts if name not in keys}
    if not check:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A root secret that comes from the vault stays there.
        kept = {key: value for key, value in wanted.items() if key != "racine" or not root_secret}
        for path, before, after in ((identity_file, identity, kept), (accounts_file, keys, complete)):
            if before != after:
                write(path, (json.dumps(after, indent=1, sort_keys=True) + "\n").encode(), 0o600)
    return wanted


class ActionModule(Acting):
    """Sends the builders to the play's first host, and keeps what comes back."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        folder = Path(str(args["dir"])).expanduser()
        leader = task_vars["inventory_hostname"] == task_vars["ansible_play_batch"][0]
        builders = {ring: folder / f"{ring}.builder" for ring in PORTS}
        built = any(path.exists() for path in builders.values())
        follows = boolean(args.pop("rings", True))
        if not built and not follows:
            raise AnsibleActionFail("la salle d'archives n'est pas encore là. À faire : fab serveurs archive_node")
        if not self._task.check_mode:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = folder if folder.is_dir() else Path("/")
        descriptor = os.open(lock, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            identity = room_secrets(
                Path(str(args["secrets_dir"])).expanduser(),
                list(args.get("accounts") or []),
                str(args.get("root_secret") or ""),
                built=built,
                check=self._task.check_mode,
            )
        finally:
            os.close(descriptor)
        if not follows:
            return {"changed": False, "changes": []}
        args["root_secret"] = ""
        args["plan"] = {
            "leader": leader,
            # Another host of this very play may be building them.
            "has_builders": built or not leader,
            "identity": {
                option: hashlib.sha256(identity[name].encode()).hexdigest() for name, option in IDENTITY.items()
            },
            "builders": {
                ring: base64.b64encode(path.read_bytes()).decode()
                for ring, path in builders.items()
                if leader and path.exists()
            },
        }
        result = self._execute_module(module_name=MODULE, module_args=args, task_vars=task_vars)
        result.pop("invocation", None)
        files = result.pop("files", {})
        if files and not result.get("failed"):
            absent = {node["name"] for node in args["nodes"]} - set(task_vars["ansible_play_hosts_all"])
            if absent:
                raise AnsibleActionFail(
                    "les anneaux changent : ils doivent arriver partout en un seul passage. "
                    f"Relancez sans --limit ({', '.join(sorted(absent))} manquent)"
                )
            if not self._task.check_mode:
                for name, data in files.items():
                    write(folder / name, base64.b64decode(data), 0o600)
        if result.get("waiting"):
            minutes = -(-int(result["waiting"]) // 60)
            self._display.warning(f"Le rééquilibrage des archives n'est pas fini : relancez dans {minutes} min.")
        result["diff"] = [lines_diff(result.get("changes", []), "anneaux")]
        return result
