# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the communes want of their applications: site of the délibérations, document store, circuits of signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.applications import deliberations
from ansible_collections.cdg59.creatic.plugins.plugin_utils.refusals import refusing

from creatic.applications import ged, parapheur

DOCUMENTATION = r"""
  name: applications
  short_description: The applications as communes ask for them
  version_added: 0.1.0
  description:
    - Four filters. C(deliberations_configuration) gives the input of C(deliberations_config), C(ged_configuration) and
      C(parapheur_configuration) that of C(mayan_config), C(parapheur_application) what the application in Mayan reads.
    - What is wrong in a plan or a commune is refused in French, with file, field and fix.
  options:
    _input:
      description: Communes, as the inventory gives them in C(creatic_commune).
      type: list
      elements: dict
      required: true
    plan: {description: "Path of C(ged.yml), for C(ged_configuration), which requires it.", type: str}
    filer:
      description: Account that files acts for every commune, for C(ged_configuration); none by default.
      type: str
      default: ""
  author:
    - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
plone_configuration: "{{ communes | cdg59.creatic.deliberations_configuration }}"
mayan_configuration: "{{ communes | cdg59.creatic.ged_configuration(inventory_dir ~ '/ged.yml') }}"
"""

RETURN = r"""
  _value: {description: What is wanted., type: dict}
"""


def _make_filter(work: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @refusing(ged.GedError, parapheur.ParapheurError)
    def filtered(communes: Sequence[dict[str, Any]], *given: str, **named: str) -> dict[str, Any]:
        return work(list(communes), *given, **named)

    return filtered


def _configure_ged(communes: list[dict[str, Any]], plan: str, filer: str = "") -> dict[str, Any]:
    return ged.configuration(ged.read_plan(Path(plan)), communes, filer)


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {
            "deliberations_configuration": _make_filter(deliberations.configuration),
            "ged_configuration": _make_filter(_configure_ged),
            "parapheur_configuration": _make_filter(parapheur.configuration),
            "parapheur_application": _make_filter(parapheur.application),
        }
