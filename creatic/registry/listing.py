# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What ``ansible-inventory --list`` says, as values: it marks each text that is no template, so a commune's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_MARK = "__ansible_unsafe"


class Text(str):
    """A text that is no template, whatever is written in it."""

    __slots__ = ()


def read(text: str) -> dict[str, Any]:
    """Read it."""
    found: dict[str, Any] = json.loads(text, object_hook=_untag_text)
    return found


def written(value: Any) -> str:
    """Write what was read of it as JSON that Ansible takes for variables: what was no template is none."""
    return json.dumps(_tag_texts(value), ensure_ascii=False)


def to_extra_vars(value: Any) -> str:
    """Write values as JSON for Ansible's ``-e`` or ``-a``, which would evaluate texts: none of them is a template."""
    return json.dumps(_tag_texts(value, every=True))


def _untag_text(one: dict[str, Any]) -> Any:
    return Text(one[_MARK]) if one.keys() == {_MARK} else one


def _tag_texts(value: Any, *, every: bool = False) -> Any:
    if isinstance(value, str):
        return {_MARK: str(value)} if every or isinstance(value, Text) else value
    if isinstance(value, Mapping):
        return {name: _tag_texts(one, every=every) for name, one in value.items()}
    return [_tag_texts(one, every=every) for one in value] if isinstance(value, list | tuple) else value
