"""Folders that an earlier version sealed, two of each kind: they verify, and copies that were tampered with do not.

sealed_before.tar.gz is frozen: a control node's state, without keys, by an authority that was thrown away.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.archive import patch as archive_patch
from ansible_collections.cdg59.creatic.plugins.module_utils.audit import store as audit_store
from ansible_collections.cdg59.creatic.plugins.module_utils.backup import drill as backup_drill
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import store as evidence_store

KINDS = {
    "evidence": ("2026-11-24T080000Z", "2026-11-25T010504Z", "gondecourt/preuve.json"),
    "audits": ("2026-11-24T000000Z", "2026-11-24T010000Z", "machines/gondecourt-connecteur/openscap-arf.xml.gz"),
    "correctifs": ("2026-11-24T020000Z", "2026-11-24T030000Z", "correctifs.json"),
    "exercices": ("2026-11-24T040000Z", "2026-11-24T050000Z", "essais.xml"),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The control node's state, to damage."""
    with tarfile.open(Path(__file__).with_name("sealed_before.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "avant"


def verified(home: Path) -> Mapping[str, list[str]]:
    """What each folder is blamed for: lines, by kind."""
    root = home / "racine.pem"
    found = evidence_store.verify_all(home / "evidence", root)
    lines = {"evidence": evidence_store.verification_lines(found), "audits": audit_store.verify_all(home, root)[0]}
    lines["correctifs"] = evidence_store.verification_lines(archive_patch.verify_all(home, root))
    lines["exercices"] = evidence_store.verification_lines(backup_drill.verify_all(home, root))
    return {kind: [line for line in told if line.startswith("✗")] for kind, told in lines.items()}


def test_what_was_sealed_before_verifies(home: Path) -> None:
    assert verified(home) == {kind: [] for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_byte_is_named(home: Path, kind: str) -> None:
    name, _, file = KINDS[kind]
    path = home / kind / name / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert [f"{name}/{file} : modifié" in line for line in verified(home)[kind]] == [True]


@pytest.mark.parametrize("kind", KINDS)
def test_an_added_and_a_lost_file_are_named(home: Path, kind: str) -> None:
    name, _, file = KINDS[kind]
    (home / kind / name / file).rename(home / kind / name / "ailleurs")
    told = "\n".join(verified(home)[kind])
    assert f"{name}/{file} : absent" in told and f"{name}/ailleurs : inconnu" in told


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_folder_is_seen_by_the_next(home: Path, kind: str) -> None:
    lost, after, _ = KINDS[kind]
    shutil.rmtree(home / kind / lost)
    [line] = [line for line in verified(home)[kind] if after in line]
    assert "chaîne rompue" in line
