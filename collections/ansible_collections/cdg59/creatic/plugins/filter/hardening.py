# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What of a list applies at a level of ANSSI-BP-028."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from creatic.audit.controls import LEVELS

DOCUMENTATION = r"""
  name: at_level
  short_description: Entries of a list that apply at a level
  version_added: 0.1.0
  description:
    - Keeps the entries whose C(niveau) is the given level or a lower one, without their C(niveau).
    - With O(absent), entries of higher levels are kept too, as C(state=absent) of their C(path) alone; folders are
      not, for others may have files in them.
  options:
    _input: {description: "Entries, each with a C(niveau).", type: list, elements: dict, required: true}
    level: {description: "One of minimal, intermediary, enhanced, high.", type: str, required: true}
    absent: {description: Give what must be removed at this level as well., type: bool, default: false}
  author:
    - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
files: "{{ [{'path': '/etc/securetty', 'content': '', 'niveau': 'intermediary'}]
  | cdg59.creatic.at_level('minimal', absent=true) }}"
"""

RETURN = r"""
  _value: {description: The entries of the level., type: list, elements: dict}
"""


def at_level(entries: list[dict[str, Any]], level: str, absent: bool = False) -> list[dict[str, Any]]:
    """Give the entries of a level and of the lower ones.

    Raises:
        AnsibleFilterError: unknown level (the message lists them), or an entry without one.
    """
    if level not in LEVELS:
        raise AnsibleFilterError(f"niveau « {level} » inconnu : choisissez parmi {', '.join(LEVELS)}")
    kept = []
    for entry in entries:
        if entry.get("niveau") not in LEVELS:
            raise AnsibleFilterError(f"niveau absent ou inconnu dans {dict(entry)}")
        if LEVELS.index(entry["niveau"]) <= LEVELS.index(level):
            kept.append({key: value for key, value in entry.items() if key != "niveau"})
        elif absent and entry.get("state") != "directory":
            kept.append({"path": entry["path"], "state": "absent"})
    return kept


class FilterModule:
    """Filters of the role hardening."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"at_level": at_level}
