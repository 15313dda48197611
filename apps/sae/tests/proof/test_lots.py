"""Archives copied out of the room by lots, and put back: what is copied, what is not, what is refused."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from sae import lots
from sae.journal import Journal
from sae.store import FileStore, Store, StoreUnavailableError
from sae.versement.registry import Registry

from apps.sae.tests.proof.public_tools import OCFL, install, run
from apps.sae.tests.proof.test_commands import Site, site  # noqa: F401 - a fixture
from testbed.sae import FakeClamd, Gateway, sip, tar


class Depot:
    """What creatic-sauvegarde does with lots, without borg."""

    def __init__(self, place: Site) -> None:
        self.site, self.lots, self.identity = place, dict[str, dict[str, bytes]](), "q1"
        self.made = 0
        self.journal = Journal(place.folder / "journal.sqlite")
        self.registry = Registry(place.folder / "registre.sqlite")
        self.copies = lots.Copies(place.folder, self.journal, [("s", place.store)], place.folder / "metriques")

    def save(self, **limits: int) -> lots.Lot:
        """Keep the next lot, if there is one."""
        lot = self.copies.prepare(self.lots, **limits)
        if lot.count:
            name, self.made = f"copie-{self.made}", self.made + 1
            self.lots[name] = {
                str(path.relative_to(lot.folder)): path.read_bytes() for path in sorted(lot.folder.rglob("*.tar"))
            }
            self.copies.record_lot(name, self.identity)
        return lot

    def needs(self) -> tuple[dict[str, int], int]:
        found = self.copies.needs(self.lots, self.identity)
        return found["depots"], found["sans_copie"]

    def turn(self, identity: str) -> None:
        """The quarter ends: its lots are not seen any more."""
        self.lots.clear()
        self.identity = identity

    def copied(self) -> list[str]:
        return [Path(name).stem for lot in self.lots.values() for name in lot]

    def figures(self) -> dict[str, float]:
        text = (self.site.folder / "metriques" / "sae_copie.prom").read_text()
        return {
            name: float(value)
            for name, value in (line.split() for line in text.splitlines() if not line.startswith("#"))
        }

    def put_back(self, name: str, content: bytes | None = None) -> str:
        found = content if content is not None else next(lot[name] for lot in self.lots.values() if name in lot)
        return lots.put_back(self.journal, self.registry, self.site.store, name, io.BytesIO(found))


@pytest.fixture
def depot(site: Site) -> Depot:  # noqa: F811 - the fixture
    return Depot(site)


def test_each_archive_is_copied_once_the_latest_first(depot: Depot) -> None:
    for aip in "abc":
        depot.site.keep(aip, aip.encode() * 100)
    assert depot.save(count=1).left == 2
    assert depot.copied() == ["c"]
    depot.save(size=150)
    depot.save(size=1)  # one is taken, however large
    assert depot.copied() == ["c", "b", "a"]
    assert depot.save().count == 0
    assert depot.figures() | {"sae_copie_timestamp_seconds": 0} == {
        "sae_copie_archives": 3,
        "sae_copie_attente": 0,
        "sae_copie_plus_ancienne_seconds": 0,
        "sae_copie_timestamp_seconds": 0,
    }
    depot.site.keep("d")
    assert (depot.save().count, depot.copied()[-1]) == (1, "d")
    assert depot.figures()["sae_copie_plus_ancienne_seconds"] > 1e9
    assert not depot.copies.lot.exists()


def test_what_a_backup_ends_with_is_told_at_its_end(depot: Depot) -> None:
    """Not by the next one: all that was copied waited, on the room's screen, for a night more."""
    for aip in "abc":
        depot.site.keep(aip)
    depot.save(count=2)
    assert (depot.figures()["sae_copie_archives"], depot.figures()["sae_copie_attente"]) == (0, 3)  # as it begins
    depot.needs()
    assert (depot.figures()["sae_copie_archives"], depot.figures()["sae_copie_attente"]) == (2, 1)


def test_a_depot_that_begins_anew_gets_everything_again(depot: Depot) -> None:
    depot.site.keep("a")
    depot.save()
    depot.lots.clear()
    assert depot.save().count == 1


