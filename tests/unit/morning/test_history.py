"""A commune's history is what sealed records say of it, read once; a record that is damaged keeps no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from creatic.evidence import history as commands_history
from creatic.morning import history

from .conftest import HOSTILE, OWNERS, proof, record

WHO = OWNERS | {"gondecourt": "gondecourt", "loos": "loos"}


def test_every_kind_of_record_is_told_the_last_first(home: Path) -> None:
    told = history.read(home, WHO)
    assert [(one.moment[:10], one.what, one.tone, one.version) for one in told["gondecourt"]] == [
        ("2026-11-24", "Départ d'un agent", "ok", "01234567"),
        ("2026-11-23", "Exercice de restauration", "echec", "01234567"),
        ("2026-11-22", "Correctifs", "ok", "01234567"),
        ("2026-11-21", "Audit", "attention", "01234567"),
        ("2026-11-20", "Déploiement", "ok", "fedcba98 (modifié)"),
        ("2026-10-01", "Déploiement", "attention", "01234567"),
    ]
    results = [one.result for one in told["gondecourt"]]
    assert results[1] == "gondecourt-connecteur : échec, illisible"
    assert results[2] == "gondecourt-pc : fait, 1 paquets" and results[3] == "gondecourt-pc : 2 écarts"
    assert results[5].startswith("Équipée, pas encore prête : connecteur, ") and results[5].endswith("et 1 de plus")
    assert "\u202e" not in results[5] and HOSTILE[:8] in results[5]
    assert "Karim" not in str(told)  # who left is in the record, not on pages
    assert [one.record for one in told["loos"]] == ["evidence/2026-11-20T070000Z/loos/preuve.html"]


def test_what_a_record_says_is_read_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = history.read(home, WHO)
    record(home, "evidence", "2026-11-28T060000Z", {"communes": ["loos"]}, loos=proof(prete=True))
    asked: list[str] = []
    real = history._record_facts

    def told(kind: str, run: Path) -> dict[str, Any] | None:
        asked.append(run.name)
        return real(kind, run)

    monkeypatch.setattr(history, "_record_facts", told)
    after = history.read(home, WHO)
    assert asked == ["2026-11-28T060000Z"]
    assert after["gondecourt"] == before["gondecourt"] and after["loos"][1:] == before["loos"]


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 0, "passages": {}}', '"x"'])
def test_notes_that_are_damaged_are_made_again(home: Path, text: str) -> None:
    before = history.read(home, WHO)
    (home / "matin" / history.FILE).write_text(text)
    assert history.read(home, WHO) == before
    assert json.loads((home / "matin" / history.FILE).read_text())["version"]


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("evidence", {"communes": None}),
        ("evidence", {"fin": None, "communes": ["loos"]}),
        ("correctifs", {"machines": [{"nom": "loos-connecteur", "etat": "inconnu", "pret": True, "paquets": []}]}),
        ("audits", {"machines": "x"}),
        ("exercices", {}),
    ],
)
def test_a_record_that_says_nonsense_keeps_no_other(home: Path, kind: str, facts: dict[str, object]) -> None:
    before = history.read(home, WHO)["gondecourt"]
    record(home, kind, "2026-11-28T060000Z", facts, **({"loos": {"prete": 1}} if kind == "evidence" else {}))
    (home / "audits" / "2026-11-28T070000Z").mkdir()
    assert history.read(home, WHO)["gondecourt"] == before


def test_commands_that_name_a_commune_are_found_whole(home: Path) -> None:
    told = history.commands(commands_history.read(home), ["gondecourt", "loos", "go"])
    assert [one.command for one in told["gondecourt"]] == [
        "fab audit --limite=gondecourt",
        "fab commune.deployer gondecourt,loos",
    ]
    assert "go" not in told and len(told["loos"]) == 1
