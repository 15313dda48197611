"""The version is said in one place; what must repeat it says the same."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

TOP = Path(__file__).parents[3]


def test_the_collection_has_the_version_of_its_clone() -> None:
    galaxy = TOP / "collections/ansible_collections/cdg59/creatic/galaxy.yml"  # where Ansible wants it written
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert yaml.safe_load(galaxy.read_text(encoding="utf-8"))["version"] == project["version"]
