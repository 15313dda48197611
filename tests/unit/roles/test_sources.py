"""A program that a role sends is its own project's, whatever the working directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.plugin_utils.applications import package

TOP = Path(__file__).parents[3]


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
