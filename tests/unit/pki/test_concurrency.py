"""Several processes at once, and processes killed at the worst moments."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from creatic.pki import registry
from creatic.pki.authority import Authority
from creatic.pki.keys import Keys, Passphrases
from creatic.pki.registry import Book, Owner, Registry
from testbed.patience import allowed

from .conftest import CLIENT, HOST, SETTINGS, followed, issue, judge

FORK = multiprocessing.get_context("fork")
PROCESSES, EACH = 8, 6


def _issue_many(directory: Path, number: int, results: Any) -> None:
    authority = Authority(directory)
    results.put([issue(authority, CLIENT, Owner(f"hote-{number}-{index}")).serial for index in range(EACH)])


def test_eight_processes_issue_at_once(authority: Authority) -> None:
    results = FORK.Queue()
    workers = [FORK.Process(target=_issue_many, args=(authority.directory, n, results)) for n in range(PROCESSES)]
    for worker in workers:
        worker.start()
    serials = [serial for _ in workers for serial in results.get(timeout=allowed(600))]
    for worker in workers:
        worker.join(allowed(60))
        assert worker.exitcode == 0
    assert len(set(serials)) == PROCESSES * EACH
    assert {row["serie"] for row in authority.listing()} == set(serials)
    assert authority.verify() == []


def _ensure(directory: Path, results: Any) -> None:
    results.put(Authority(directory, Passphrases(directory, generate=True)).ensure(SETTINGS).changes)


def test_two_processes_make_one_authority(directory: Path) -> None:
    results = FORK.Queue()
    workers = [FORK.Process(target=_ensure, args=(directory, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    changes = [results.get(timeout=allowed(600)) for _ in workers]
    for worker in workers:
        worker.join(allowed(60))
        assert worker.exitcode == 0
    assert sorted(len(one) for one in changes) == [0, 0, 0, 2]
    assert Authority(directory).verify() == []


def _killed(work: Callable[[], object]) -> None:
    """Run `work` in a process and see that it died by SIGKILL."""
    process = FORK.Process(target=work)
    process.start()
    process.join(allowed(60))
    assert process.exitcode == -signal.SIGKILL


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_between_the_signature_and_the_registry(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    csr = CLIENT.csr(CLIENT.new_key())
    with monkeypatch.context() as patch:
        patch.setattr(Book, "record", _die)
        _killed(lambda: authority.issue(csr, CLIENT, HOST))
    assert authority.listing() == [] and authority.verify() == []
    judge(authority, tmp_path, authority.issue(csr, CLIENT, HOST).pem)


def test_killed_after_the_row_and_before_the_commit(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Book.record

    def then_die(*arguments: Any) -> None:
        record(*arguments)
        _die()

    csr = CLIENT.csr(CLIENT.new_key())
    with monkeypatch.context() as patch:
        patch.setattr(Book, "record", then_die)
        _killed(lambda: authority.issue(csr, CLIENT, HOST))
    assert authority.listing() == [] and authority.verify() == []
    authority.issue(csr, CLIENT, HOST)
    assert len(authority.listing()) == 1


def test_killed_after_the_commit_and_before_the_answer(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    csr = CLIENT.csr(CLIENT.new_key())
    with monkeypatch.context() as patch:
        patch.setattr(Authority, "_publish_files", _die)
        _killed(lambda: authority.issue(csr, CLIENT, HOST))
    (row,) = authority.listing()
    assert authority.issue(csr, CLIENT, HOST).serial == row["serie"]
    assert len(authority.listing()) == 1


def test_killed_in_a_revocation(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = issue(authority)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "make_crl", _die)
        _killed(lambda: authority.revoke("cessation", serial=issued.serial))
    assert authority.listing()[0]["statut"] == "valide" and authority.verify() == []
    with monkeypatch.context() as patch:
        patch.setattr(Authority, "_publish_files", _die)
        _killed(lambda: authority.revoke("cessation", serial=issued.serial))
    assert authority.listing()[0]["statut"] == "revoque" and authority.verify() == []
    authority.ensure(SETTINGS)  # any run brings publie/ up to date
    judge(authority, tmp_path, issued.pem, ok=False)


@pytest.mark.parametrize(
    ("place", "step"),
    [(Registry, "create"), (Keys, "make"), (Book, "record"), (Book, "sign_crl"), (Authority, "_publish_files")],
)
def test_killed_while_the_authority_is_made(
    directory: Path, monkeypatch: pytest.MonkeyPatch, place: type, step: str
) -> None:
    fresh = Authority(directory, Passphrases(directory, generate=True))
    with monkeypatch.context() as patch:
        patch.setattr(place, step, followed(getattr(place, step), _die))
        _killed(lambda: fresh.ensure(SETTINGS))
    fresh.ensure(SETTINGS)
    assert fresh.verify() == []
    issue(fresh)


def test_files_to_hand_out_are_written_by_one_at_a_time(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list read before a revocation is not written after that of the revocation, which servers would lose."""
    written: list[bool] = []
    publish = Authority._publish_files

    def alone(self: Authority, book: Any) -> None:
        with (self.directory / "verrou").open("w") as handle, pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        written.append(True)
        publish(self, book)

    monkeypatch.setattr(Authority, "_publish_files", alone)
    authority.ensure(SETTINGS)
    issue(authority)
    assert written == [True, True]
