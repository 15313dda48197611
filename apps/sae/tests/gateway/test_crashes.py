"""Killed at every step, the storage away, two requests at once: one AIP, one line in the journal, one answer."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from sae import metrics
from sae.journal import JournalError
from sae.store import FileStore, StoreUnavailableError
from sae.versement import antivirus
from sae.versement.container import Member
from sae.versement.passage import Passage
from sae.versement.registry import Answer
from sae.versement.spool import AnswerPendingError, Folder, SipBusyError, SipTooLargeError

from testbed.sae import GONDECOURT, LOOS, FakeClamd, Gateway, crash, sip

STEPS = [
    "octets reçus", "reçu", "déballé", "contrôlé", "controle", "tar écrit", "emballe", "déposé au stockage", "range",
    "journalisé", "au registre", "rangé",
]  # fmt: skip # a list of words
TAKEN = STEPS[1:-2]  # killed there, the versement is on the gateway's disk without its answer


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("resumed", [True, False], ids=["resumed", "sent again"])
def test_killed_at_every_step(tmp_path: Path, clamd: FakeClamd, step: str, resumed: bool) -> None:
    package = tmp_path / "sip.tar"
    package.write_bytes(sip())
    assert crash(tmp_path, package, step)
    gateway = Gateway(tmp_path)
    if resumed:
        outcomes = [outcome for _, outcome in gateway.engine.resume()]
        assert outcomes == (["OK"] if step in [*TAKEN, "au registre"] else [])
    answer = gateway.deposit(package.read_bytes())
    assert answer.accepted
    assert gateway.stored() == [f"{answer.aip}.tar"]
    assert gateway.accepted_events() == 1
    assert [one.content for one in gateway.registry.recent(10)] == [answer.content]
    assert not [path for path in gateway.config.spool.iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_at_every_step(tmp_path: Path, clamd: FakeClamd, step: str) -> None:
    full = [step]

    def on_step(name: str) -> None:
        if name in full:
            raise OSError(errno.ENOSPC, "plus de place")

    gateway = Gateway(tmp_path, on_step=on_step)
    with pytest.raises(OSError, match="plus de place"):
        gateway.deposit(sip())
    full.clear()
    answer = gateway.deposit(sip())
    assert answer.accepted
    assert gateway.stored() == [f"{answer.aip}.tar"]
    assert gateway.accepted_events() == 1


def test_every_step_is_in_the_list(gateway: Gateway, tmp_path: Path) -> None:
    heard: list[str] = []
    Gateway(tmp_path, on_step=heard.append).deposit(sip())
    assert heard == STEPS


class Away(FileStore):
    """A storage that cannot be reached, or whose answer is lost after it kept the object."""

    def __init__(self, root: Path, keeps: bool) -> None:
        super().__init__(root)
        self.keeps, self.away = keeps, True

    def put(self, *place: Any, **given: Any) -> None:
        if self.keeps or not self.away:
            super().put(*place, **given)
        if self.away:
            raise StoreUnavailableError("le stockage ne répond pas")


@pytest.mark.parametrize("keeps", [True, False])
def test_the_storage_is_away(gateway: Gateway, tmp_path: Path, keeps: bool) -> None:
    store = Away(tmp_path / "archives", keeps)
    gateway.engine.store = store
    with pytest.raises(AnswerPendingError) as pending:
        gateway.deposit(sip())
    assert pending.value.message == "ACTE-1"
    if not keeps:  # else it finds its object under its name
        assert [outcome for _, outcome in gateway.engine.resume()] == ["en attente du stockage"]
    store.away = False
    assert [outcome for _, outcome in gateway.engine.resume()] == ["OK"]
    answer = gateway.registry.last_answer("gondecourt", "ACTE-1")
    assert answer is not None and answer.accepted
    assert len(gateway.stored()) == 1 and gateway.accepted_events() == 1


def test_a_lost_spool_makes_no_second_aip(gateway: Gateway) -> None:
    """The registry and the spool are gone, the storage is not: the same SIP finds its archive again."""
    first = gateway.deposit(sip())
    gateway.registry.forget(first.aip or "")
    with gateway.registry._write_transaction() as db:
        db.execute("DELETE FROM reponse")
    again = gateway.deposit(sip())
    assert again.accepted and again.aip == first.aip
    assert len(gateway.stored()) == 1
    archive = gateway.registry.archive("gondecourt", again.aip or "")
    assert archive is not None
    with gateway.engine.open(GONDECOURT, archive) as stream:  # its digest is the stored one's
        assert list(gateway.engine.blocks(stream, archive))


def test_two_requests_at_once(gateway: Gateway) -> None:
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(gateway.deposit(sip()))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.content for answer in answers} == {answers[0].content}
    assert len(answers) == 6 and len(gateway.stored()) == 1 and gateway.accepted_events() == 1


def test_one_account_has_one_sip_at_a_time_with_the_scanner(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that unfold take the scanner minutes each: three SIPs of them, and it scanned nobody else's."""
    begun, end, scan = threading.Semaphore(0), threading.Event(), antivirus.scan

    def slow(members: Iterable[Member], clamd: antivirus.Clamd) -> str:
        listed = [*members]
        if any(b"LENT" in one.path.read_bytes() for one in listed):
            begun.release()
            assert end.wait(30)
        return scan(listed, clamd)

    monkeypatch.setattr(antivirus, "scan", slow)
    slowly = [sip({"content/lent.xml": b"<a>LENT</a>\n"}, message=f"LENT-{rank}") for rank in range(3)]
    threads = [threading.Thread(target=gateway.deposit, args=(one,)) for one in slowly]
    for thread in threads:
        thread.start()
    try:
        assert begun.acquire(timeout=30)
        assert gateway.deposit(sip(sender=LOOS.siren), LOOS).accepted
        assert not begun.acquire(timeout=0.5)
    finally:
        end.set()
        for thread in threads:
            thread.join(30)
    assert [gateway.registry.find_by_message("gondecourt", f"LENT-{rank}") is not None for rank in range(3)] == [
        True
    ] * 3


