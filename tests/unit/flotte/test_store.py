"""The door's own book: what it answers again, what it does not write again, what it refuses."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from creatic_guichet import store as door
from creatic_guichet import web
from creatic_guichet.store import Store

NOW = dt.datetime(2026, 11, 29, 6, 0, tzinfo=dt.UTC)
REPORT = {"machine": "loos-pc", "version": 1, "posee": True, "genre": "bon", "texte": "", "debut": "", "fin": ""}
KEY = "ssh-ed25519 " + "A" * 68
ORDER = {"numero": 1, "fin": NOW.isoformat(), "port": 22000, "cle": KEY, "ordre": "{}", "signature": "x"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A door that expects one machine."""
    made = Store(tmp_path)
    with made._open() as db:
        db.execute("INSERT INTO machines (nom, siren, attendue) VALUES ('loos-pc', '215903469', 1)")
    return made


def seen(store: Store) -> str:
    with store._open() as db:
        return str(db.execute("SELECT vue FROM machines").fetchone()["vue"])


def test_a_report_that_comes_again_has_the_same_receipt_and_is_kept_once(store: Store) -> None:
    body = json.dumps(REPORT | {"modifies": [], "preuves": []}).encode()
    first = store.keep("loos-pc", body, NOW)
    assert len(first) == 64
    assert store.keep("loos-pc", body, NOW + dt.timedelta(minutes=1)) == first
    assert len(store.reports(0)) == 1


def test_a_report_has_256_kib_at_most(store: Store) -> None:
    bare = json.dumps(REPORT | {"modifies": [""], "preuves": []})
    largest = json.dumps(REPORT | {"modifies": ["x" * (262_144 - len(bare))], "preuves": []}).encode()
    store.keep("loos-pc", largest, NOW)
    with pytest.raises(door.BadRequest, match=r"^Compte rendu trop gros\.$"):
        store.keep("loos-pc", largest + b" ", NOW)


def test_a_machine_that_asks_again_at_once_is_not_written_down_again(store: Store) -> None:
    """Thousands ask every quarter of an hour: each write waits for the disk."""
    assert store.manifest("loos-pc", NOW) is None
    first = seen(store)
    assert first == NOW.isoformat(timespec="seconds")
    store.manifest("loos-pc", NOW + dt.timedelta(seconds=1))
    assert seen(store) == first
    store.manifest("loos-pc", NOW + dt.timedelta(seconds=door._SEEN))
    assert seen(store) != first


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"port": 1024}, True),
        ({"port": 65535}, True),
        ({"port": 1023}, False),
        ({"port": 65536}, False),
        ({"port": True}, False),
        ({"numero": "1"}, False),
        ({"cle": f"command=x {KEY}"}, False),
        ({"fin": "2026-11-29T06:00:00"}, False),
    ],
)
def test_an_order_to_open_a_tunnel_is_of_a_port_that_an_account_may_open(change: dict[str, Any], good: bool) -> None:
    if good:
        assert door._door("loos-pc", ORDER | change) == {"machine": "loos-pc"} | ORDER | change
        return
    with pytest.raises(ValueError, match=r"^$"):
        door._door("loos-pc", ORDER | change)


def test_what_the_wsgi_server_loads_is_the_door_of_the_folder_that_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(web.FOLDER, str(tmp_path))
    answer = web.application().test_client().get("/manifeste")
    assert answer.status_code == 403 and "certificat client" in answer.get_json()["message"]
