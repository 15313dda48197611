#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/applications/places.py; the action plugin says whom, and by which account."""

from __future__ import annotations

DOCUMENTATION = r"""
module: place_proof
short_description: Shows that communes have their place in an application
description:
  - On the server, opens its site by its name, over TLS, with the account by which the groupement's programs work for
    the communes, and asks for the place of each commune of the run that it serves. Makes nothing.
  - Only for the GED, the parapheur and the délibérations; on a server of another profile, nothing is asked.
  - Fails, in French, when a commune has no place. What was collected is kept all the same.
options:
  secrets_dir:
    description: Folder of the control node with the accounts' passwords (C(<profile>/comptes/)).
    type: path
    required: true
  besides:
    description: Groups whose machines are in no play, and whose communes are asked for too (C(acces_sortant)).
    type: list
    elements: str
    default: []
  application: {description: Set by the action plugin., type: str}
  name: {description: Set by the action plugin., type: str}
  account: {description: Set by the action plugin., type: str}
  password: {description: Set by the action plugin., type: str}
  communes: {description: Set by the action plugin., type: list, elements: dict}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.client]
"""

EXAMPLES = r"""
- name: Prove that the communes of this run have their place
  cdg59.creatic.place_proof:
    secrets_dir: "{{ creatic_secrets_dir }}"
"""

RETURN = r"""
creatic_proof:
  description: The list C(preuves), one a commune, of cle, libelle, verdict, detail, remede, mesures.
  returned: always
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import places
from ansible_collections.cdg59.creatic.plugins.module_utils.host import served
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import proven, run

SPEC: dict[str, Any] = {
    "root": {"type": "path", "default": "/usr/local/share/ca-certificates/creatic-pki.crt"},
    "application": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "account": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "communes": {"type": "list", "elements": "dict", "required": True},
}


def _prove_places(module: AnsibleModule) -> dict[str, Any]:
    given = module.params
    root = Path(given["root"])
    if not served.roots(root):
        module.fail_json(msg=f"{root} manque : cette machine n'est pas encore déployée. À faire : fab serveurs")
    door = places.Door(given["name"], root)
    found = places.prove(given["application"], door, given["account"], given["password"], given["communes"])
    return proven(module, found)


def main() -> None:
    run(SPEC, _prove_places)


if __name__ == "__main__":
    main()
