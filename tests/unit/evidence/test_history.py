"""The history of the control node's commands: each once, with its author and its end, whatever happened to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import history

from testbed.control_node import REPO


def test_a_command_is_kept_with_its_author_and_its_end(tmp_path: Path) -> None:
    note = history.Note(tmp_path / "etat", ["fab", "rollout", "gondecourt", "--limit", "vague 2"])
    [going] = history.read(tmp_path / "etat")
    assert (going.result, going.seconds) == ("en cours", None)
    note.end(history.FAILED)
    [entry] = history.read(tmp_path / "etat")
    assert entry.command == 'fab rollout gondecourt --limit "vague 2"'
    assert "@" in entry.by and entry.result == "échec" and entry.seconds is not None
    file = tmp_path / "etat" / history.FILE
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o600, 0o700]


def test_a_killed_command_is_told_as_such(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import history
history.Note(Path({str(tmp_path)!r}), ["fab", "archive.patch"])
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(REPO / "collections")}, check=False
    )
    [entry] = history.read(tmp_path)
    assert (entry.command, entry.result) == ("fab archive.patch", "interrompu, sans fin")


def test_lines_that_cannot_be_read_keep_no_other(tmp_path: Path) -> None:
    history.Note(tmp_path, ["fab", "audit"]).end(history.DONE)
    file = tmp_path / history.FILE
    file.write_bytes(b'{"id": 1\n\xff\xfe\n[]\n{"resultat": "x"}\n{"id": {}}\n' + file.read_bytes() + b'{"id": "2026')
    assert [entry.command for entry in history.read(tmp_path)] == ["fab audit"]


def test_what_two_operators_write_does_not_mix(tmp_path: Path) -> None:
    def work(who: int) -> None:
        for turn in range(50):
            history.Note(tmp_path, ["fab", "rollout", f"commune-{who}-{turn}" + "x" * 200])

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
    for command, result in (("rollout", history.DONE), ("pki.rotate", history.FAILED)):
        history.Note(tmp_path, ["fab", command]).end(result)
    assert [entry.command for entry in history.read(tmp_path, "ROLL")] == ["fab rollout"]
    assert [entry.command for entry in history.read(tmp_path, "échec")] == ["fab pki.rotate"]
    assert history.read(tmp_path, "audit") == []


def test_fab_notes_what_changes_and_shows_it(tmp_path: Path) -> None:
    def fab(*arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {"CREATIC_INVENTORY": "inventories/lab", "CREATIC_HOME": str(tmp_path)}
        return subprocess.run(
            [Path(sys.executable).parent / "fab", *arguments],
            cwd=REPO,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    assert "Aucune commande n'a encore été lancée." in fab("historique").stdout
    assert fab("pki.list").returncode
    assert fab("rollout", "nulle-part").returncode == 2
    shown = fab("historique")
    assert shown.returncode == 0, shown.stderr
    assert "fab rollout nulle-part" in shown.stdout and "échec" in shown.stdout and "pki.list" not in shown.stdout
    assert "ne contient « audit »" in fab("historique", "--mot", "audit").stdout
    assert fab("historique", "--nombre", "beaucoup").returncode == 2
