"""Fixity: every fault of the storage is seen, journaled, and told by the exit status."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest
from sae import fixity
from sae.fixity import Checker, Plan, Result, State
from sae.journal import Journal
from sae.store import FileStore, Store, StoreUnavailableError

DAY = 86400.0


class Replica(FileStore):
    """One way to the archives, with faults: contents replaced, absent or unreachable, for so many reads."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.wrong: dict[str, int] = {}  # name -> reads that give something else
        self.absent: dict[str, int] = {}
        self.down = False
        self.reads: list[str] = []

    def get(self, account: str, container: str, name: str) -> BinaryIO:
        self.reads.append(name)
        if self.down:
            raise StoreUnavailableError("ce nœud ne répond pas")
        for faults, answer in ((self.wrong, b"\x00 autre chose"), (self.absent, None)):
            if faults.get(name, 0) > 0:
                faults[name] -= 1
                if answer is None:
                    return super().get(account, container, "absent")
                return io.BytesIO(answer)
        return super().get(account, container, name)

    def head(self, account: str, container: str, name: str) -> dict[str, str] | None:
        if self.down:
            raise StoreUnavailableError("ce nœud ne répond pas")
        return super().head(account, container, name)

    def names(self, account: str, container: str) -> Iterator[str]:
        if self.down:
            raise StoreUnavailableError("ce nœud ne répond pas")
        return super().names(account, container)


@dataclass
class Room:
    """Three replicas, a journal, and a clock that tests move."""

    folder: Path
    journal: Journal
    state: State
    replicas: dict[str, Replica]
    now: float = 1_800_000_000.0
    slept: float = 0.0
    plan: Plan = field(default_factory=lambda: Plan(("gondecourt",), rate=1e12))

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds

    def checker(self) -> Checker:
        replicas: list[tuple[str, Store]] = list(self.replicas.items())
        return Checker(replicas, self.journal, self.state, self.plan, lambda: self.now, self.sleep)

    def run(self, everything: bool = False) -> Result:
        return self.checker().run(everything)

    def keep(self, aip: str, content: bytes | None = None, journaled: bool = True) -> str:
        content = content if content is not None else f"contenu de {aip}".encode() * 100
        sha512 = hashlib.sha512(content).hexdigest()
        name = f"{aip}.tar"
        self.replicas["sae1"].put("gondecourt", "aip", name, io.BytesIO(content), size=len(content), sha512=sha512)
        if journaled:
            detail = {"aip_sha512": sha512, "octets": len(content), "conserve_jusqua": 0, "sort_final": "Destroy"}
            self.journal.append("versement.accepte", account="gondecourt", aip=aip, outcome="succes", detail=detail)
        return name

    def events(self) -> list[tuple[str, str]]:
        return [(one.event, one.outcome) for one in self.journal.events() if one.event.startswith("fixite.")]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    state = State(tmp_path / "fixite.sqlite")
    replicas = {name: Replica(tmp_path / "stockage") for name in ("sae1", "sae2", "sae3")}
    with Journal(tmp_path / "journal.sqlite") as journal:
        yield Room(tmp_path, journal, state, replicas)
    state.close()


def test_everything_good_is_read_through_every_proxy_once_in_its_days(room: Room) -> None:
    names = [room.keep(f"aip-{number}") for number in range(5)]
    result = room.run()
    assert (result.status, result.checked, result.total, result.late) == (0, 5, 5, 0)
    assert all(sorted(replica.reads) == names for replica in room.replicas.values())
    room.now += 20 * DAY
    assert room.run().checked == 0
    room.now += 8 * DAY  # nine tenths of 30 days: read before it is late
    assert room.run().checked == 5
    assert room.events() == []


def test_days_may_differ_by_account(room: Room) -> None:
    room.plan = Plan(("gondecourt",), days=30, exceptions={"gondecourt": 2})
    room.keep("aip-1")
    room.run()
    room.now += 2 * DAY
    assert room.run().checked == 1


def test_a_run_stops_in_time_and_the_next_one_goes_on(room: Room) -> None:
    for number in range(10):
        room.keep(f"aip-{number}", b"x" * 1000)
    room.plan = Plan(("gondecourt",), rate=3000, seconds=3.5)  # 1 s for the three replicas of an archive
    results = [room.run() for _ in range(3)]
    assert [result.checked for result in results] == [4, 4, 2]
    assert results[-1].status == 0
    assert room.slept == pytest.approx(10, abs=0.5)
    assert all(len(set(replica.reads)) == len(replica.reads) == 10 for replica in room.replicas.values())


