"""The protocol of the proofs: what is accepted, what is refused and how it is said."""

from __future__ import annotations

import base64
import getpass
import json
import os
import pwd
import stat
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.action import proof as action
from ansible_collections.cdg59.creatic.plugins.action.proof import keep_files
from ansible_collections.cdg59.creatic.plugins.module_utils.proof import (
    MAX_FILE,
    MAX_FILES,
    ProofError,
    parse,
    read_files,
    run,
)

GOOD = {"cle": "rgs", "libelle": "RGS", "verdict": "ok", "detail": "oui", "mesures": {"n": 1}}


def told(*proofs: Any, files: Any = ()) -> str:
    """The output of a command."""
    return json.dumps({"preuves": list(proofs), "fichiers": files})


def script(folder: Path, body: str) -> str:
    """A command."""
    path = folder / "preuve"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_good_output_is_read_with_every_field() -> None:
    proofs, files = parse(told(GOOD, {"cle": "acte", "verdict": "attention"}, files=["/a/b.png"]))
    assert proofs[0] == GOOD | {"remede": ""}
    assert proofs[1] == {
        "cle": "acte",
        "libelle": "acte",
        "verdict": "attention",
        "detail": "",
        "remede": "",
        "mesures": {},
    }
    assert files == ["/a/b.png"]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "n'a pas rendu de JSON, mais : rien"),
        ("Traceback (most recent call last):", "Traceback"),
        ("[]", "liste « preuves »"),
        ('{"preuves": {}}', "liste « preuves »"),
        (told("rgs"), "preuve n° 1 : champ « cle » absent"),
        (told(GOOD, {"verdict": "ok"}), "preuve n° 2 : champ « cle » absent"),
        (told(GOOD | {"verdict": "OK"}), "verdict « OK » inconnu"),
        (told(GOOD, GOOD), "deux fois la même clé"),
        (told(GOOD, files=["relatif.png"]), "chemins absolus"),
        (told(GOOD, files="/x"), "chemins absolus"),
    ],
)
def test_a_bad_output_is_refused_in_french(output: str, words: str) -> None:
    with pytest.raises(ProofError, match=words):
        parse(output)


