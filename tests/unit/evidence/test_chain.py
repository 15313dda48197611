"""Sealed folders that follow one another: what is lost, replaced, added or changed shows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import chain as evidence_chain
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import store as evidence_store
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.seal import SealKeys

NAMES = [f"2026-11-2{day}T080000Z" for day in (4, 5, 6)]
RESULTS = "exercice.json"


@pytest.fixture
def base(tmp_path: Path, keys: SealKeys, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three sealed folders, and one that was cut off."""
    monkeypatch.setattr(evidence_store, "seal_keys", lambda _home: keys)
    folder = tmp_path / "exercices"
    for name in NAMES:
        add(folder, name)
    (folder / ".en-cours-2026-11-27T080000Z").mkdir()
    return folder


def add(folder: Path, name: str) -> None:
    staging = folder / f".en-cours-{name}"
    staging.mkdir(parents=True)
    record = {"precedent": evidence_chain.precedent(evidence_chain.finished(folder))}
    (staging / RESULTS).write_text(json.dumps(record), encoding="utf-8")
    assert evidence_chain.close(staging, folder / name, folder.parent) == ""


def faulty(base: Path, keys: SealKeys) -> dict[str, list[str]]:
    """Files in fault, by folder that is not intact."""
    found = evidence_chain.verify_all(base, RESULTS, keys.root)
    return {name: [file for file, _ in one.faults] for name, one in found.items() if not one.intact}


def test_an_untouched_chain_is_intact(base: Path, keys: SealKeys) -> None:
    assert list(evidence_chain.verify_all(base, RESULTS, keys.root)) == [f"exercices/{name}" for name in NAMES]
    assert faulty(base, keys) == {}


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_folder_is_seen_by_the_next(base: Path, keys: SealKeys, lost: int) -> None:
    shutil.rmtree(base / NAMES[lost])
    assert faulty(base, keys) == {f"exercices/{NAMES[lost + 1]}": [RESULTS]}


def test_a_folder_sealed_again_is_seen_by_the_next(base: Path, keys: SealKeys, tmp_path: Path) -> None:
    staging = base / f".en-cours-{NAMES[1]}"
    (base / NAMES[1]).rename(staging)
    evidence_chain.close(staging, base / NAMES[1], tmp_path)
    assert faulty(base, keys) == {f"exercices/{NAMES[2]}": [RESULTS]}


def test_an_added_folder_is_seen(base: Path, keys: SealKeys) -> None:
    (base / NAMES[2]).rename(base / ".aside")
    add(base, "2026-11-25T120000Z")
    (base / ".aside").rename(base / NAMES[2])
    assert faulty(base, keys) == {f"exercices/{NAMES[2]}": [RESULTS]}


def test_a_changed_byte_is_named(base: Path, keys: SealKeys) -> None:
    (base / NAMES[0] / RESULTS).write_text("{}", encoding="utf-8")
    assert faulty(base, keys) == {f"exercices/{NAMES[0]}": [RESULTS]}
