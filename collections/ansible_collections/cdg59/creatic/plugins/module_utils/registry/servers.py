# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Files that describe the groupement's own machines (servers.yml), as far as Ansible may be let read them.

Ansible's YAML plugin believes their texts: it would compute an expression, and hand an address on to commands. Whoever
reads the inventory looks at them first. Expressions are for group_vars and host_vars, which are written as code is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import ip
from ansible_collections.cdg59.creatic.plugins.module_utils.registry.checked_yaml import Problem, Source, quote

OTHER_FILES = ("groupement.yml", "ged.yml", "derogations.yml", "durees.yml", "formats.yml")
"""Files of an inventory that programs of ours read, not Ansible."""
_OTHER_FOLDERS = ("communes", "formalites", "group_vars", "host_vars")
_SUFFIXES = ("", ".yml", ".yaml")  # of what Ansible's plugin takes


def files(directory: Path) -> Iterator[Path]:
    """Give the files of machines that Ansible reads in an inventory's folder, those of folders below it included."""
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.name in (*OTHER_FILES, *_OTHER_FOLDERS):
            continue
        if path.is_dir():
            yield from files(path)
        elif path.suffix in _SUFFIXES:
            yield path


def problems(directory: Path) -> list[Problem]:
    """Give what keeps Ansible from reading them, of all of them; empty when they are good."""
    found = []
    for path in files(directory):
        source = Source(str(path.relative_to(directory)), b"")
        source.load(path)
        root = None if source.problems else source.compose()
        if root is not None:
            source.refuse_templates(root)
            if not source.problems:
                _addresses(source, root)
        found += source.problems
    return found


def _addresses(source: Source, node: yaml.Node) -> None:
    """Refuse what is no address where machines are reached: it goes into commands of the control node."""
    seen, left = set(), [node]
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            left.append(value)
            text = value.value if isinstance(value, yaml.ScalarNode) else "…"
            if key.value == "ansible_host" and not _is_address(text):
                fix = "écrivez ansible_host: et son adresse IP fixe, par exemple 10.59.0.40"
                source.report(f"{quote(text)} n'est pas une adresse IP", fix, line=value.start_mark.line + 1)


def _is_address(text: str) -> bool:
    try:
        ip.address(text)
    except ValueError:
        return False
    return True
