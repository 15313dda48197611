"""scripts/release.py: a tag stands on a commit that every part of the tests proved, and holds what they took."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[3]
GALAXY = "collections/ansible_collections/cdg59/creatic/galaxy.yml"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A tree that says to be 1.0.0, in one commit."""
    top = tmp_path / "clone"
    (top / GALAXY).parent.mkdir(parents=True)
    (top / "scripts").mkdir()
    for name in ("release.py", "run_tests.py"):
        shutil.copy(REPO / "scripts" / name, top / "scripts")
    (top / "pyproject.toml").write_text('[project]\nversion = "1.0.0"\n')
    (top / GALAXY).write_text("---\nname: creatic\nversion: 1.0.0\nreadme: README.md\n")
    (top / "CHANGELOG.md").write_text("# Changes\n\n## [1.0.0] - 2027-01-01\n- Tout.\n")
    (top / ".gitignore").write_text(".cache/\n__pycache__/\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "First"]):
        git(top, *words)
    return top


def git(top: Path, *words: str) -> str:
    who = ("-c", "user.name=Essai", "-c", "user.email=essai@example.org")
    return subprocess.run(["git", *who, *words], cwd=top, capture_output=True, text=True, check=True).stdout.strip()


def release(top: Path, *records: Path) -> tuple[int, str]:
    known = {f"GIT_{who}_{what}": "essai@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        [sys.executable, "-B", top / "scripts" / "release.py", *records], env=os.environ | known,
        capture_output=True, text=True, check=False,
    )  # fmt: skip # one argument a line says no more
    return done.returncode, done.stdout + done.stderr


def record(path: Path, top: Path, *names: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"prouve": {git(top, "rev-parse", "HEAD"): dict.fromkeys(names, 42)}}))
    return path


def parts(top: Path) -> list[str]:
    status, said = release(top)
    assert status == 1
    return said.partition(" : ")[2].partition(". À faire")[0].split(", ")


def test_what_several_machines_proved_is_tagged_with_its_record(clone: Path, tmp_path: Path) -> None:
    asked = parts(clone)
    assert {"unit", "journeys", "drills", "production", "fuzz"} <= {*asked}
    here = record(clone / ".cache" / "essais.json", clone, *asked[:9])
    there = record(tmp_path / "autre.json", clone, *asked[9:])
    status, said = release(clone)
    assert status == 1 and asked[9] in said and asked[8] not in said.partition("Rien ne prouve")[2].split(", ")
    status, said = release(clone, there)
    assert (status, "v1.0.0" in said) == (0, True), said
    assert git(clone, "cat-file", "-t", "v1.0.0") == "tag"
    told = git(clone, "tag", "--list", "v1.0.0", "--format", "%(contents)")
    assert {f"{name} : 42 s" for name in asked} <= {*told.splitlines()}
    assert here.is_file()
    status, said = release(clone, there)
    assert status == 1 and "v1.0.0 existe déjà" in said


def test_what_is_no_release_is_told_each_with_what_to_do(clone: Path) -> None:
    record(clone / ".cache" / "essais.json", clone, *parts(clone))
    (clone / "pyproject.toml").write_text('[project]\nversion = "1.0.1"\n')
    status, said = release(clone)
    assert status == 1 and git(clone, "tag") == ""
    for word in ("Des fichiers ne sont pas dans le commit", "chapitre « ## [1.0.1] »", "version: 1.0.1"):
        assert word in said
    git(clone, "commit", "-qam", "Second")
    assert "Rien ne prouve encore" in release(clone)[1]  # the record is of the commit before