def test_a_sip_that_waits_for_its_turn_takes_no_room_and_attempts_nothing(gateway: Gateway) -> None:
    """Twelve small ones that unfold filled the disk of all while they waited, and each death of the service counted."""
    key = gateway.engine.receive(GONDECOURT, io.BytesIO(sip()))
    folder, reached = gateway.config.spool / key, threading.Event()
    turn = threading.Lock()

    class Watched(defaultdict[str, threading.Lock]):
        def __missing__(self, name: str) -> threading.Lock:
            reached.set()
            return turn

    gateway.engine.turns = Watched()
    with turn:
        thread = threading.Thread(target=gateway.engine.treat, args=(key,))
        thread.start()
        assert reached.wait(30)
        there = sorted(one.name for one in folder.iterdir())
    thread.join(30)
    assert there == ["etat.json", "sip"]
    assert gateway.accepted_events() == 1


def test_a_sip_that_takes_the_scanner_too_long_is_put_off(
    gateway: Gateway, clamd: FakeClamd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(antivirus, "MAX_SCAN_SECONDS", -1.0, raising=False)
    answer = gateway.deposit(sip())
    assert not answer.accepted and answer.temporary and "répartissez ses fichiers" in answer.reasons[0]
    assert [*gateway.engine.resume()] == []  # nothing of it waits


def test_the_same_sip_comes_again_as_its_first_is_put_away(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is taken when it is asked for, and free when one looks who took it."""
    place, refused = Path.rename, list[Path]()

    def rename(folder: Path, target: Path) -> Path:
        if refused or target.name.startswith("."):
            return place(folder, target)
        refused.append(target)
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(target))

    monkeypatch.setattr(Path, "rename", rename)
    assert gateway.deposit(sip()).accepted and refused


def test_a_place_that_something_else_took_is_told(gateway: Gateway) -> None:
    key = gateway.engine.receive(GONDECOURT, io.BytesIO(sip()))
    (gateway.config.spool / key / "etat.json").unlink()
    with pytest.raises(OSError, match=key):
        gateway.engine.receive(GONDECOURT, io.BytesIO(sip()))
    assert [folder.name for folder in gateway.config.spool.iterdir()] == [key]


def test_a_versement_under_way_is_left_alone(gateway: Gateway) -> None:
    key = gateway.engine.receive(GONDECOURT, io.BytesIO(sip()))
    with Folder(gateway.config.spool / key).locked(0), pytest.raises(SipBusyError):
        gateway.engine.treat(key, wait=0)
    assert gateway.engine.treat(key).accepted


def test_an_upload_too_big_or_cut_leaves_nothing(gateway: Gateway) -> None:
    class Cut(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            raise OSError("liaison coupée")

    with pytest.raises(SipTooLargeError):
        gateway.deposit(b"x" * (gateway.config.limits.package + 1))
    with pytest.raises(OSError, match="liaison coupée"):
        gateway.engine.deposit(GONDECOURT, Cut())  # type: ignore[arg-type] # only read is used
    assert not list(gateway.config.spool.iterdir())


# -- a SIP that takes its process away ----------------------------------------------------------------------


def killer(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, step: str, how: type[BaseException]) -> list[str]:
    """The worker dies at this step of every SIP named ACTE-TUEUR; gives the steps it was killed at."""
    killed: list[str] = []
    act: Callable[..., Any] = getattr(Passage, step)

    def die(passage: Passage, *others: Any) -> Any:
        if b"ACTE-TUEUR" in passage.folder.sip.read_bytes():
            killed.append(step)
            raise how
        return act(passage, *others)

    monkeypatch.setattr(Passage, step, die)
    return killed


@pytest.mark.parametrize("step", ["_check_sip", "_pack_aip"])
@pytest.mark.parametrize("how", [SystemExit, MemoryError, RecursionError, ValueError])
def test_a_sip_that_kills_its_worker_is_set_aside(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, step: str, how: type[BaseException]
) -> None:
    killed = killer(gateway, monkeypatch, step, how)
    package = sip(message="ACTE-TUEUR")
    with pytest.raises(how):
        gateway.deposit(package)
    others = [gateway.engine.receive(GONDECOURT, io.BytesIO(sip(message=f"ACTE-{rank}"))) for rank in range(3)]
    treated: dict[str, str] = {}
    runs = 0
    while list(gateway.config.spool.iterdir()):
        runs += 1
        assert runs < 5
        try:
            for key, outcome in gateway.engine.resume():
                treated[key] = outcome
        except SystemExit:
            continue
    assert {treated[key] for key in others} == {"OK"}
    assert len(killed) == 3
    (aside,) = gateway.config.set_aside.iterdir()
    assert (aside / "sip").read_bytes() == package
    assert treated[aside.name] == "mis de côté"
    answer = gateway.deposit(package)  # nothing is tried again
    assert not answer.accepted and not answer.temporary and len(killed) == 3
    assert "a interrompu 3 fois le service" in answer.reasons[0]
    assert not list(gateway.config.spool.iterdir())
    noted = [one for one in gateway.journal.events() if one.event == "versement.refuse"]
    assert [one.detail["codes"] for one in noted] == [["INTERROMPU"]]
    assert len(gateway.stored()) == 3 and gateway.registry.usage()["gondecourt"][0] == 3
    assert "\nsae_versements_set_aside 1\n" in metrics.render(gateway.config, gateway.registry)
    monkeypatch.undo()
    shutil.rmtree(aside)  # somebody understood it
    assert gateway.deposit(package).accepted


def test_an_upload_that_ends_meanwhile_keeps_no_other(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = gateway.engine.receive(GONDECOURT, io.BytesIO(sip()))
    upload = gateway.engine.config.spool / ".0123456789abcdef"
    upload.mkdir()

    def attempts(folder: Folder) -> int:
        if folder.path == upload:
            upload.rename(tmp_path / "elsewhere")  # by the door, once the list was made
        return 0

    monkeypatch.setattr(Folder, "attempts", attempts)
    assert list(gateway.engine.resume()) == [(key, "OK")]


def test_others_go_first(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = killer(gateway, monkeypatch, "_check_sip", SystemExit)
    with pytest.raises(SystemExit):
        gateway.deposit(sip(message="ACTE-TUEUR"))
    keys = [gateway.engine.receive(GONDECOURT, io.BytesIO(sip(message=f"ACTE-{rank}"))) for rank in range(5)]
    treated = []
    with pytest.raises(SystemExit):
        for key, _ in gateway.engine.resume():
            treated.append(key)
    assert sorted(treated) == sorted(keys) and len(killed) == 2


def test_a_real_death_counts_and_what_passes_no_longer_does(tmp_path: Path, clamd: FakeClamd) -> None:
    package = tmp_path / "sip.tar"
    package.write_bytes(sip())
    assert crash(tmp_path, package, "déballé")
    (mark,) = (tmp_path / "versements").glob("*/essais")
    assert mark.read_text() == "1\n"
    assert crash(tmp_path, package, "emballe")  # checked and packed this time
    assert not mark.exists()
    assert [outcome for _, outcome in Gateway(tmp_path).engine.resume()] == ["OK"]


def test_an_interrupted_sip_that_is_then_refused_gives_its_place_back(tmp_path: Path, clamd: FakeClamd) -> None:
    package = tmp_path / "sip.tar"
    package.write_bytes(sip())
    assert crash(tmp_path, package, "tar écrit")
    gateway = Gateway(tmp_path)
    assert gateway.registry.usage()["gondecourt"][0] == 1
    clamd.verdict = "Virus FOUND"  # signatures have changed meanwhile
    assert [outcome for _, outcome in gateway.engine.resume()] == ["KO"]
    assert gateway.registry.usage() == {}
    clamd.verdict = ""
    assert gateway.deposit(sip()).accepted


def test_an_accepted_sip_whose_folder_came_back_is_put_away(gateway: Gateway, tmp_path: Path) -> None:
    """The answer is on the disk for sure, the folder's end is not."""
    kept = tmp_path / "avant"
    for moment in ("reçu", "emballe"):
        package = sip(message=f"ACTE-{moment}")

        def keep(step: str, wanted: str = moment) -> None:
            if step == wanted:
                (folder,) = [one for one in gateway.config.spool.iterdir() if not one.name.startswith(".")]
                shutil.copytree(folder, kept / folder.name)

        gateway.engine.step = keep
        answer = gateway.deposit(package)
        gateway.engine.step = lambda step: None
        for folder in kept.iterdir():
            folder.rename(gateway.config.spool / folder.name)
        assert [outcome for _, outcome in gateway.engine.resume()] == ["OK"]
        assert gateway.deposit(package).content == answer.content
        assert not list(gateway.config.spool.iterdir())
    assert len(gateway.stored()) == gateway.accepted_events() == 2


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "plus de place"), JournalError("verrou"), sqlite3.Error("x")])
def test_what_the_machine_does_is_not_held_against_a_sip(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_: object) -> None:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(Passage, "_reserve_place", fail)
        for _ in range(5):
            with pytest.raises(type(fault)):
                gateway.deposit(sip())
    assert gateway.deposit(sip()).accepted


def test_a_storage_away_for_long_is_not_held_against_a_sip(gateway: Gateway, tmp_path: Path) -> None:
    store = Away(tmp_path / "archives", keeps=False)
    gateway.engine.store = store
    for _ in range(6):
        with pytest.raises(AnswerPendingError):
            gateway.deposit(sip())
    store.away = False
    assert gateway.deposit(sip()).accepted
