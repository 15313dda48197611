"""What the program of lots says, and what becomes of each archive that it gives or was handed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from creatic_sauvegarde import borg, lots
from creatic_sauvegarde.settings import Settings

ENDS = """
import sys
sys.stdin.buffer.read()
print({said!r})
sys.stderr.write({error!r})
sys.exit({status})
"""


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/usr/bin/python3 -I\n{text}")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("said", "error", "status", "told", "failed"),
    [
        ({"nom": "c/a.tar", "fait": "c/a : remise", "refus": ""}, "", 0, ["c/a : remise"], []),
        ({"nom": "c/a.tar", "fait": "", "refus": "c/a : abîmée"}, "", 0, [], ["c/a : abîmée"]),
        ({"nom": "autre", "fait": "x", "refus": ""}, "accès refusé à /é\n", 1, [], ["accès refusé à /é"]),
        ({"nom": "autre", "fait": "x", "refus": ""}, "", 3, [], ["PROGRAM a échoué"]),
    ],
)
def test_the_program_s_own_words_are_given(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, str],
    error: str,
    status: int,
    told: list[str],
    failed: list[str],
) -> None:
    takes = program(tmp_path / "remet", ENDS.format(said=json.dumps(said), error=error, status=status))
    chosen = Settings("mairie", "/depot", [{"name": "sae", "lots": [str(takes)]}], tmp_path, tmp_path, tmp_path)
    monkeypatch.setattr(borg, "BORG", str(program(tmp_path / "borg", "print('tar')\n")))
    monkeypatch.setattr(borg, "lots", lambda settings: ["lot-1"])
    monkeypatch.setattr(borg, "listing", lambda settings, where: [{"type": "-", "path": "c/a.tar"}])
    monkeypatch.setattr(Settings, "environment", lambda self: {"PATH": "/usr/bin:/bin"})
    done, refused = lots.give_back(chosen, ["c/a.tar"])
    assert (done, refused) == (told, [text.replace("PROGRAM", str(takes)) for text in failed])


# One more archive has come in each time that it is asked.
COMES = """
import json, pathlib, sys
asked = pathlib.Path({log!r})
with asked.open("a") as log:
    log.write(sys.argv[1] + chr(10))
if sys.argv[1] == "preparer":
    left = max(0, 2 - asked.read_text().count("preparer"))
    print(json.dumps({{"dossier": {folder!r}, "archives": 1, "restent": left, "manquantes": {{}}}}))
"""


def test_what_comes_in_meanwhile_is_the_next_run_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup lasted as long as archives came in: each lot of one called the next."""
    log = tmp_path / "demandes"
    keeps = program(tmp_path / "copie", COMES.format(log=str(log), folder=str(tmp_path)))
    chosen = Settings("mairie", "/depot", [{"name": "sae", "lots": [str(keeps)]}], tmp_path, tmp_path, tmp_path)
    monkeypatch.setattr(borg, "BORG", str(program(tmp_path / "borg", "")))
    monkeypatch.setattr(borg, "depot", lambda settings: ("q1", []))
    monkeypatch.setattr(Settings, "environment", lambda self: {"PATH": "/usr/bin:/bin"})
    assert lots.make(chosen, budget=60) == ["2 archives copiées dans le dépôt"]
    assert log.read_text().split() == ["preparer", "faite"] * 2