def test_an_old_depot_stays_until_later_ones_have_all_that_it_has(depot: Depot) -> None:
    """A copy that takes longer than a quarter, or whose quota is reached: what is in one depot alone is told."""
    for aip in "abcd":
        depot.site.keep(aip)
    assert depot.needs() == ({}, 4)
    depot.save()
    assert depot.needs() == ({"q1": 4}, 0)
    depot.turn("q2")
    assert depot.needs() == ({"q1": 4}, 0)
    depot.save(count=2)
    assert depot.needs() == ({"q1": 2, "q2": 2}, 0)
    depot.turn("q3")
    depot.site.keep("e")
    assert depot.needs() == ({"q1": 2, "q2": 2}, 1)
    depot.save(count=3)
    assert sorted(depot.copied()) == ["a", "b", "e"]  # what has none first, then what only the oldest has
    assert depot.needs() == ({"q2": 2, "q3": 3}, 0)
    depot.journal.append("elimination.debut", account="gondecourt", aip="d", outcome="succes", detail={})
    assert depot.needs() == ({"q2": 1, "q3": 3}, 0)  # what is eliminated keeps no depot


def test_what_left_a_depot_that_went_back_is_in_none(depot: Depot) -> None:
    depot.site.keep("a")
    depot.save()
    depot.turn("q2")
    depot.save()
    assert depot.needs() == ({"q2": 1}, 0)
    depot.lots.clear()  # taken out by the server's return to its last good state
    assert depot.needs() == ({}, 1)


def test_a_copy_of_before_is_in_the_depot_where_it_is_seen(depot: Depot) -> None:
    for aip in "ab":
        depot.site.keep(aip)
    with closing(sqlite3.connect(depot.site.folder / "copie.sqlite")) as db, db:
        db.execute("CREATE TABLE copie (aip TEXT PRIMARY KEY, lot TEXT NOT NULL, le REAL NOT NULL)")
        db.executemany("INSERT INTO copie VALUES (?, ?, 0)", [("a", "copie-vue"), ("b", "copie-d-avant")])
    assert depot.copies.needs(["copie-vue"], "q1") == {"depots": {"q1": 1}, "sans_copie": 1}
    depot.turn("q2")
    assert depot.needs() == ({"q1": 1}, 1)


def test_a_lot_that_was_not_kept_is_made_again(depot: Depot) -> None:
    depot.site.keep("a")
    depot.copies.prepare([])
    depot.site.keep("b")
    assert depot.save().count == 2
    with pytest.raises(lots.LotError, match="aucun lot n'attend"):
        depot.copies.record_lot("copie-x", "q1")


def test_one_that_is_lost_or_damaged_does_not_keep_the_others(depot: Depot) -> None:
    for aip in "abc":
        depot.site.keep(aip, aip.encode() * 100)
    path = depot.site.folder / "stockage" / "gondecourt" / "aip"
    (path / "a.tar").unlink()
    (path / "b.tar").write_bytes((path / "b.tar").read_bytes().replace(b"b" * 100, b"x" * 100))
    lot = depot.save()
    assert depot.copied() == ["c"] and set(lot.failed) == {"a", "b"}
    assert "les octets du stockage ne sont pas ceux du journal" in lot.failed["b"]
    assert depot.figures()["sae_copie_attente"] == 3  # counted before


def test_another_replica_gives_what_one_has_damaged_lost_or_does_not_answer_for(depot: Depot, tmp_path: Path) -> None:
    class Silent(FileStore):
        def get(self, account: str, container: str, name: str) -> BinaryIO:
            raise StoreUnavailableError("le stockage ne répond pas")

    depot.site.keep("a", b"octets")
    damaged, empty, silent = FileStore(tmp_path / "abime"), FileStore(tmp_path / "vide"), Silent(tmp_path)
    shutil.copytree(depot.site.folder / "stockage", tmp_path / "abime")
    path = tmp_path / "abime" / "gondecourt" / "aip" / "a.tar"
    path.write_bytes(path.read_bytes().replace(b"octets", b"autres"))

    def prepared(*stores: Store) -> lots.Lot:
        replicas = [(f"sae{number}", store) for number, store in enumerate(stores, 1)]
        return lots.Copies(depot.site.folder, depot.journal, replicas).prepare([])

    lot = prepared(silent, empty, damaged, depot.site.store)
    assert (lot.count, (lot.folder / "gondecourt" / "a.tar").read_bytes()) == (1, b"octets")
    lot = prepared(silent, empty, damaged)
    assert lot.count == 0 and not list(lot.folder.rglob("*.tar"))
    assert [word in lot.failed["a"] for word in ("sae1 : ", "sae2 : ", "sae3 : a : les octets")] == [True] * 3
    with pytest.raises(StoreUnavailableError):  # nothing is known of any archive
        prepared(silent, silent)


