# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The profiles that a play takes, by what profiles.yml says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cdg59.creatic.plugins.plugin_utils.refusals import refusing

from creatic.registry.profiles import (
    environments,
    marked,
    place_step,
    step,
)

DOCUMENTATION = r"""
  name: profiles
  short_description: Profiles of which a trait is true
  version_added: 0.1.0
  description:
    - Filters for the C(hosts) of a play. C(profiles) gives the profiles with a trait, C(site_step), of a number,
      those that this step of the whole site takes side by side, C(place_step) those of a commune's rollout.
    - C(environments), of C(groups), gives the roles whose environments the control node makes for their machines.
  options:
    _input: {description: One of the traits of C(creatic/registry/profiles.yml)., type: str, required: true}
  author:
    - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
hosts: "{{ 'sauvegarde' | cdg59.creatic.profiles }}"
"""

RETURN = r"""
  _value: {description: "Their names, which are groups, the longest to deploy first.", type: list, elements: str}
"""


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "profiles": refusing(ValueError)(marked),
            "site_step": step,
            "place_step": place_step,
            "environments": environments,
        }
