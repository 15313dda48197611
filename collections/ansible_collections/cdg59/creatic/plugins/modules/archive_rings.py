#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/archive/rings.py; the action plugin of the same name keeps files and secrets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: archive_rings
short_description: Build Swift's rings from the inventory, and keep the archive room's secrets
description:
  - Builders, rings and secrets live on the control node; the first host of the play, which has Swift, computes.
  - A host whose Swift was set up with other secrets than the control node's is refused, since its archives could no
    longer be found or read.
options:
  nodes:
    description: Every node of the room.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name in the inventory., type: str, required: true}
      address: {description: Address on the storage network., type: str, required: true}
      zone: {description: Failure domain., type: int, required: true}
      weight: {description: Share of the data; 0 drains., type: float, required: true}
      devices: {description: Folders under /srv/node., type: list, elements: str, required: true}
  lost:
    description: Nodes that were destroyed, whose devices may be taken away undrained.
    type: list
    elements: str
    default: []
  rings:
    description: Whether rings are followed; without them, on a room that is there, keys of accounts alone are made.
    type: bool
    default: true
  accounts: {description: Accounts which must have a key., type: list, elements: str, default: []}
  dir: {description: Folder of the builders and rings on the control node., type: path, required: true}
  secrets_dir: {description: Folder of the room's secrets on the control node., type: path, required: true}
  root_secret:
    description: Root of the encryption keys, base64 of 32 bytes or more. Generated when empty.
    type: str
    default: ""
  part_power: {description: Power of two of the number of partitions., type: int, required: true}
  replicas: {description: Copies of each archive., type: int, default: 3}
  min_part_hours: {description: Hours before a partition may move again., type: int, default: 1}
  plan: {description: Set by the action plugin., type: dict}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the rings follow the inventory
  cdg59.creatic.archive_rings:
    nodes: "{{ nodes }}"
    accounts: [gondecourt]
    dir: "{{ creatic_home }}/archive"
    secrets_dir: "{{ creatic_secrets_dir }}/archive"
    part_power: 10
"""

RETURN = r"""
waiting:
  description: Seconds before the next run may go on with moving partitions; 0 when the rings are even.
  returned: always
  type: int
extends_documentation_fragment: cdg59.creatic.modules.changes
"""

import base64
import hashlib
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.archive import rings as archive_rings
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import entries, run

ETC = Path("/etc/swift")


def identity(etc: Path) -> dict[str, str]:
    """Digests of the secrets that this host was set up with; without those it does not have."""
    found = {}
    for name, option in (
        ("swift.conf", "swift_hash_path_prefix"),
        ("swift.conf", "swift_hash_path_suffix"),
        ("keymaster.conf", "encryption_root_secret"),
    ):
        try:
            lines = (etc / name).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            key, _, value = line.partition("=")
            if key.strip() == option and value.strip() not in ("", "changeme"):
                found[option] = hashlib.sha256(value.strip().encode()).hexdigest()
    return found


def guard(expected: dict[str, str], builders: bool) -> None:
    """Refuse a host of another room, or whose builders were lost."""
    rings = (ETC / "object.ring.gz").exists()
    if not rings:
        return  # a fresh host: Debian's own configuration says nothing
    differing = sorted(option for option, digest in identity(ETC).items() if expected[option] != digest)
    if differing:
        raise archive_rings.RingError(
            f"cette machine garde des archives sous d'autres secrets ({', '.join(differing)}) que ceux du poste de "
            "commande : elles deviendraient introuvables. Restaurez le dossier des secrets depuis sa sauvegarde"
        )
    if not builders:
        raise archive_rings.RingError(
            "cette machine a des anneaux, mais le poste de commande n'a plus de quoi les modifier (*.builder) : "
            "restaurez son dossier « archive » depuis sa sauvegarde"
        )


def build(given: dict[str, Any], sent: dict[str, str]) -> dict[str, Any]:
    """Rebuild the three rings in a scratch folder."""
    wanted = archive_rings.devices_of(given["nodes"], given["replicas"])
    result: dict[str, Any] = {"changes": [], "waiting": 0, "files": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for ring in archive_rings.PORTS:
            path = Path(scratch) / f"{ring}.builder"
            if ring in sent:
                path.write_bytes(base64.b64decode(sent[ring]))
            before = path.read_bytes() if path.exists() else b""
            done = archive_rings.rebuild(
                ring,
                path,
                wanted,
                part_power=given["part_power"],
                replicas=given["replicas"],
                min_part_hours=given["min_part_hours"],
                lost=given["lost"],
            )
            result["changes"] += done.changes
            result["waiting"] = max(result["waiting"], done.waiting)
            if path.exists() and path.read_bytes() != before:
                for file in (path, path.with_name(f"{ring}.ring.gz")):
                    result["files"][file.name] = base64.b64encode(file.read_bytes()).decode()
    return result


SPEC: dict[str, Any] = {
    "nodes": entries(
        {
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "zone": {"type": "int", "required": True},
            "weight": {"type": "float", "required": True},
            "devices": {"type": "list", "elements": "str", "required": True},
        }
    ),
    "lost": {"type": "list", "elements": "str", "default": []},
    "accounts": {"type": "list", "elements": "str", "default": []},
    "dir": {"type": "path", "required": True},
    "secrets_dir": {"type": "path", "required": True},
    "root_secret": {"type": "str", "default": "", "no_log": True},
    "part_power": {"type": "int", "required": True},
    "replicas": {"type": "int", "default": 3},
    "min_part_hours": {"type": "int", "default": 1},
    "plan": {"type": "dict"},
}


def _run_module(module: AnsibleModule) -> dict[str, Any]:
    order = module.params["plan"]
    result: dict[str, Any] = {"changes": [], "waiting": 0, "files": {}}
    try:
        archive_rings.devices_of(module.params["nodes"], module.params["replicas"])
        guard(order["identity"], order["has_builders"])
        if order["leader"]:
            result = build(module.params, order["builders"])
    except ImportError:
        if not module.check_mode:
            raise archive_rings.RingError("Swift n'est pas installé sur cette machine (paquet python3-swift)") from None
        result["changes"] = ["anneaux à construire"]
    return {"changed": bool(result["files"]), **result}


def main() -> None:
    run(SPEC, _run_module)


if __name__ == "__main__":
    main()
