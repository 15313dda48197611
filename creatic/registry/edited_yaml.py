# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Some fields of a YAML file changed, and nothing else of it: comments, order and style stay as people wrote them.

A library that writes the whole file again keeps comments too, but puts what is added to a list below the comment that
announces what follows it.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from creatic.registry.checked_yaml import FieldPath, Source, dotted


def scalar(value: Any) -> str:
    """Write a value so that YAML reads it back the same: bare when that is enough, else quoted."""
    text = str(value)
    with contextlib.suppress(yaml.YAMLError):
        if yaml.safe_load(f"field: {text}\nlist: [{text}]") == {"field": value, "list": [value]}:
            return text
    return json.dumps(value, ensure_ascii=False)


def inline(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {inline(one)}' for key, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    return scalar(value)


class Edited:
    """A file of fields being changed.

    Attributes:
        text: as it is now.
        data: what it holds, as it is now.
        changes: field, value before (None for none) and value now, of each change.
        refused: a field, as in `postes[0].adresse`, that could not be changed alone; empty when all could.
    """

    def __init__(self, text: str, data: dict[str, Any]) -> None:
        self.text, self.data = text, copy.deepcopy(data)
        self.changes: list[tuple[str, Any, Any]] = []
        self.refused = ""

    def get(self, path: FieldPath) -> Any:
        """Give what a field holds; None when it is not there."""
        found: Any = self.data
        for part in path:
            if isinstance(found, list) and isinstance(part, int) and part < len(found):
                found = found[part]
            elif isinstance(found, dict):
                found = found.get(str(part))
            else:
                return None
        return found

    def set(self, path: FieldPath, value: Any) -> None:
        """Give a field a value; the group of fields that holds it is there."""
        before = self.get(path)
        if before == value:
            return
        holder, name = self.get(path[:-1]), path[-1]
        if before is None:
            self._insert_item(path[:-1], f"{name}: {inline(value)}", [f"{name}: {inline(value)}"])
        else:
            node = self._find_node(path)
            end = max(_end_positions(node))
            self.text = self.text[: node.start_mark.index] + inline(value) + self.text[end:]
        holder[name] = value
        self._record_edit(path, before, value)

    def append(self, path: FieldPath, value: Any, lines: Sequence[str] = ()) -> None:
        """Add to the end of a list, which is made when it is not there.

        Args:
            path: of the list.
            value: what is added.
            lines: how it is written, its dash first, in a list that has a line for each; on one line by default.
        """
        lines = lines or [f"- {inline(value)}"]
        found = self.get(path)
        if not found:
            name = str(path[-1])
            if found is not None:  # « [] »: its lines come instead
                node = self._find_node(path)
                self.text = self.text[: node.start_mark.index].rstrip(" ") + self.text[node.end_mark.index :]
                self._add_lines(node.start_mark.index - 1, [f"  {line}" for line in lines])
            else:
                self._insert_item(
                    path[:-1], f"{name}: [{inline(value)}]", [f"{name}:", *(f"  {line}" for line in lines)]
                )
            self.get(path[:-1])[path[-1]] = [value]
        else:
            self._insert_item(path, inline(value), lines)
            found.append(value)
        self._record_edit((*path, len(self.get(path)) - 1), None, value)

    def _record_edit(self, path: FieldPath, before: Any, value: Any) -> None:
        self.changes.append((dotted(path), before, value))
        if Source("", self.text.encode()).read() != self.data:
            self.refused = self.refused or dotted(path)

    def _find_node(self, path: FieldPath) -> yaml.Node:
        node: Any = yaml.compose(self.text, Loader=yaml.SafeLoader)
        for part in path:
            if isinstance(node, yaml.MappingNode):
                node = next(value for key, value in node.value if key.value == str(part))
            else:
                node = node.value[part]
        found: yaml.Node = node
        return found

    def _insert_item(self, path: FieldPath, text: str, lines: Sequence[str]) -> None:
        """Add to the end of a group of fields or of a list, as it is written: between its brackets, or on lines."""
        node = self._find_node(path)
        if isinstance(node, yaml.CollectionNode) and node.flow_style:
            inside = self.text[node.start_mark.index + 1 : node.end_mark.index - 1].rstrip()
            comma = "" if not node.value or inside.endswith(",") else ","
            at = node.start_mark.index + 1 + len(inside)
            self.text = self.text[:at] + f"{comma}{' ' if node.value else ''}{text}" + self.text[at:]
        else:
            self._add_lines(max(_end_positions(node)), [" " * node.start_mark.column + line for line in lines])

    def _add_lines(self, after: int, lines: Sequence[str]) -> None:
        """Add lines below that of a place."""
        written = len(self.text[:after].rstrip())
        end = self.text.find("\n", written)
        end = len(self.text) if end < 0 else end
        self.text = self.text[:end] + "".join(f"\n{line}" for line in lines) + (self.text[end:] or "\n")


def _end_positions(node: yaml.Node) -> Iterator[int]:
    """Ends of what a value holds: that of a list, or of fields, on lines of their own is past the comments below it."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style:
        yield node.end_mark.index
    for one in node.value if isinstance(node, yaml.CollectionNode) else ():
        for inner in one if isinstance(one, tuple) else (one,):
            yield from _end_positions(inner)
