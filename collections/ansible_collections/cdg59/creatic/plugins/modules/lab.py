#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/lab/lab.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab
short_description: Bring the lab of systemd machines up or down
description:
  - Runs on the control node, as root. Makes a Debian 13 image, one podman container booted with systemd
    per host, a private network with fixed addresses, SSH access by key and a package cache.
options:
  state:
    description: What is wanted; V(absent) takes away the machines of O(hosts), or the whole lab when none is named.
    type: str
    choices: [present, absent, status]
    default: present
  name:
    description: Name of the lab, ten characters at most; labs of several names stand side by side, each on its subnet.
    type: str
    default: creatic
  subnet: {description: "Private network of the lab, CIDR.", type: str, default: 10.59.0.0/16}
  hosts:
    description: The machines wanted.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Host name., type: str, required: true}
      address: {description: Fixed IPv4 address., type: str, required: true}
      names: {description: Further DNS names., type: list, elements: str, default: []}
      machine:
        description: A container, or a machine with a kernel of its own (User-Mode Linux).
        type: str
        choices: [conteneur, uml]
        default: conteneur
      memory: {description: Memory of a machine with its own kernel., type: str, default: 1024M}
      disks:
        description: Further disks of such a machine, 512M for a blank one, 512M:/var/log for one with that folder.
        type: list
        elements: str
        default: []
      packages:
        description: Debian packages that its image has already; none for a machine as an installer leaves it.
        type: list
        elements: str
        default: []
      apart:
        description: A container in a user namespace, whose root has no right on the control node.
        type: bool
        default: false
      line:
        description: >-
          Where its cable leads. The lab's network for good; or, for a machine that keeps its address from one to the
          other, that network (V(atelier)) or a router which lets nobody in (V(routeur)).
        type: str
        choices: [banc, atelier, routeur]
        default: banc
  user: {description: Administrator's account on the machines., type: str, default: creatic}
  ssh_dir: {description: Folder of the control node for the key pair and known_hosts., type: path, required: true}
extends_documentation_fragment: cdg59.creatic.modules
"""

EXAMPLES = r"""
- name: Ensure the lab is up
  cdg59.creatic.lab:
    hosts: [{name: tdt, address: 10.59.0.10, names: [tdt.creatic.test]}]
    ssh_dir: ~/.local/share/creatic/lab/ssh
"""

RETURN = r"""
changes: {description: What was made or removed., returned: always, type: list, elements: str}
from_nothing: {description: No machine of this control node was there before., returned: always, type: bool}
machines: {description: Machines of the lab and their state., returned: always, type: dict}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import entries, run
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import LabError
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import BEHIND, LAB, WORKSHOP, Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.lab import Lab

SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent", "status"], "default": "present"},
    "name": {"type": "str", "default": "creatic"},
    "subnet": {"type": "str", "default": "10.59.0.0/16"},
    "hosts": entries(
        {
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "default": []},
            "machine": {"type": "str", "choices": ["conteneur", "uml"], "default": "conteneur"},
            "memory": {"type": "str", "default": "1024M"},
            "disks": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "apart": {"type": "bool", "default": False},
            "line": {"type": "str", "choices": [LAB, WORKSHOP, BEHIND], "default": LAB},
        },
        default=[],
    ),
    "user": {"type": "str", "default": "creatic"},
    "ssh_dir": {"type": "path", "required": True},
}


def _run_lab(module: AnsibleModule) -> dict[str, Any]:
    given = module.params
    lab = Lab(
        given["subnet"],
        [Host(**host) for host in given["hosts"]],
        given["user"],
        Path(given["ssh_dir"]),
        module.check_mode,
        given["name"],
    )
    try:
        if given["state"] == "present":
            lab.up()
        elif given["state"] == "absent":
            lab.remove() if lab.hosts else lab.down()
        found = lab.ground.containers()
    except LabError as error:
        module.fail_json(msg=str(error), changes=lab.changes)
    machines = {name.removeprefix("creatic-"): entry["State"] for name, entry in sorted(found.items())}
    return {
        "changed": bool(lab.changes),
        "changes": lab.changes,
        "from_nothing": lab.from_nothing,
        "machines": machines,
    }


def main() -> None:
    run(SPEC, _run_lab)


if __name__ == "__main__":
    main()
