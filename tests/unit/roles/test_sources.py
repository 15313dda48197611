"""Every file, folder and program that a role sends is where the role says, whatever the working directory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.plugin_utils.applications import package

TOP = Path(__file__).parents[3]
ROLES = sorted(path.name for path in (TOP / "roles").iterdir() if path.is_dir())
_KINDS = ("src", "zipapp", "tree")


def _entries(given: Any) -> Iterator[dict[str, Any]]:
    if isinstance(given, dict):
        if "path" in given and {*_KINDS} & {*given}:
            yield given
        given = list(given.values())
    if isinstance(given, list):
        for one in given:
            yield from _entries(one)


def _sources(role: str) -> Iterator[str]:
    """What a role's tasks and variables name, once its own variables that are paths of the project are told."""
    folder = TOP / "roles" / role
    files = [*(folder / "vars").glob("*.yml"), *(folder / "tasks").glob("*.yml")]
    loaded = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]
    variables = {name: value for one in loaded if isinstance(one, dict) for name, value in one.items()}
    for spec in (spec for one in loaded for spec in _entries(one)):
        for kind in {*_KINDS} & {*spec}:
            text = re.sub(r"{{ (__\w+) }}", lambda found: str(variables.get(found[1], found[0])), str(spec[kind]))
            yield text.strip().replace("{{ role_path }}", str(folder))


def _exists(role: str, name: str) -> bool:
    folder = TOP / "roles" / role
    return bool(package(name, [folder])) or (folder / "files" / name).exists()


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_sends_is_there(role: str) -> None:
    assert [name for name in _sources(role) if "{{" not in name and not _exists(role, name)] == []


def test_all_applications_are_sent() -> None:
    sent = {package(name, [TOP / "roles"]) for role in ROLES for name in _sources(role) if "{{" not in name}
    known = {path.parent for path in TOP.glob("apps/*/src/*/__init__.py")} | {TOP / "apps/deliberations/src/creatic"}
    assert known - sent == {TOP / "apps/common/src/creatic_agent"}  # in those that import it


def test_a_package_is_the_one_of_its_own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "courant" / "code"
    made = other / "apps" / "session" / "src" / "creatic_session"
    made.mkdir(parents=True)
    (made.parent / "seul.py").touch()
    places = [other / "roles" / "access", TOP / "roles" / "access"]
    assert package("creatic_session", places) == made
    assert package("creatic_session", places[1:]) == TOP / "apps/session/src/creatic_session"
    assert package("sae", places) == TOP / "apps/sae/src/sae"
    for name in ("seul.py", "absent", "../src/creatic_session", str(made), "*"):
        assert package(name, places[:1]) is None
