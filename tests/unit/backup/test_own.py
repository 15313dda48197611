"""The control node's own backup: what makes it is whole beside its configuration, and is the clone's of now."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from creatic.backup import drill as backup_drill
from creatic.cli import common, exploitation

TOP = Path(__file__).parents[3]


def clone(place: Path) -> Path:
    """What its role and its program are made of."""
    for name in (
        "roles/backup_client",
        "apps/sauvegarde",
        "apps/common",
        "creatic",
        "playbooks/journeys",
        "collections",
    ):
        shutil.copytree(TOP / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    shutil.copy(TOP / "ansible.cfg", place)
    return place


def made(top: Path, home: Path) -> Path:
    """Make what backs a state up, as the journey does; gives the program."""
    given: dict[str, Any] = {
        "creatic_home": str(home),
        "backup_client_server": "192.0.2.1",
        "backup_client_server_key": "192.0.2.1 ssh-ed25519 AAAA",
        "backup_client_holders": [],
        "__backup_client_keys_argv": ["true"],  # keys are not what is looked at
    }
    done = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "-e", json.dumps(given), "playbooks/journeys/own_backup.yml"],
        cwd=top,
        env=os.environ | {"ANSIBLE_CONFIG": str(top / "ansible.cfg"), "CREATIC_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return home / "sauvegardes" / backup_drill.CONTROL / "creatic-sauvegarde"


def test_it_needs_nothing_of_a_clone_that_an_update_moves(tmp_path: Path) -> None:
    """An update moved the applications: each night's backup then said « No module named creatic_sauvegarde »."""
    top, home = clone(tmp_path / "clone"), tmp_path / "état d'ici"
    home.mkdir(mode=0o700)
    program = made(top, home)
    shutil.rmtree(top)
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "restaurer" in done.stdout, done.stderr


@pytest.mark.parametrize("renewed", [True, False])
def test_what_makes_it_is_renewed_first_and_one_of_before_saves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], renewed: bool
) -> None:
    program = tmp_path / "sauvegardes" / backup_drill.CONTROL / "creatic-sauvegarde"
    program.parent.mkdir(parents=True)
    program.touch()
    asked: list[str] = []

    def answer(_context: object, *command: str) -> bool:
        asked.append(" ".join(command))
        return renewed

    def run(command: str, warn: bool) -> SimpleNamespace:
        asked.append(command)
        return SimpleNamespace(stdout=f"Sauvegarde poste : {warn}")

    monkeypatch.setattr(common, "must_have", lambda _profile: None)
    monkeypatch.setattr(common, "home", lambda: tmp_path)
    monkeypatch.setattr(common, "answer", answer)
    assert exploitation._save_control_node(SimpleNamespace(run=run)) == "Sauvegarde poste : True"
    assert asked == ["ansible-playbook playbooks/journeys/own_backup.yml", f"{program} faire"]
    assert ("n'a pu être mis à jour" in capsys.readouterr().err) is not renewed
