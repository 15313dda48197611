# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Set values in configuration files of packages that read no drop-in folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError, write

SEPARATORS = {"equals": " = ", "space": " "}


def _setting_line(key: str, value: str, style: str) -> str:
    return f"{key}{SEPARATORS[style]}{value}" if value else key


def edit(text: str, values: dict[str, str | None], style: str) -> str:
    """Give the text with every key at its value, once.

    The first line of the key, active or commented out, takes the value; other active ones go. A missing key is
    appended, before the first ``Match`` block if there is one (sshd_config).

    Args:
        text: the file's content.
        values: wanted values by key; an empty one is a bare word, None takes the key away.
        style: ``equals`` or ``space``, what stands between key and value.
    """
    lines = text.splitlines()
    for key, value in values.items():
        separator = r"\s*(?:=|$)" if style == "equals" else r"(?:\s|$)"
        active = re.compile(rf"\s*{re.escape(key)}{separator}")
        commented = re.compile(rf"#\s?{re.escape(key)}{r'\s*=' if style == 'equals' and value else separator}")
        found = [number for number, line in enumerate(lines) if active.match(line)]
        if value is None:
            lines = [line for number, line in enumerate(lines) if number not in found]
            continue
        wanted = _setting_line(key, value, style)
        spare = [number for number, line in enumerate(lines) if commented.match(line)]
        if found or spare:
            place = (found or spare)[0]
            # A setting already at its value keeps its own spacing.
            if not (found and lines[place].split() == wanted.split()):
                lines[place] = wanted
            lines = [line for number, line in enumerate(lines) if number == place or number not in found]
        else:
            blocks = [number for number, line in enumerate(lines) if re.match(r"\s*Match\s", line)]
            lines.insert(blocks[0] if blocks else len(lines), wanted)
    return "\n".join(lines) + "\n"


def apply(files: list[dict[str, Any]], check: bool = False) -> list[Change]:
    """Bring every file to its values.

    Args:
        files: entries of the module: path, values, style, validate, optional.
        check: report only.

    Raises:
        StateError: a file is missing, or its validation refuses.
    """
    changes = []
    for spec in files:
        path = Path(spec["path"])
        if not path.exists():
            if spec.get("optional") or check:  # in check mode, the package may not be there yet
                continue
            raise StateError(f"{path} n'existe pas : le paquet qui le fournit est-il installé ?")
        before = path.read_text(encoding="utf-8")
        after = edit(before, spec["values"], spec.get("style") or "equals")
        if after.rstrip("\n") == before.rstrip("\n"):
            continue
        if not check:
            write(path, after, validate=shlex.split(spec.get("validate") or ""))
        changes.append(Change(str(path), before.rstrip("\n"), after.rstrip("\n")))
    return changes
