"""The door's own book: what it answers again, what it does not write again, what it refuses."""

from __future__ import annotations

import datetime as dt
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from creatic_guichet import store as door
from creatic_guichet import web
from creatic_guichet.store import Store

from creatic.fleet import bundle

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


def test_a_certificate_bears_64_characters_at_most_of_which_each_machine_has_its_own() -> None:
    assert door.common_name("a" * 54) == "Machine - " + "a" * 54
    long, other = door.common_name("a" * 55), door.common_name("a" * 54 + "b")
    assert len(long) == len(other) == 64 and long != other


def test_a_report_has_256_kib_at_most(store: Store) -> None:
    bare = json.dumps(REPORT | {"modifies": [""], "preuves": []})
    largest = json.dumps(REPORT | {"modifies": ["x" * (262_144 - len(bare))], "preuves": []}).encode()
    store.keep("loos-pc", largest, NOW)
    with pytest.raises(door.BadRequest, match=r"^Compte rendu trop gros\.$"):
        store.keep("loos-pc", largest + b" ", NOW)


def test_the_listing_of_a_fleet_holds_none_of_its_figures(store: Store) -> None:
    with store._open() as db:
        query = "INSERT INTO machines (nom, siren, attendue, mesures) VALUES (?, '215903469', 1, ?)"
        db.executemany(query, [(f"pc-{rank}", "x" * 100_000) for rank in range(50)])
    tracemalloc.start()
    assert len(store.listing(NOW)["machines"]) == 51
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("asked", "good"),
    [
        ({"flotte": "x" * 8000}, True),
        ({"x" * 8000: ""}, True),
        ({str(number): "" for number in range(10)}, True),
        ({"flotte": "x" * 8001}, False),
        ({"x" * 8001: ""}, False),
        ({str(number): "" for number in range(11)}, False),
        ({"flotte": 1}, False),
        (["flotte"], False),
    ],
)
def test_what_a_machine_asks_for_has_its_bounds(store: Store, asked: Any, good: bool) -> None:
    body = json.dumps(REPORT | {"modifies": [], "preuves": [], "demandes": asked}).encode()
    if good:
        store.keep("loos-pc", body, NOW)
        return
    with pytest.raises(door.BadRequest, match=r"^Ce n'est pas le compte rendu de cette machine\.$"):
        store.keep("loos-pc", body, NOW)


PART = {"sha256": "a" * 64}
MANIFEST = {"machine": "loos-pc", "version": 2, "code": PART, "donnees": {"sha256": "b" * 64}}


def sent(folder: Path, manifest: dict[str, Any]) -> BinaryIO:
    """A sending of one machine's manifest, without its lots."""
    signed = {"manifeste": json.dumps(manifest), "signature": "x"}
    content = json.dumps({"machines": {"loos-pc": "215903469"}, "manifestes": {"loos-pc": signed}}).encode()
    bundle.sending(folder / "envoi.tar", [], content)
    return io.BytesIO((folder / "envoi.tar").read_bytes())


def test_a_sending_whose_lots_are_nowhere_changes_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(door.BadRequest, match=r"^envoi incomplet : 2 lots manquent, rien n'est changé$"):
        store.receive(sent(tmp_path, MANIFEST))
    assert store.manifest("loos-pc", NOW) is None


@pytest.mark.parametrize(
    "change",
    [{"machine": "loos-connecteur"}, {"code": {"sha256": "../" + "a" * 61}}, {"version": "2"}, {"version": True}],
    ids=["another-machine", "no-digest", "text", "boolean"],
)
def test_a_sending_with_a_manifest_that_is_none_changes_nothing(
    store: Store, tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(door.BadRequest, match=r"^envoi illisible, ou coupé \(ValueError\) : rien n'est changé$"):
        store.receive(sent(tmp_path, MANIFEST | change))


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


def test_the_last_report_of_each_machine_is_told_whatever_the_others_send(store: Store) -> None:
    """The oldest two thousand filled the listing: thirty machines that reported each minute hid all that came after."""
    names = [f"bruyante-{rank}" for rank in range(4)]
    with store._open() as db:
        rows = [(name, str(turn), NOW.isoformat(), "{}") for turn in range(60) for name in names]
        rows += [("loos-pc", "x", NOW.isoformat(), json.dumps(REPORT))]
        rows += [("abimee", "y", NOW.isoformat(), "[" * 100_000)]  # of a door of before
        rows += [(f"calme-{rank}", "z", NOW.isoformat(), "{}") for rank in range(30)]
        db.executemany("INSERT INTO comptes_rendus (machine, sha256, recu, corps) VALUES (?, ?, ?, ?)", rows)
    told = store.reports(0, most=20)
    assert [one["numero"] for one in told] == sorted(one["numero"] for one in told)
    machines = [one["machine"] for one in told]
    assert {*machines} == {*names, "loos-pc", "abimee", *(f"calme-{rank}" for rank in range(30))}
    assert [machines.count(name) for name in names] == [6] * 4  # each its last one, and twenty shared alike
    assert next(one for one in told if one["machine"] == "abimee")["texte"] == "compte rendu illisible"
    assert len(store.reports(0)) == len(rows)
    last = store.reports(0)[-1]["numero"]
    assert store.reports(last) == [] and len(store.reports(last - 3)) == 3


def test_what_is_told_of_reports_is_bounded_in_size(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_TOLD_TOGETHER", 5_000)
    with store._open() as db:
        body = json.dumps(REPORT | {"texte": "x" * 1_000})
        rows = [(name, str(turn), "", body) for turn in range(20) for name in ("loos-pc", "loos-connecteur")]
        db.executemany("INSERT INTO comptes_rendus (machine, sha256, recu, corps) VALUES (?, ?, ?, ?)", rows)
    assert 2 < len(store.reports(0)) <= 2 + 4
