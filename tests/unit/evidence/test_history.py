"""The history of the control node's commands: each once, with its author and its end, whatever happened to it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from creatic.evidence import history
from creatic.evidence.store import TIMER_VARIABLE
from testbed.control_node import REPO
from testbed.programs import fabs


def test_a_command_is_kept_with_its_author_and_its_end(tmp_path: Path) -> None:
    note = history.Note(tmp_path / "etat", ["fab", "commune.deployer", "gondecourt", "--limite", "vague 2"])
    [going] = history.read(tmp_path / "etat")
    assert (going.result, going.seconds) == ("en cours", None)
    note.end(history.FAILED)
    [entry] = history.read(tmp_path / "etat")
    assert entry.command == 'fab commune.deployer gondecourt --limite "vague 2"'
    assert "@" in entry.by and entry.result == "échec" and entry.seconds is not None
    file = tmp_path / "etat" / history.FILE
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o600, 0o700]


def test_a_killed_command_is_told_as_such(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from creatic.evidence import history
history.Note(Path({str(tmp_path)!r}), ["fab", "archive.correctifs"])
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(REPO / "collections")}, check=False
    )
    [entry] = history.read(tmp_path)
    assert (entry.command, entry.result) == ("fab archive.correctifs", "interrompu, sans fin")


def test_lines_that_cannot_be_read_keep_no_other(tmp_path: Path) -> None:
    history.Note(tmp_path, ["fab", "audit"]).end(history.DONE)
    file = tmp_path / history.FILE
    file.write_bytes(b'{"id": 1\n\xff\xfe\n[]\n{"resultat": "x"}\n{"id": {}}\n' + file.read_bytes() + b'{"id": "2026')
    assert [entry.command for entry in history.read(tmp_path)] == ["fab audit"]


def test_what_two_operators_write_does_not_mix(tmp_path: Path) -> None:
    def work(who: int) -> None:
        for turn in range(50):
            history.Note(tmp_path, ["fab", "commune.deployer", f"commune-{who}-{turn}" + "x" * 200])

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / history.FILE).read_text().splitlines()
    assert len({json.loads(line)["commande"] for line in lines}) == 200


def test_a_link_planted_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / history.FILE).symlink_to(tmp_path / "ailleurs")
    with pytest.raises(OSError):
        history.Note(tmp_path, ["fab", "audit"])
    assert not (tmp_path / "ailleurs").exists()


def test_the_history_is_searched(tmp_path: Path) -> None:
    assert history.read(tmp_path) == []
    for command, result in (("commune.deployer", history.DONE), ("pki.rotation", history.FAILED)):
        history.Note(tmp_path, ["fab", command]).end(result)
    assert [entry.command for entry in history.read(tmp_path, "COMM")] == ["fab commune.deployer"]
    assert [entry.command for entry in history.read(tmp_path, "échec")] == ["fab pki.rotation"]
    assert history.read(tmp_path, "audit") == []


def test_fab_notes_what_changes_and_shows_it(tmp_path: Path) -> None:
    lines = (
        *("historique", "pki.registre", "commune.deployer nulle-part"),
        *("historique", "historique --mot audit", "historique --nombre beaucoup"),
    )
    variables = {"CREATIC_INVENTORY": "inventories/lab", "CREATIC_HOME": str(tmp_path)}
    before, registry, failed, shown, none, wrong = fabs(
        [(line.split(), {}) for line in lines], REPO, os.environ | variables
    )
    assert "Aucune commande n'a encore été lancée." in before.stdout
    assert registry.returncode
    assert failed.returncode == 2
    assert shown.returncode == 0, shown.stderr
    told = shown.stdout
    assert "fab commune.deployer nulle-part" in told and "échec" in told and "pki.registre" not in told
    assert "ne contient « audit »" in none.stdout
    assert wrong.returncode == 2


def timer(monkeypatch: pytest.MonkeyPatch, home: Path, command: str, result: str) -> None:
    """A timer runs a command of fab, which ends so."""
    with monkeypatch.context() as patched:
        patched.setenv(TIMER_VARIABLE, command)
        history.Note(home, ["fab", command]).end(result)


def test_who_came_by_sudo_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "lea")
    history.Note(tmp_path, ["fab", "audit"]).end(history.DONE)
    timer(monkeypatch, tmp_path, "sauvegarde.faire", history.DONE)
    host = socket.gethostname()
    assert [entry.by for entry in history.read(tmp_path)] == [f"lea@{host}", f"minuterie@{host}"]


def test_what_failed_while_nobody_looked_is_told_until_it_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    history.Note(tmp_path, ["fab", "archive.sceaux"]).end(history.FAILED)  # a person saw it fail
    timer(monkeypatch, tmp_path, "sauvegarde.faire", history.FAILED)
    timer(monkeypatch, tmp_path, "pki.revocations", history.FAILED)
    timer(monkeypatch, tmp_path, "pki.revocations", history.DONE)
    told = history.unattended(tmp_path)
    assert list(told) == ["fab sauvegarde.faire"]
    assert "La tâche planifiée « fab sauvegarde.faire » a échoué le " in told["fab sauvegarde.faire"]
    assert "journalctl -u 'creatic-fab@sauvegarde.faire.service'" in told["fab sauvegarde.faire"]
    history.Note(tmp_path, ["fab", "sauvegarde.faire"])  # goes on: it settles nothing yet
    assert list(history.unattended(tmp_path)) == ["fab sauvegarde.faire"]
    history.Note(tmp_path, ["fab", "sauvegarde.faire"]).end(history.DONE)
    assert history.unattended(tmp_path) == {}


def test_a_failure_noted_under_a_former_name_is_settled_by_the_name_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer of before the update failed; what people are told to run, and the timer of after it, end that."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    timer(monkeypatch, tmp_path, "pki.listes", history.FAILED)
    [(command, told)] = history.unattended(tmp_path).items()
    assert command == "fab pki.revocations" and told.endswith("puis lancez fab pki.revocations.")
    assert "creatic-fab@pki.listes.service" in told  # where its journal is
    history.Note(tmp_path, ["fab", "pki.revocations"]).end(history.DONE)
    assert history.unattended(tmp_path) == {}


def test_a_timer_that_was_killed_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timer(monkeypatch, tmp_path, "pki.revocations", history.DONE)
    file = tmp_path / history.FILE
    begun = json.loads(file.read_text().splitlines()[0])
    begun |= {"id": "1", "qui": {"machine": socket.gethostname(), "pid": 2**22 + 1, "processus": 1}, "le": "hier"}
    file.write_text(file.read_text() + json.dumps(begun) + "\n")
    [told] = history.unattended(tmp_path).values()
    assert "a échoué à une date illisible" in told


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\x85"])
def test_no_character_hides_a_command(tmp_path: Path, char: str) -> None:
    """Unicode has more ends of lines than the one between two entries."""
    history.Note(tmp_path, ["fab", "pki.revoquer", "--hote", f"x{char}"]).end(history.DONE)
    [entry] = history.read(tmp_path)
    assert entry.command.startswith("fab pki.revoquer") and entry.result == history.DONE


def test_a_line_cut_short_takes_no_other_with_it(tmp_path: Path) -> None:
    """The disk was full, then had room again."""
    (tmp_path / history.FILE).write_bytes(b'{"id": "2026')
    history.Note(tmp_path, ["fab", "audit"]).end(history.DONE)
    assert [(entry.command, entry.result) for entry in history.read(tmp_path)] == [("fab audit", history.DONE)]
    assert b"\n\n" not in (tmp_path / history.FILE).read_bytes()


@pytest.mark.parametrize("who", ["lea", [1], {"processus": 1}, {"processus": 1, "pid": "x"}])
def test_an_owner_that_cannot_be_read_keeps_no_command_from_being_run(tmp_path: Path, who: object) -> None:
    """Every command of fab reads the history first."""
    who = who | {"machine": socket.gethostname()} if isinstance(who, dict) else who
    entry = {"id": "0", "le": "hier", "par": f"minuterie@{socket.gethostname()}", "commande": "fab audit", "qui": who}
    (tmp_path / history.FILE).write_text(json.dumps(entry) + "\n")
    assert list(history.unattended(tmp_path)) == ["fab audit"]


def elsewhere(home: Path, command: str, by: str) -> None:
    """A command without an end, noted by a control node of another name: it is in the backup that it made itself."""
    who = {"proprietaire": by, "machine": "poste1", "pid": os.getpid(), "processus": "demarrage/1"}
    entry = {"id": command, "le": "2026-11-25T00:30:00+00:00", "par": by, "commande": command, "qui": who}
    with (home / history.FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def test_what_the_control_node_of_before_had_begun_goes_on_no_more(tmp_path: Path) -> None:
    elsewhere(tmp_path, "fab sauvegarde.faire", "minuterie@poste1")
    [entry] = history.read(tmp_path)
    assert entry.result == "interrompu, sans fin"
    assert history.unattended(tmp_path) == {}, "its journal is not here"
