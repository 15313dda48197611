#!/usr/bin/env python3
"""Satisfy requirements.yml without Galaxy: extract the collections it names from the pinned ``ansible`` wheel.

requirements.yml stays the list and the truth (names and exact versions); requirements-collections.lock pins
the wheel and its hash. Exits 1 with a French message when the wheel does not hold what the list asks for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml

TOP = Path(__file__).parents[1]
TREE = TOP / "collections" / "ansible_collections"


def installed_version(name: str) -> str | None:
    """Version of an installed collection (``namespace.name``), None when it is absent."""
    manifest = TREE.joinpath(*name.split("."), "MANIFEST.json")
    if not manifest.exists():
        return None
    version: str = json.loads(manifest.read_text())["collection_info"]["version"]
    return version


def missing(wanted: dict[str, str]) -> dict[str, str]:
    """Collections whose installed version is not the wanted one."""
    return {name: version for name, version in wanted.items() if installed_version(name) != version}


def main() -> int:
    listed = yaml.safe_load((TOP / "requirements.yml").read_text())["collections"]
    wanted = {entry["name"]: entry["version"] for entry in listed}
    if not missing(wanted):
        return 0
    print(f"== Collections Ansible : {', '.join(sorted(missing(wanted)))} (téléchargées dans le paquet « ansible »)")
    with tempfile.TemporaryDirectory() as folder:
        lock = TOP / "requirements-collections.lock"
        command = ["download", "-q", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", str(lock)]
        subprocess.run([sys.executable, "-m", "pip", *command, "-d", folder], check=True)
        (wheel,) = Path(folder).glob("ansible-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in missing(wanted):
                prefix = f"ansible_collections/{name.replace('.', '/')}/"
                archive.extractall(TREE.parent, [entry for entry in archive.namelist() if entry.startswith(prefix)])
    left = missing(wanted)
    for name, version in left.items():
        print(f"requirements.yml : {name} {version} demandée, {installed_version(name)} dans le paquet « ansible »")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