def test_what_leaves_the_archive_is_not_copied_nor_put_back(depot: Depot) -> None:
    depot.site.keep("a")
    depot.save()
    depot.site.keep("b")
    for aip in "ab":
        depot.journal.append("elimination.debut", account="gondecourt", aip=aip, outcome="succes", detail={})
    assert depot.save().count == 0
    with pytest.raises(lots.LotError, match="éliminée : rien n'est remis"):
        depot.put_back("gondecourt/a.tar")


def test_a_lost_archive_comes_back_as_it_was(depot: Depot) -> None:
    until = 2_000_000_000
    depot.site.keep("a", b"octets", until)
    depot.save()
    before = depot.site.store.head("gondecourt", "aip", "a.tar")
    with pytest.raises(lots.LotError, match="n'est pas l'archive que le journal connaît"):
        depot.put_back("gondecourt/a.tar", b"autres")
    assert depot.put_back("gondecourt/a.tar") == "a : déjà au stockage, rien n'est remis."
    (depot.site.folder / "stockage" / "gondecourt" / "aip" / "a.tar").unlink()
    assert depot.put_back("gondecourt/a.tar") == "a : remise au stockage (6 octets)."
    after = depot.site.store.head("gondecourt", "aip", "a.tar")
    assert before and after and {**before, **after} == after  # same digest, size and retention
    with depot.site.store.get("gondecourt", "aip", "a.tar") as stream:
        assert stream.read() == b"octets"
    event = depot.journal.last()
    assert event and (event.event, event.aip, event.outcome) == ("archive.reprise", "a", "succes")


@pytest.mark.parametrize("name", ["loos/a.tar", "gondecourt/z.tar", "gondecourt/../a.tar", "a.tar", ""])
def test_what_the_journal_does_not_know_is_not_put_back(depot: Depot, name: str) -> None:
    depot.site.keep("a")
    with pytest.raises(lots.LotError, match="le journal ne connaît pas cette archive"):
        depot.put_back(name, b"contenu")


@pytest.mark.parametrize("end", [1, 511, 512, 2559, 2560, 2561, 3000, -1024, 10**9])
def test_a_stream_that_is_cut_gives_what_came_before(depot: Depot, tmp_path: Path, end: int) -> None:
    """Bytes 512 to 2560 are the first archive, the second has its header up to 3072."""
    names = [f"gondecourt/{aip}.tar" for aip in "ab"]
    for aip in "ab":
        depot.site.keep(aip, aip.encode() * 2048)
        (depot.site.folder / "stockage" / "gondecourt" / "aip" / f"{aip}.tar").unlink()
    sent = tar({name: name[11:12].encode() * 2048 for name in names})[:end]
    told = lots.put_all_back(depot.journal, depot.registry, depot.site.store, io.BytesIO(sent), tmp_path / "reprise")
    expected = names if end in (-1024, 10**9) else names[:1] if end >= 2560 else []
    assert [one["nom"] for one in told if one["fait"]] == expected
    kept = [f"gondecourt/{name}" for name in depot.site.store.names("gondecourt", "aip")]
    assert kept == expected and not list((tmp_path / "reprise").glob("*"))


