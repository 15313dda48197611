"""The control node moves: what was open is closed once it is saved, and says where it went."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from creatic.backup import move
from creatic.backup.move import MoveRefusedError, depart
from creatic.evidence import history
from creatic.evidence.history import Note
from creatic.evidence.store import lock_commune
from creatic.registry import environment
from creatic.registry.environment import InvalidEnvironmentError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "etat"
    folder.mkdir()
    Note(folder, ["fab", "commune.deployer", "loos"]).end("réussi")
    Note(folder, ["fab", "sauvegarde.demenager", "--vers", "poste2"])  # this one, which goes on
    return folder


def claimed(home: Path, tmp_path: Path) -> str:
    (tmp_path / "inventaire").mkdir(exist_ok=True)
    (tmp_path / "inventaire" / "groupement.yml").touch()
    return environment.claim(home, "production", tmp_path / "inventaire")


def test_closed_after_its_last_backup_and_says_where_it_went(home: Path, tmp_path: Path) -> None:
    claimed(home, tmp_path)
    seen: list[bool] = []

    def save() -> bool:
        seen.append((home / environment.MOVED).exists())
        return True

    depart(home, "poste2.cdg59.fr", "camille sur poste1", save)
    assert seen == [False], "what is saved is open: it is what comes back"
    with pytest.raises(
        InvalidEnvironmentError, match=r"a déménagé vers « poste2.cdg59.fr » le .* \(camille sur poste1\)"
    ):
        claimed(home, tmp_path)
    (home / environment.MOVED).unlink()
    assert claimed(home, tmp_path) == ""


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00"])
def test_a_mark_that_cannot_be_read_closes_all_the_same(home: Path, tmp_path: Path, content: str) -> None:
    (home / environment.MOVED).write_text(content)
    with pytest.raises(InvalidEnvironmentError, match="a déménagé"):
        claimed(home, tmp_path)


@pytest.mark.parametrize("towards", ["", "  ", "a\nb", "x" * 101])
def test_a_name_that_is_none_is_refused(home: Path, towards: str) -> None:
    with pytest.raises(MoveRefusedError, match="--vers"):
        depart(home, towards, "camille", lambda: True)
    assert not (home / environment.MOVED).exists()


def test_a_backup_that_fails_closes_nothing(home: Path, tmp_path: Path) -> None:
    with pytest.raises(MoveRefusedError, match="reste ouvert"):
        depart(home, "poste2", "camille", lambda: False)
    assert not (home / environment.MOVED).exists()


def _begun(home: Path) -> bool:
    Note(home, ["fab", "pki.revoquer", "--hote", "x"])
    return True


def _done(home: Path) -> bool:
    Note(home, ["fab", "pki.revoquer", "--hote", "x"]).end("réussi")
    return True


def test_another_command_is_waited_for(home: Path) -> None:
    _begun(home)
    with pytest.raises(MoveRefusedError, match=r"« fab pki.revoquer --hote x » \(.*\) est en cours"):
        depart(home, "poste2", "camille", lambda: pytest.fail("nothing is saved"))


@pytest.mark.parametrize("meanwhile", [_begun, _done])
def test_what_was_done_during_the_backup_asks_for_another(home: Path, meanwhile: Callable[[Path], bool]) -> None:
    with pytest.raises(MoveRefusedError, match="pendant la sauvegarde"):
        depart(home, "poste2", "camille", lambda: meanwhile(home))
    assert not (home / environment.MOVED).exists()


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_playbook_that_holds_a_lock_is_waited_for(home: Path, when: str) -> None:
    """ansible-playbook is no command of fab: the history does not know it."""

    def deployed() -> bool:
        lock_commune(home / "verrous", "loos", os.getpid(), "lea@poste1")
        return True

    assert when == "during" or deployed()
    with pytest.raises(MoveRefusedError, match=r"verrou « loos » .*lancé par lea@poste1 .*reste ouvert"):
        depart(home, "poste2", "camille", deployed)
    assert not (home / environment.MOVED).exists()
    (home / "verrous" / "loos.json").unlink()
    depart(home, "poste2", "camille", lambda: True)


@pytest.mark.parametrize("command", ["sauvegarde.faire", "sauvegarde.demenager --vers poste1"])
def test_a_control_node_that_came_from_a_backup_can_move_in_turn(home: Path, command: str) -> None:
    """The backup that brought it holds the command that made it, without an end, by the name of the one before."""
    who = {"proprietaire": "camille@poste0", "machine": "poste0", "pid": 1, "processus": "demarrage/1"}
    entry = {"id": "0", "le": "2026-11-25T00:30:00+00:00", "par": "camille@poste0", "commande": f"fab {command}"}
    file = home / history.FILE
    file.write_text(json.dumps(entry | {"qui": who}) + "\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    depart(home, "poste2", "camille", lambda: True)
    assert (home / environment.MOVED).exists()


def test_two_who_move_it_at_once_are_told(home: Path) -> None:
    Note(home, ["fab", "sauvegarde.demenager", "--vers", "poste3"])
    with pytest.raises(MoveRefusedError, match="est en cours"):
        depart(home, "poste2", "camille", lambda: True)


def test_the_mark_is_plain_data(home: Path) -> None:
    depart(home, " poste2 ", "camille", lambda: True)
    mark = json.loads((home / environment.MOVED).read_text(encoding="utf-8"))
    assert (mark["vers"], mark["par"]) == ("poste2", "camille") and move.COMMAND == "sauvegarde.demenager"
