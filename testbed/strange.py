"""Answers with something strange in them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any


def places(item: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where everything is in an answer."""
    yield path
    for key, one in item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ():
        yield from places(one, (*path, key))


def put(item: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The same, with something else at one place; without it, of an ellipsis."""
    if not path:
        return value
    changed = copy.deepcopy(item)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    if value is ...:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return changed
