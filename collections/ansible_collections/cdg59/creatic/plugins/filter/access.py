# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a host accepts of the certificates of time-boxed access."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from creatic.access.authority import host_principals

DOCUMENTATION = r"""
  name: access_principals
  short_description: Principals that a host accepts for an account
  version_added: 0.1.0
  description: One for every host, one for each group of the host, one for each pair of groups.
  options:
    _input: {description: Groups of the host., type: list, elements: str, required: true}
    role: {description: Account., type: str, required: true}
  author:
    - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
principals: "{{ group_names | cdg59.creatic.access_principals('auditeur') }}"
"""

RETURN = r"""
  _value: {description: The principals., type: list, elements: str}
"""


class FilterModule:
    """Filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"access_principals": host_principals}
