"""The sealed record of the accesses: each event once, whatever became of the record before."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from creatic.access import record as access_record
from creatic.access.authority import (
    Demand,
    PublicKey,
    SshAuthority,
    public_key,
)
from creatic.evidence import store as evidence_store
from creatic.evidence.seal import SealKeys
from creatic.pki.authority import Passphrases
from tests.unit.evidence.conftest import make_authority

from .test_access import new_key

DEMAND = Demand("auditeur", dt.timedelta(hours=4), ["auditeur@tous"], "Jeanne <b>", "audit annuel", "moi@poste")


@pytest.fixture
def authority(tmp_path: Path) -> SshAuthority:
    made = SshAuthority(tmp_path / "lab" / "acces", Passphrases(tmp_path / "lab" / "acces", generate=True))
    made.ensure(create=True)
    return made


@pytest.fixture
def key(tmp_path: Path) -> PublicKey:
    return public_key(new_key(tmp_path))


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SealKeys:
    made = make_authority(tmp_path / "autorite")
    monkeypatch.setattr(evidence_store, "seal_keys", lambda _home: made)
    return made


def test_each_event_is_sealed_once(authority: SshAuthority, key: PublicKey, keys: SealKeys) -> None:
    home = authority.directory.parent
    assert access_record.seal_record(home, "moi@poste") is None
    authority.grant(DEMAND, key)
    authority.grant(DEMAND, key)
    first = access_record.seal_record(home, "moi@poste")
    assert first and first[1] == ""
    page = (first[0] / "rapport.html").read_text(encoding="utf-8")
    assert "Jeanne &lt;b&gt;" in page and "SHA256:" in page
    assert access_record.seal_record(home, "moi@poste") is None
    authority.revoke(1, "fini", "moi@poste")
    second = access_record.seal_record(home, "moi@poste")
    assert second and "Révoqué" in (second[0] / "rapport.html").read_text(encoding="utf-8")
    told = [evidence_store.facts_of(folder)["evenements"] for folder, _ in (first, second)]
    assert [len(events) for events in told] == [2, 1]
    assert [*told[0], *told[1]] == authority.events()
    found = evidence_store.verify_home(home, keys.root)
    assert {name: one.faults for name, one in found.items()} == {
        f"acces/{name}": [] for name in (first[0].name, second[0].name, "index.html")
    }
    assert list(authority.directory.glob(".en-cours-*")) == []
    (first[0] / "acces.json").write_text("{}", encoding="utf-8")
    assert not evidence_store.verify_home(home, keys.root)[f"acces/{first[0].name}"].intact


def test_what_could_not_be_signed_yet_is_in_the_next_record(
    authority: SshAuthority,
    key: PublicKey,
    request: pytest.FixtureRequest,
) -> None:
    home = authority.directory.parent
    authority.grant(DEMAND, key)
    assert access_record.seal_record(home, "moi@poste") is None
    assert list(authority.directory.glob("2*")) == []
    request.getfixturevalue("keys")
    kept = access_record.seal_record(home, "moi@poste")
    assert kept and len(evidence_store.facts_of(kept[0])["evenements"]) == 1
