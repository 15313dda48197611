# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What ``ansible-inventory --list`` says, as values: it marks each text that is no template, so a commune's."""

from __future__ import annotations

import json
from typing import Any

_MARK = "__ansible_unsafe"


def read(text: str) -> dict[str, Any]:
    """Read it."""
    found: dict[str, Any] = json.loads(text, object_hook=_plain)
    return found


def _plain(one: dict[str, Any]) -> Any:
    return one[_MARK] if one.keys() == {_MARK} else one
