# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Whose certificates a TdT accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from creatic.check.tdt import authorities

DOCUMENTATION = """
name: tdt_accepts
short_description: The authorities whose certificates a TdT accepts
version_added: "0.1.0"
description:
  - Opens a TLS connection from the control node, shows no certificate, and gives the subjects of the authorities that
    the server names. Nothing when it does not answer, or names none.
options:
  _input: {description: URL of the TdT., type: str, required: true}
"""

EXAMPLES = """
- name: Ask the TdT whose certificates it accepts
  ansible.builtin.set_fact:
    accepted: "{{ creatic_tdt_url | cdg59.creatic.tdt_accepts }}"
  run_once: true
"""

RETURN = """
_value: {description: Subjects (RFC 2253)., type: list, elements: str}
"""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"tdt_accepts": authorities}
