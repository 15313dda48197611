#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/host/served.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: server_proof
short_description: Shows that a server serves
description:
  - On the server, asks for failed units, and opens each of its sites by its name as a client would.
  - Changes nothing; the callback of deployments keeps what it tells.
options:
  names: {description: DNS names of its sites; asked where nginx is installed., type: list, elements: str, default: []}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.client]
"""

EXAMPLES = r"""
- name: Prove that the server serves
  cdg59.creatic.server_proof:
    names: "{{ creatic_names }}"
"""

RETURN = r"""
creatic_proof:
  description: The list C(preuves), of cle, libelle, verdict, detail, remede, mesures.
  returned: always
  type: dict
"""

import datetime as dt
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host import served
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import proven, run

SPEC: dict[str, Any] = {
    "names": {"type": "list", "elements": "str", "default": []},
    "root": {"type": "path", "default": "/usr/local/share/ca-certificates/creatic-pki.crt"},
}


def _prove_server(module: AnsibleModule) -> dict[str, Any]:
    found = served.proofs(module.params["names"], Path(module.params["root"]), dt.datetime.now(dt.UTC))
    return proven(module, found, "{libelle} : {detail}. {remede}")


def main() -> None:
    run(SPEC, _prove_server)


if __name__ == "__main__":
    main()
