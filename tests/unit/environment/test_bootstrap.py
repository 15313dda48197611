"""scripts/bootstrap, with a pip that notes what it is asked for, and a Debian that brings whatever lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).parents[3]
LOCKS = ("requirements.lock", "requirements-essais.lock", "requirements-schemas.lock")
PRODUCTION = ["install -q --require-hashes -r requirements.lock"]
ALL = [
    "install -q --require-hashes -r requirements.lock -r requirements-essais.lock",
    "install -q --require-hashes --no-deps -r requirements-schemas.lock",
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone that has its scripts and locks; neither Debian's packages nor Python's are fetched."""
    top = tmp_path / "clone"
    for folder in ("scripts", ".venv/bin", ".venv/lib/python3.13/site-packages"):
        (top / folder).mkdir(parents=True)
    shutil.copy(REPO / "scripts" / "bootstrap", top / "scripts")
    for name in LOCKS:
        (top / name).write_text(f"# {name}\n")
    program(top / ".venv/bin/python")
    program(top / ".venv/bin/pip", f'echo "$*" >>{tmp_path}/pip; [ ! -e {tmp_path}/coupure ]')
    for name in ("apt-get", "systemctl", "sudo"):
        program(tmp_path / "bin" / name)
    program(tmp_path / "bin" / "dpkg")
    return top


def program(path: Path, text: str = "") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def asked(clone: Path, *arguments: str, status: int = 0) -> list[str]:
    """What pip is asked for by one run."""
    noted = clone.parent / "pip"
    noted.unlink(missing_ok=True)
    path = f"{clone.parent / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [clone / "scripts" / "bootstrap", *arguments], env=os.environ | {"PATH": path}, capture_output=True, check=False
    )
    assert done.returncode == status, done.stderr
    return noted.read_text().splitlines() if noted.exists() else []


def test_production_installs_its_own_lock_alone_and_tests_theirs_besides(clone: Path) -> None:
    assert asked(clone, "production") == PRODUCTION
    assert asked(clone, "production") == []
    assert asked(clone) == ALL
    assert asked(clone) == asked(clone, "uml") == asked(clone, "production") == []


@pytest.mark.parametrize("lock", LOCKS)
def test_what_changed_is_installed_by_who_asks_for_it(clone: Path, lock: str) -> None:
    assert asked(clone) == ALL
    (clone / lock).write_text("# other versions\n")
    assert asked(clone, "production") == (PRODUCTION if lock == "requirements.lock" else [])
    assert asked(clone) == ([] if lock == "requirements.lock" else ALL)


def test_an_installation_that_was_cut_off_is_made_again_even_of_the_lock_of_before(clone: Path) -> None:
    assert asked(clone, "production") == PRODUCTION
    before = (clone / "requirements.lock").read_text()
    (clone / "requirements.lock").write_text("# other versions\n")
    (clone.parent / "coupure").touch()
    assert asked(clone, "production", status=1) == PRODUCTION
    (clone.parent / "coupure").unlink()
    (clone / "requirements.lock").write_text(before)
    assert asked(clone, "production") == PRODUCTION
