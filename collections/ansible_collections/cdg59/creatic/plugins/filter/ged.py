# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the communes want of their document store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import ged

DOCUMENTATION = r"""
  name: ged_configuration
  short_description: The document store as a plan de classement and communes ask for it
  version_added: 0.1.0
  description: Input of C(mayan_config). A wrong plan or a wrong commune is refused in French, with file, field and fix.
  options:
    _input:
      description: Communes, as the inventory gives them in C(creatic_commune).
      type: list
      elements: dict
      required: true
    plan:
      description: Path of C(ged.yml).
      type: str
      required: true
    filer:
      description: Account that files acts for every commune, none by default.
      type: str
      default: ""
  author:
    - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
mayan_configuration: "{{ communes | cdg59.creatic.ged_configuration(inventory_dir ~ '/ged.yml') }}"
"""

RETURN = r"""
  _value:
    description: What is wanted of Mayan.
    type: dict
"""


def ged_configuration(communes: Sequence[dict[str, Any]], plan: str, filer: str = "") -> dict[str, Any]:
    """Give the wanted configuration.

    Raises:
        AnsibleFilterError: something is to be corrected first.
    """
    try:
        return ged.configuration(ged.read_plan(Path(plan)), list(communes), filer)
    except ged.GedError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """Filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"ged_configuration": ged_configuration}
