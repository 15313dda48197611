"""A role's specs say all of its interface: the files that others take alone, and the variables that it gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.role_docs import specs_of

TOP = Path(__file__).parents[3]
ROLES = sorted(path.name for path in (TOP / "roles").iterdir())
TASKS = [*TOP.glob("roles/*/tasks/*.yml"), *TOP.glob("playbooks/**/*.yml"), *TOP.glob("molecule/**/*.yml")]


def _walk(content: Any) -> Iterator[dict[str, Any]]:
    """Every mapping of a file of tasks or plays."""
    for value in content if isinstance(content, list) else content.values() if isinstance(content, dict) else []:
        yield from _walk(value)
    if isinstance(content, dict):
        yield content


def _mappings(path: Path) -> Iterator[dict[str, Any]]:
    return _walk(yaml.safe_load(path.read_text("utf-8")))


@cache
def taken_alone() -> dict[str, set[str]]:
    """Files of tasks that the tree takes by their name, by role."""
    found: dict[str, set[str]] = {}
    for path in TASKS:
        for one in _mappings(path):
            if "tasks_from" in one:
                # A name that a variable gives is that of each role which has the file.
                roles = ROLES if "{{" in one["name"] else [one["name"]]
                for role in roles:
                    if role == one["name"] or (TOP / "roles" / role / "tasks" / f"{one['tasks_from']}.yml").exists():
                        found.setdefault(role, set()).add(one["tasks_from"])
    return found


def given(role: str) -> set[str]:
    """Names without the mark of what is a role's own, among its variables and what its tasks note."""
    variables = TOP / "roles" / role / "vars" / "main.yml"
    found = set(yaml.safe_load(variables.read_text("utf-8")) or {}) if variables.exists() else set()
    for path in (TOP / "roles" / role / "tasks").glob("*.yml"):
        for one in _mappings(path):
            found |= {one["register"]} if "register" in one else set()
            found |= set(one.get("ansible.builtin.set_fact", {}))
    return {name for name in found if not name.startswith("__") and name != "cacheable"}


@pytest.mark.parametrize("role", ROLES)
def test_specs_have_each_entry_point_and_each_output(role: str) -> None:
    specs = specs_of(TOP / "roles" / role)
    assert specs.keys() - {"main", "outputs"} == taken_alone().get(role, set())
    assert set(specs.get("outputs", {}).get("options", {})) == given(role)
    for name in specs.keys() - {"main", "outputs"}:
        assert (TOP / "roles" / role / "tasks" / f"{name}.yml").is_file()
        assert specs[name].get("options", {}).items() <= specs["main"]["options"].items()


def test_what_is_a_role_s_own_is_used_by_no_other() -> None:
    for path in [*TASKS, *TOP.glob("roles/*/vars/*.yml"), *TOP.glob("roles/*/templates/*")]:
        owner = path.relative_to(TOP).parts[1] if path.is_relative_to(TOP / "roles") else ""
        if path.parent == TOP / "playbooks" / "lab":
            continue  # the lab's images have the packages of the roles that they will get
        names = re.findall(r"\b__([a-z][a-z0-9_]*)", path.read_text("utf-8"))
        others = [name for name in names for role in ROLES if name.startswith(f"{role}_") and role != owner]
        assert not others, f"{path.relative_to(TOP)}: {others}"
