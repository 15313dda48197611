# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the communes want of their circuits of signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import parapheur

DOCUMENTATION = r"""
  name: parapheur_configuration
  short_description: The circuits of signature of communes, as Mayan has them and as the application follows them
  version_added: 0.1.0
  description:
    - Two filters. C(parapheur_configuration) gives the input of C(mayan_config), C(parapheur_application) what the
      application in Mayan reads.
    - A commune that does not tell its circuits is refused in French, with file, field and fix.
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
mayan_configuration: "{{ communes | cdg59.creatic.parapheur_configuration }}"
"""

RETURN = r"""
  _value:
    description: What is wanted.
    type: dict
"""


def _told(work: Callable[[Sequence[dict[str, Any]]], dict[str, Any]], communes: Sequence[dict[str, Any]]) -> Any:
    try:
        return work(list(communes))
    except parapheur.ParapheurError as error:
        raise AnsibleFilterError(str(error)) from None


def parapheur_configuration(communes: Sequence[dict[str, Any]]) -> Any:
    """Give what is wanted of Mayan.

    Raises:
        AnsibleFilterError: something is to be corrected first.
    """
    return _told(parapheur.configuration, communes)


def parapheur_application(communes: Sequence[dict[str, Any]]) -> Any:
    """Give what the application follows. Raises: as `parapheur_configuration`."""
    return _told(parapheur.application, communes)


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "parapheur_configuration": parapheur_configuration,
            "parapheur_application": parapheur_application,
        }