def test_one_that_cannot_be_taken_does_not_keep_the_others(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for aip in "abcd":
        depot.site.keep(aip, b"octets")
        (depot.site.folder / "stockage" / "gondecourt" / "aip" / f"{aip}.tar").unlink()
    put = depot.site.store.put

    def down(account: str, container: str, name: str, *given: Any, **more: Any) -> None:
        if name == "c.tar":
            raise StoreUnavailableError("le stockage ne répond pas")
        put(account, container, name, *given, **more)

    monkeypatch.setattr(depot.site.store, "put", down)
    sent = tar({f"gondecourt/{aip}.tar": b"octets" if aip != "b" else b"autres" for aip in "abcd"})
    told = lots.put_all_back(depot.journal, depot.registry, depot.site.store, io.BytesIO(sent), tmp_path / "reprise")
    assert [(str(one["nom"])[11:12], bool(one["fait"])) for one in told] == [
        ("a", True),
        ("b", False),
        ("c", False),
        ("d", True),
    ]


def test_the_commands_speak_to_the_backup(
    depot: Depot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sae(*arguments: str, stdin: bytes = b"") -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        done = lots.main(["--config", str(depot.site.config), *arguments])
        told = capsys.readouterr()
        return done, told.out + told.err

    depot.site.keep("a", b"octets")
    done, out = sae("preparer", stdin=b"copie-1\ncopie-2\n")
    told: dict[str, Any] = json.loads(out)
    assert (done, told["archives"], told["restent"], told["manquantes"]) == (0, 1, 0, {})
    assert (Path(told["dossier"]) / "gondecourt" / "a.tar").read_bytes() == b"octets"
    assert "OCFL" in (Path(told["dossier"]) / "LISEZMOI.txt").read_text()
    assert sae("faite", "copie-3", "q1") == (0, "")
    assert json.loads(sae("besoins", "q1", stdin=b"copie-3")[1]) == {"depots": {"q1": 1}, "sans_copie": 0}
    assert sae("faite", "copie-3", "q1") == (1, "sae-copie : aucun lot n'attend : « sae-copie preparer » d'abord\n")
    assert json.loads(sae("preparer", stdin=b"copie-3")[1])["archives"] == 0
    (depot.site.folder / "stockage" / "gondecourt" / "aip" / "a.tar").unlink()
    done, out = sae("remettre", stdin=tar({"gondecourt/b.tar": b"octets", "gondecourt/a.tar": b"octets"}))
    refused, back = map(json.loads, out.splitlines())
    assert (done, refused["nom"], refused["fait"]) == (0, "gondecourt/b.tar", None)
    assert refused["refus"].startswith("gondecourt/b.tar : le journal ne connaît pas cette archive")
    assert back == {"nom": "gondecourt/a.tar", "fait": "a : remise au stockage (6 octets).", "refus": None}
    assert not list((depot.site.folder / "reprise").iterdir())


def test_lost_seals_go_back_to_the_storage(depot: Depot, capsys: pytest.CaptureFixture[str]) -> None:
    depot.site.keep("a")
    assert depot.site.journal("sceller") == 0
    place = depot.site.folder / "stockage" / "sae" / "sceaux"
    names = sorted(path.name for path in place.iterdir())
    for name in names:
        (place / name).unlink()
    for told in ("1 sceaux à remettre", "0 sceaux à remettre"):
        capsys.readouterr()
        assert lots.main(["--config", str(depot.site.config), "sceaux"]) == 0
        assert told in capsys.readouterr().out
        assert depot.site.journal("sceller") == 0
    assert sorted(path.name for path in place.iterdir()) == names


def test_public_tools_read_a_copy(tmp_path: Path) -> None:
    """Not ours: tar, and ocfl-py."""
    validate = install(*OCFL).with_name("ocfl-validate.py")
    clamd = FakeClamd(tmp_path / "clamd.ctl")
    try:
        gateway = Gateway(tmp_path)
        answer = gateway.deposit(sip())
    finally:
        clamd.stop()
    lot = lots.Copies(tmp_path, gateway.journal, [("s", gateway.store)]).prepare([])
    [copied] = lot.folder.rglob("*.tar")
    assert answer.aip and copied.stem == answer.aip
    subprocess.run(["tar", "-xf", copied, "-C", tmp_path], check=True)
    status, told = run(validate, tmp_path / answer.aip)
    assert (status, "INVALID" in told) == (0, False), told
    (tmp_path / answer.aip / "v1" / "content" / "premis.xml").write_bytes(b"autre")
    assert "INVALID" in run(validate, tmp_path / answer.aip)[1]
