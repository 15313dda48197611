# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Which machines the backup server may let in, and whether a machine of drills may be off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host.bare import silent

from creatic.backup.clients import sort

DOCUMENTATION = r"""
  name: backup_clients
  short_description: Machines whose backup key is proven their own
  version_added: 0.1.0
  description: Each key must be an ed25519 one, of one machine, which signed its name with it.
  options:
    _input:
      description: Machines with C(name), C(key), C(proof), and what else role backup_server takes.
      type: list
      elements: dict
      required: true
  author:
    - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
backup_server_clients: "{{ (machines | cdg59.creatic.backup_clients).bons }}"
"""

RETURN = r"""
  _value: {description: "C(bons), for the role, and C(refuses), a French sentence for each of the others.", type: dict}
"""


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"backup_clients": sort, "drill_silent": silent}
