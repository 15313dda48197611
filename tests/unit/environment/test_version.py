"""The version is said in one place; what must repeat it says the same."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

TOP = Path(__file__).parents[3]
APPS = sorted(TOP.glob("apps/*/pyproject.toml"))


def project(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    return told


@pytest.mark.parametrize("path", APPS, ids=lambda path: path.parent.name)
def test_an_application_has_no_version_of_its_own(path: Path) -> None:
    assert "version" not in project(path) and project(path)["dynamic"] == ["version"]


def test_the_collection_has_the_version_of_its_clone() -> None:
    galaxy = TOP / "collections/ansible_collections/cdg59/creatic/galaxy.yml"  # where Ansible wants it written
    assert yaml.safe_load(galaxy.read_text(encoding="utf-8"))["version"] == project(TOP / "pyproject.toml")["version"]
