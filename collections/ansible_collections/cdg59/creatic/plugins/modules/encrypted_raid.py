#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/host/encrypted_raid.py; the action plugin of the same name keeps the keys."""

from __future__ import annotations

DOCUMENTATION = r"""
module: encrypted_raid
short_description: Mirrored, encrypted volumes, opened with keys which are not on the host
description:
  - md RAID1 over the disks, LUKS2 (argon2id) over the array, XFS inside; created, completed with a new disk, opened
    and mounted, as far as each is needed.
  - A disk which is not blank and not of this very volume is refused, never written to.
  - Keys live on the control node, a file each, made there with the volume. They pass over SSH to cryptsetup's standard
    input, which asks for pipelining; they are on no disk of the host.
  - Each run tries the key on the volume, opened or not.
options:
  volumes:
    description: The volumes.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the volume., type: str, required: true}
      disks: {description: Its disks., type: list, elements: str, required: true}
      mount: {description: Where it is mounted., type: str, required: true}
  secrets_dir: {description: Folder of the keys on the control node., type: path, required: true}
  keys: {description: "Set by the action plugin, by volume.", type: dict}
  key_files: {description: "Set by the action plugin, for messages.", type: dict}
  new_keys:
    description: Set by the action plugin, volumes whose key was made in this run.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the disks are open
  cdg59.creatic.encrypted_raid:
    volumes:
      - {name: d1, disks: [/dev/disk/by-id/ata-A, /dev/disk/by-id/ata-B], mount: /srv/node/d1}
    secrets_dir: "{{ creatic_secrets_dir }}/disques"
"""

RETURN = r"""
formatted: {description: Volumes that were encrypted in this run., returned: always, type: list, elements: str}
extends_documentation_fragment: cdg59.creatic.modules.changes
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.host import encrypted_raid
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import entries, run

SPEC: dict[str, Any] = {
    "volumes": entries(
        {
            "name": {"type": "str", "required": True},
            "disks": {"type": "list", "elements": "str", "required": True},
            "mount": {"type": "str", "required": True},
        }
    ),
    "secrets_dir": {"type": "path", "required": True},
    "keys": {"type": "dict", "no_log": True},
    "key_files": {"type": "dict", "no_log": False},
    "new_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
}


def _open_volumes(module: AnsibleModule) -> dict[str, Any]:
    result: dict[str, Any] = {"changes": [], "formatted": []}
    lacking = encrypted_raid.missing_tools()
    if lacking and not module.check_mode:
        module.fail_json(msg=f"il manque sur cette machine : {', '.join(lacking)}", **result)
    for given in module.params["volumes"]:
        name = given["name"]
        volume = encrypted_raid.Volume(
            **given,
            key=module.params["keys"][name].encode(),
            key_file=module.params["key_files"][name],
            new_key=name in module.params["new_keys"],
            check=module.check_mode,
        )
        try:
            volume.ensure()
        except CreaticError as error:
            result["changes"] += volume.changes
            module.fail_json(msg=str(error), **result)
        finally:
            result["formatted"] += [volume.name] if volume.formatted else []
        result["changes"] += volume.changes
        for warning in volume.warnings:
            module.warn(warning)
    return {"changed": bool(result["changes"]), **result}


def main() -> None:
    run(SPEC, _open_volumes)


if __name__ == "__main__":
    main()