def test_the_command_runs_with_a_clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "canari")
    command = script(
        tmp_path, """printf '{"preuves":[{"cle":"x","verdict":"ok","detail":"%s %s"}]}' "$HOME" "$SECRET" """
    )
    proofs, _ = run([command], getpass.getuser(), 10)
    assert proofs[0]["detail"] == f"{pwd.getpwuid(os.getuid()).pw_dir} "


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo oups >&2; exit 3", r"n'a pas rendu de JSON, mais : rien \(oups\)"),
        ("sleep 20", "n'a pas répondu en 1 s"),
    ],
)
def test_a_broken_command_is_said(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(ProofError, match=words):
        run([script(tmp_path, body)], getpass.getuser(), 1)


def test_a_missing_command_and_a_missing_account_are_said(tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="est absent de l'hôte"):
        run([str(tmp_path / "absent")], getpass.getuser(), 1)
    with pytest.raises(ProofError, match="le compte fantome n'existe pas"):
        run(["true"], "fantome", 1)


def test_files_are_read_and_kept_whole(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for place in ("capture.png", "a/capture.png"):
        (tmp_path / place).write_bytes(place.encode())
    files = read_files([str(tmp_path / "capture.png"), str(tmp_path / "a" / "capture.png")])
    kept = keep_files(tmp_path / "run" / "pc", "pc", files)
    assert [item["chemin"] for item in kept] == ["pc/capture.png", "pc/1-capture.png"]
    assert (tmp_path / "run" / "pc" / "1-capture.png").read_bytes() == b"a/capture.png"


@pytest.mark.parametrize("name", ["page.html", "image.svg", "script.js", "sans-type"])
def test_what_a_browser_would_run_is_not_collected(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x", encoding="utf-8")
    with pytest.raises(ProofError, match="type de fichier refusé"):
        read_files([str(tmp_path / name)])


def test_missing_big_and_too_many_files_are_refused(tmp_path: Path) -> None:
    big = tmp_path / "gros.png"
    with big.open("wb") as stream:
        stream.truncate(MAX_FILE + 1)
    with pytest.raises(ProofError, match="au plus"):
        read_files([str(big)])
    with pytest.raises(ProofError, match="illisible"):
        read_files([str(tmp_path / "absent.png")])
    with pytest.raises(ProofError, match="31 fichiers"):
        read_files(["/x.png"] * (MAX_FILES + 1))


@pytest.mark.parametrize("name", ["../../evasion.png", "/etc/evasion.png"])
def test_a_name_cannot_leave_the_evidence(tmp_path: Path, name: str) -> None:
    content = b"x"
    item = {"nom": name, "octets": 1, "contenu": base64.b64encode(content).decode()}
    item["sha256"] = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    keep_files(tmp_path / "run", "pc", [item])
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["evasion.png"]


def test_a_file_changed_on_its_way_is_refused(tmp_path: Path) -> None:
    item = {"nom": "a.png", "octets": 1, "contenu": base64.b64encode(b"y").decode(), "sha256": "0" * 64}
    with pytest.raises(AnsibleActionFail, match="modifié pendant son transfert"):
        keep_files(tmp_path, "pc", [item])


def test_the_limits_are_those_of_a_collection() -> None:
    assert (MAX_FILE, MAX_FILES) == (8 * 1024 * 1024, 30)


class Play:
    """Runs the action; the host's answer is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: dict[str, Any] = {}
        monkeypatch.setattr(action.ActionModule, "_execute_module", lambda _self, **sent: self._module(**sent))

    def _module(self, module_name: str, module_args: dict[str, Any], **_options: Any) -> dict[str, Any]:
        assert (module_name, module_args["command"]) == ("cdg59.creatic.proof", ["x"])
        return self.answer

    def run(self, *required: str) -> dict[str, Any]:
        task = MagicMock(args={"command": ["x"], **({"required": list(required)} if required else {})}, async_val=0)
        made = action.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
        result: dict[str, Any] = made.run(
            None, {"inventory_hostname": "gondecourt-pc", "creatic_commune": {"slug": "gondecourt"}}
        )
        return result


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Play:
    monkeypatch.setenv(action.RUN_FOLDER, str(tmp_path / "run"))
    return Play(monkeypatch)


def test_what_is_required_is_there_and_good(play: Play, tmp_path: Path) -> None:
    (tmp_path / "capture.png").write_bytes(b"image")
    proofs = [GOOD, GOOD | {"cle": "acces", "libelle": "Accès", "verdict": "echec", "detail": "refusé"}]
    proof = {"preuves": proofs, "fichiers": read_files([str(tmp_path / "capture.png")])}

    def answer() -> dict[str, Any]:
        return {"changed": False, "creatic_proof": dict(proof)}

    play.answer = answer()
    result = play.run("rgs")
    assert "failed" not in result
    assert [one["chemin"] for one in result["creatic_proof"]["fichiers"]] == ["gondecourt-pc/capture.png"]
    assert (tmp_path / "run" / "gondecourt" / "gondecourt-pc" / "capture.png").read_bytes() == b"image"
    play.answer = answer()
    assert "failed" not in play.run()
    play.answer = answer()
    result = play.run("rgs", "acces", "absente")
    assert result["failed"] is True
    assert result["msg"] == "Accès : refusé ; preuve « absente » absente"
    play.answer = answer() | {"failed": True, "msg": "la raison"}
    assert play.run("absente")["msg"] == "la raison"


def test_an_answer_without_proof_is_passed_on(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    play.answer = {"failed": True, "msg": "x"}
    assert play.run("rgs") == {"failed": True, "msg": "x"}
    monkeypatch.delenv(action.RUN_FOLDER)
    assert play.run("rgs") == {"failed": True, "msg": "x"}
    play.answer = {"creatic_proof": {"preuves": [], "fichiers": []}}
    with pytest.raises(
        AnsibleActionFail, match=r"^aucun déploiement n'est suivi : lancer playbooks/journeys/rollout.yml"
    ):
        play.run("rgs")
