"""Folders that an earlier version sealed, two of each kind: they verify, and what is lost of them shows.

sealed_before.tar.gz is frozen: a control node's state, without keys, by an authority that was thrown away, whose two
certificates have names of the tests.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from creatic.evidence import seal
from creatic.evidence import store as evidence_store
from creatic.evidence.seal import SealKeys

KINDS = {
    "evidence": ("2026-11-24T080000Z", "2026-11-25T010504Z"),
    "audits": ("2026-11-24T000000Z", "2026-11-24T010000Z"),
    "correctifs": ("2026-11-24T020000Z", "2026-11-24T030000Z"),
    "exercices": ("2026-11-24T040000Z", "2026-11-24T050000Z"),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The control node's state, to damage."""
    monkeypatch.setattr(seal, "SIGNER", "Signature des preuves")
    monkeypatch.setattr(seal, "UNIT", "Horodatage")
    with tarfile.open(Path(__file__).with_name("sealed_before.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "avant"


def wrong(home: Path, kind: str) -> list[str]:
    """What is wrong in a kind."""
    lines = evidence_store.verification_lines(evidence_store.verify_all(home / kind, home / "racine.pem"))
    return [line for line in lines if line.startswith("✗")]


def test_what_was_sealed_before_verifies(home: Path) -> None:
    found = evidence_store.verify_home(home, home / "racine.pem")
    assert len(found) == 11  # eight, an entry page, two archives
    assert [name for name, one in found.items() if not one.intact] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_folder_is_seen_by_the_next(home: Path, kind: str) -> None:
    lost, after = KINDS[kind]
    shutil.rmtree(home / kind / lost)
    [line] = [line for line in wrong(home, kind) if after in line]
    assert "chaîne rompue" in line


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "evidence"])
def test_a_kind_without_an_entry_has_one_from_the_next_run(home: Path, keys: SealKeys, kind: str) -> None:
    base = home / kind
    _, staging = evidence_store.open_run(base, "alice", "2027-01-01T080000Z")
    with evidence_store.closing(base) as finished:
        facts = evidence_store.FACTS[kind]
        evidence_store.publish(staging, finished, facts, {"fin": "2027-01-01T080000Z"}, {}, keys)
    found = evidence_store.verify_all(base, home / "racine.pem")  # of the authority before: the seals of its own alone
    assert [name for name, one in found.items() if not one.intact and "2027-01-01" not in name] == []
    assert found["index.html"].intact
    shutil.rmtree(base / "2027-01-01T080000Z")
    (base / "2027-01-01T080000Z.tar.gz").unlink(missing_ok=True)
    assert ["a disparu" in line for line in wrong(home, kind)] == [True]
    (base / "index.html").unlink()
    assert wrong(home, kind) == []  # what is left was sealed before there were entries