def test_what_is_not_read_in_time_is_not_called_good(room: Room) -> None:
    for number in range(10):
        room.keep(f"aip-{number}", b"x" * 1000)
    room.plan = Plan(("gondecourt",), rate=3000, seconds=0.5)
    assert room.run().status == 0  # they are new: there is time
    room.now += 31 * DAY
    result = room.run()
    assert (result.status, result.late) == (2, 9)


def test_one_bad_replica_is_journaled_and_seen_repaired(room: Room) -> None:
    name = room.keep("aip-1")
    room.replicas["sae2"].wrong[name] = 3
    result = room.run()
    assert (result.status, result.repaired) == (0, 1)
    assert room.events() == [("fixite.ecart", "anomalie"), ("fixite.reparation", "succes")]
    gap = next(one for one in room.journal.events() if one.event == "fixite.ecart")
    assert gap.aip == "aip-1"
    assert gap.detail["lu"]["sae1"] == gap.detail["attendu"] != gap.detail["lu"]["sae2"]


@pytest.mark.parametrize("fault", ["wrong", "absent"])
def test_a_replica_that_stays_bad_is_an_anomaly_until_it_is_good(room: Room, fault: str) -> None:
    name = room.keep("aip-1")
    room.keep("aip-2")
    getattr(room.replicas["sae2"], fault)[name] = 10**6
    for _ in range(2):
        result = room.run()
        assert result.status == 1
        assert result.bad == [
            ("gondecourt", name, f"{'contenu faux' if fault == 'wrong' else 'absente'} par sae2"),
        ]
    assert room.events() == [("fixite.ecart", "anomalie"), ("fixite.reparation", "echec")]
    assert room.slept >= 120  # patience, once
    getattr(room.replicas["sae2"], fault).clear()
    result = room.run()
    assert (result.status, result.repaired) == (0, 1)
    assert room.events()[-1] == ("fixite.retour", "succes")


def test_two_bad_replicas_are_repaired_from_the_third(room: Room) -> None:
    name = room.keep("aip-1")
    room.replicas["sae1"].wrong[name] = 2
    room.replicas["sae3"].wrong[name] = 4
    assert room.run().status == 0
    assert room.events() == [("fixite.ecart", "anomalie"), ("fixite.reparation", "succes")]


@pytest.mark.parametrize("fault", ["wrong", "absent"])
def test_no_good_copy_left_is_said_and_nothing_is_touched(room: Room, fault: str) -> None:
    name = room.keep("aip-1")
    for replica in room.replicas.values():
        getattr(replica, fault)[name] = 10**6
    result = room.run()
    assert result.status == 1
    assert result.bad[0][2].startswith("aucune bonne copie")
    assert room.events() == [("fixite.ecart", "anomalie"), ("fixite.perte", "echec")]
    assert room.run().status == 1
    assert room.replicas["sae1"].head("gondecourt", "aip", name)


def test_bad_here_and_unread_there_is_not_called_lost(room: Room) -> None:
    name = room.keep("aip-1")
    room.replicas["sae1"].wrong[name] = room.replicas["sae2"].wrong[name] = 10**6
    room.replicas["sae3"].down = True
    assert room.run().status == 1
    assert room.events()[-1] == ("fixite.reparation", "echec")
    assert "illisible par sae3" in room.run().bad[0][2]


def test_a_node_down_leaves_the_check_incomplete_then_good(room: Room) -> None:
    room.keep("aip-1")
    room.replicas["sae1"].down = True
    result = room.run()
    assert (result.status, result.bad) == (2, [])
    assert "illisible par sae1" in result.trouble[0]
    room.replicas["sae1"].down = False
    assert room.run().status == 0
    assert room.events() == []


def test_the_whole_storage_down_is_never_good(room: Room) -> None:
    room.keep("aip-1")
    for replica in room.replicas.values():
        replica.down = True
    result = room.run()
    assert result.status == 2
    assert any("liste de gondecourt/aip" in line for line in result.trouble)


def test_a_damaged_archive_does_not_pass_for_unread(room: Room) -> None:
    name = room.keep("aip-1")
    room.replicas["sae1"].wrong[name] = 10**6
    room.run()
    room.replicas["sae2"].down = room.replicas["sae3"].down = room.replicas["sae1"].down = True
    assert room.run().status == 1


def test_an_archive_erased_from_the_storage_is_missed(room: Room) -> None:
    name = room.keep("aip-1")
    room.run()
    (room.folder / "stockage" / "gondecourt" / "aip" / name).unlink()
    assert room.run(everything=True).status == 1
    assert room.events()[-1] == ("fixite.perte", "echec")


