#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Documentation of access_ca; the action plugin of the same name does the work, in the control node's Python."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_ca
short_description: Have the SSH authority of time-boxed access ready on the control node
description:
  - Gives the files that hosts need of the authority; publishes again the list of revoked certificates when it is not
    the registry's.
options:
  dir: {description: Folder of the authority., type: path, required: true}
  create: {description: "Make the authority when there is none, instead of failing.", type: bool, default: false}
  generate_passphrases:
    description: Make a random passphrase, in a file, for a new authority.
    type: bool
    default: false
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.control_node]
"""

EXAMPLES = r"""
- name: Ensure the SSH authority is there
  cdg59.creatic.access_ca:
    dir: "{{ creatic_home }}/acces"
    create: true
"""

RETURN = r"""
public_key: {description: File of the authority's public key., returned: success, type: str}
revoked: {description: File of the revoked certificates (KRL)., returned: success, type: str}
extends_documentation_fragment: cdg59.creatic.modules.changes
"""

SPEC = {
    "dir": {"type": "path", "required": True},
    "create": {"type": "bool", "default": False},
    "generate_passphrases": {"type": "bool", "default": False, "no_log": False},
}
