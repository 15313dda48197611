# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the communes want of the site of the délibérations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.applications import deliberations

DOCUMENTATION = r"""
  name: deliberations_configuration
  short_description: The site of the délibérations as communes ask for it
  version_added: 0.1.0
  description: Input of C(deliberations_config).
  options:
    _input:
      description: Communes, as the inventory gives them in C(creatic_commune).
      type: list
      elements: dict
      required: true
  author:
    - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
plone_configuration: "{{ communes | cdg59.creatic.deliberations_configuration }}"
"""

RETURN = r"""
  _value:
    description: What is wanted of the site.
    type: dict
"""


def deliberations_configuration(communes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Give the wanted configuration."""
    return deliberations.configuration(list(communes))


class FilterModule:
    """Filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"deliberations_configuration": deliberations_configuration}
