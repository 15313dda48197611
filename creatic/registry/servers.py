# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Files that describe the groupement's own machines (servers.yml), as far as Ansible may be let read them.

Ansible's YAML plugin believes their texts: it would compute an expression, and hand an address on to commands. Whoever
reads the inventory looks at them first. Expressions, and how a machine is reached (``ansible_ssh_common_args`` is a
command of the control node), are for group_vars and host_vars, which are written as code is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import ip

from creatic.registry.checked_yaml import Problem, Source, quote

OTHER_FILES = ("groupement.yml", "ged.yml", "derogations.yml", "durees.yml", "formats.yml")
"""Files of an inventory that programs of ours read, not Ansible."""
_OTHER_FOLDERS = ("communes", "formalites", "group_vars", "host_vars")
_SUFFIXES = ("", ".yml", ".yaml")  # of what Ansible's plugin takes
# Of Ansible's own variables, those that are read here, and what each may be: the others choose programs and their
# options on the control node.
_REACHED = {
    "ansible_host": (
        "n'est pas une adresse IP",
        "écrivez ansible_host: et son adresse IP fixe, par exemple 10.59.0.40",
    ),
    "ansible_port": ("n'est pas un port", "écrivez un nombre, par exemple ansible_port: 22"),
    "ansible_user": ("n'est pas un compte", "écrivez un compte en minuscules, par exemple ansible_user: admin"),
}
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_SSH_ACCOUNT_PATTERN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def is_others(path: Path) -> bool:
    """Whether a file of an inventory is none of Ansible's: it is beside groupement.yml; elsewhere, Ansible reads it."""
    return path.name in OTHER_FILES and path.with_name(OTHER_FILES[0]).is_file()


def files(directory: Path) -> Iterator[Path]:
    """Give the files of machines that Ansible reads in an inventory's folder, those of folders below it included."""
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.name in _OTHER_FOLDERS or is_others(path):
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
                refuse_connections(source, root)
        found += source.problems
    return found


def refuse_connections(source: Source, root: yaml.Node, *, told: tuple[str, ...] = ()) -> None:
    """Refuse what says by which program of the control node a machine is reached; what is no address, port or account.

    Args:
        source: the file.
        root: what it holds.
        told: variables whose values somebody else looks at.
    """
    seen, left = set(), [root]
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            left.append(value)
            name = str(key.value)
            if name.startswith("ansible_") and name not in _REACHED:
                message = f"{quote(name)} dit au poste de commande comment joindre une machine, ou par quel programme"
                fix = "mettez-la dans group_vars/, au nom du groupe, ou dans host_vars/, au nom de la machine"
                source.report(message, fix, line=key.start_mark.line + 1)
            elif name in _REACHED and name not in told:
                text = value.value if isinstance(value, yaml.ScalarNode) else "…"
                if not _is_good(name, text):
                    message, fix = _REACHED[name]
                    source.report(f"{quote(text)} {message}", fix, line=value.start_mark.line + 1)


def _is_good(name: str, text: str) -> bool:
    if name != "ansible_host":
        return bool((_PORT if name == "ansible_port" else _SSH_ACCOUNT_PATTERN).fullmatch(text))
    try:
        ip.address(text)
    except ValueError:
        return False
    return True
