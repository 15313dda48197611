# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a profile is told: its roles as its tasks call them, and the variables that they leave to the inventory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_ROLE = ("ansible.builtin.import_role", "ansible.builtin.include_role")
_TASKS = ("ansible.builtin.import_tasks", "ansible.builtin.include_tasks")


@dataclass(frozen=True)
class Use:
    """A role as a profile calls it.

    Attributes:
        role: its name.
        entry: its entry point.
        given: what the profile's tasks give it, as they are written.
        when: conditions on which it is called.
    """

    role: str
    entry: str
    given: Mapping[str, Any]
    when: tuple[str, ...]


@dataclass(frozen=True)
class Need:
    """A variable that the inventory may give, or must.

    Attributes:
        role: whose it is.
        name: of the variable.
        spec: its argument specification, of the role's meta/argument_specs.yml.
        optional: its role is not brought on every machine of the profile (its task has a condition).
    """

    role: str
    name: str
    spec: Mapping[str, Any]
    optional: bool

    @property
    def required(self) -> bool:
        """Whether every machine of the profile must have it."""
        return bool(self.spec.get("required")) and not self.optional


def uses(top: Path, profile: str) -> list[Use]:
    """Roles of a profile, as its tasks bring them; blocks and included files are opened.

    Args:
        top: the repository.
        profile: one with tasks, playbooks/profiles/<profile>.yml.
    """
    return list(_walk_file(top / "playbooks" / "profiles", f"{profile}.yml", {}, ()))


def inner_uses(top: Path, role: str, called: str) -> list[Use]:
    """Where a role's own tasks bring another role, or call a module.

    Args:
        top: the repository.
        role: whose tasks are read.
        called: the other role, or the module, whose arguments are then what is given.
    """
    found = []

    def look(tasks: Sequence[Any], when: tuple[str, ...]) -> None:
        for task in tasks:
            condition = task.get("when", [])
            conditions = (*when, *map(str, condition if isinstance(condition, list) else [condition]))
            if any(task.get(key, {}).get("name") == called for key in _ROLE):
                found.append(Use(called, "main", task.get("vars", {}), conditions))
            elif called in task:
                found.append(Use(role, "main", task[called], conditions))
            look(task.get("block", []), conditions)

    for file in sorted((top / "roles" / role / "tasks").glob("*.yml")):
        look(yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) or [], ())
    return found


def needs(top: Path, profile: str) -> list[Need]:
    """Variables that the inventory gives the roles of a profile, role by role. Arguments: see `uses`.

    A Windows PC is no case of its own: what Debian asks of a PC is asked.
    """
    roles: dict[str, bool] = {}
    made: set[str] = set()
    for use in uses(top, profile):
        optional = any("systeme == 'debian'" not in condition for condition in use.when)
        roles[use.role] = roles.get(use.role, True) and optional
        made |= use.given.keys()
    return [
        Need(role, name, spec, optional)
        for role, optional in roles.items()
        for name, spec in options(top, role).items()
        if name not in made
    ]


def options(top: Path, role: str, entry: str = "main") -> dict[str, dict[str, Any]]:
    """Argument specifications of a role's entry point, by variable."""
    file = top / "roles" / role / "meta" / "argument_specs.yml"
    specs = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["argument_specs"]
    found: dict[str, dict[str, Any]] = specs.get(entry, {}).get("options", {})
    return found


def _walk_file(folder: Path, file: str, around: Mapping[str, Any], left: tuple[str, ...]) -> Iterator[Use]:
    def inside(tasks: Sequence[Any], scope: Mapping[str, Any], when: tuple[str, ...]) -> Iterator[Use]:
        for task in tasks:
            given = {**scope, **task.get("vars", {})}
            condition = task.get("when", [])
            conditions = (*when, *map(str, condition if isinstance(condition, list) else [condition]))
            for called in (task[key] for key in _ROLE if key in task):
                yield Use(called["name"], called.get("tasks_from", "main"), given, conditions)
            for other in (task[key] for key in _TASKS if key in task):
                yield from _walk_file(folder, other if isinstance(other, str) else other["file"], given, conditions)
            yield from inside(task.get("block", []), given, conditions)

    yield from inside(yaml.load((folder / file).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader), around, left)
