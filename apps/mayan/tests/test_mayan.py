"""Mayan with what we add to it: accounts, tokens, open pages, circuits, doors, in a process of its own Python."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.host import locked_venv

from testbed.patience import allowed

HERE = Path(__file__).parent
ROLE = HERE.parents[2] / "roles" / "mayan"
CACHE = Path("~/.cache/creatic").expanduser()


def wanted() -> locked_venv.Wanted:
    """The environment that the role installs."""
    tasks = yaml.safe_load((ROLE / "tasks" / "environment.yml").read_text(encoding="utf-8"))
    [given] = [one["cdg59.creatic.locked_venv"] for one in tasks if "cdg59.creatic.locked_venv" in one]
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
    files = ROLE / "files"
    return locked_venv.Wanted(
        Path(given["root"]),
        files / given["requirements"],
        files / given["build_requirements"],
        tuple(given["assets_command"]),
        files / given["assets_lock"],
        {path: (files / name).read_bytes() for path, name in variables["__mayan_site_packages"].items()},
    )


@pytest.fixture(scope="session")
def python() -> Path:
    """Mayan's Python, unpacked once from the bundle that a deployment left in the cache."""
    name = wanted().name
    bundle, unpacked = CACHE / "bundles" / f"{name}.tar", CACHE / "essais"
    if not bundle.exists() or not Path(locked_venv.PYTHON).exists():
        pytest.skip(f"needs {locked_venv.PYTHON}, and Mayan's bundle, which deploying the GED or the parapheur makes")
    unpacked.mkdir(exist_ok=True)
    with (unpacked / ".verrou").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not locked_venv.is_installed(unpacked, name):
            locked_venv.install(unpacked, name, bundle)
        locked_venv.remove_others(unpacked, [name])
    return unpacked / name / "bin" / "python"


@pytest.mark.costly
@pytest.mark.parametrize("script", ["in_process.py", "doors_in_process.py"])
def test_mayan(python: Path, script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-B", "-W", "ignore", HERE / script],
        env=os.environ | {"HOME": "/nonexistent", "TMPDIR": str(tmp_path)},  # Mayan keeps its locks in the latter
        capture_output=True,
        text=True,
        timeout=allowed(300),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