def test_an_archive_that_the_journal_does_not_know_is_told_after_a_day(room: Room) -> None:
    room.keep("aip-1", journaled=False)
    assert room.run().status == 0
    room.now += 1.5 * DAY
    assert room.run(everything=True).bad == [("gondecourt", "aip-1.tar", "le journal ne connaît pas cette archive")]
    assert room.run(everything=True).status == 1
    assert room.events() == [("fixite.inconnu", "anomalie")]


def test_the_journal_s_digest_counts_not_the_label_beside_the_data(room: Room) -> None:
    """An attacker who changes the data, Swift's MD5 and the label is seen all the same."""
    name = room.keep("aip-1")
    path = room.folder / "stockage" / "gondecourt" / "aip" / name
    path.unlink()
    room.keep("aip-1", b"faux", journaled=False)
    assert room.run().status == 1
    assert room.events()[-1] == ("fixite.perte", "echec")


@pytest.mark.parametrize("told", ["elimination.debut", "elimination.faite"])
def test_an_elimination_is_not_a_loss(room: Room, told: str) -> None:
    name = room.keep("aip-1")
    room.run()
    checker = room.checker()
    room.journal.append(told, account="gondecourt", aip="aip-1", outcome="succes", detail={})
    (room.folder / "stockage" / "gondecourt" / "aip" / name).unlink()
    assert checker.run(everything=True).status == 0
    assert room.events() == []


def test_seals_are_checked_too_and_never_forgotten(room: Room) -> None:
    content = b"un sceau"
    sha512 = hashlib.sha512(content).hexdigest()
    store = room.replicas["sae1"]
    store.put("sae", "sceaux", "sceau-00000001.json", io.BytesIO(content), size=len(content), sha512=sha512)
    assert room.run().checked == 1
    (room.folder / "stockage" / "sae" / "sceaux" / "sceau-00000001.json").unlink()
    assert room.run(everything=True).status == 1


class Audited(Replica):
    """A replica whose node has an auditor."""

    set_aside: list[dict[str, object]]

    def quarantined(self) -> list[dict[str, object]]:
        return self.set_aside


def test_what_a_node_s_auditor_set_aside_is_journaled_once_and_read_again(room: Room) -> None:
    name = room.keep("aip-1")
    audited = room.replicas["sae2"] = Audited(room.folder / "stockage")
    audited.set_aside = []
    room.run()
    audited.set_aside = [
        {"objet": f"/AUTH_gondecourt/aip/{name}", "dossier": "0123", "le": 1, "repare": True},
        {"objet": None, "dossier": "4567", "le": 2, "repare": False},
    ]
    assert [room.run().checked for _ in range(3)] == [1, 0, 0]
    noted = [one for one in room.journal.events() if one.event == "fixite.quarantaine"]
    assert [(one.aip, one.account, one.detail["noeud"], one.detail["dossier"]) for one in noted] == [
        ("aip-1", "gondecourt", "sae2", "0123"),
        (None, "sae", "sae2", "4567"),
    ]


def test_a_sample_judges_itself_alone(room: Room) -> None:
    names = [room.keep(f"aip-{number}") for number in range(20)]
    assert (room.checker().sample(5).checked, room.checker().sample(5).status) == (5, 0)
    for name in names:
        room.replicas["sae2"].wrong[name] = 10**6
    assert room.checker().sample(1).status == 1


def test_metrics_say_what_stands(room: Room) -> None:
    name = room.keep("aip-1")
    room.keep("aip-2")
    room.replicas["sae2"].wrong[name] = 10**6
    result = room.run()
    text = fixity.metrics(room.state, room.plan, result, room.now)
    assert 'sae_fixite_objets{compte="gondecourt",conteneur="aip",resultat="bon"} 1' in text
    assert 'sae_fixite_objets{compte="gondecourt",conteneur="aip",resultat="abime"} 1' in text
    assert "\nsae_fixite_anomalies 1\n" in text
    assert "\nsae_fixite_resultat 1\n" in text
    assert 'sae_fixite_delai_seconds{compte="gondecourt",conteneur="aip"} 2592000' in text


def test_another_journal_is_learnt_from_its_beginning(room: Room) -> None:
    for number in range(3):
        room.keep(f"aip-{number}")
    room.run()
    with Journal(room.folder / "restaure.sqlite") as other:
        room.journal = other
        result = room.run(everything=True)
    assert (result.status, result.total) == (0, 3)
