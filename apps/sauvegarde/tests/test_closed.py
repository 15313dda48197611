"""What is on its way into a backup, or back, is nobody else's; and services are what their command left them."""

from __future__ import annotations

import io
import os
import sqlite3
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from creatic_sauvegarde import restore, snapshot, writing
from creatic_sauvegarde.contents import Entry
from creatic_sauvegarde.settings import Settings


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """The umask of a service."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class Watched(tarfile.TarFile):
    """A backup being read; notes the modes of what is there when the next thing is asked for."""

    root = Path()
    seen: list[dict[str, int]] = []  # noqa: RUF012 - one test, one list

    def next(self) -> tarfile.TarInfo | None:
        if self.root != Path():
            self.seen.append({str(one.relative_to(self.root)): mode(one) for one in sorted(self.root.rglob("*"))})
        return super().next()


@pytest.mark.parametrize("before", ["nothing", "an open file"])
def test_a_folder_is_closed_until_all_that_it_holds_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    root = tmp_path / "racine"
    root.mkdir()
    if before == "an open file":
        (root / "a").write_text("autre")
        (root / "a").chmod(0o777)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, kind in (("a", tarfile.DIRTYPE), ("a/b", tarfile.REGTYPE)):
            member = tarfile.TarInfo(name)
            member.type = kind
            made.addfile(member)
    buffer.seek(0)
    entries = {"a": Entry("d", 0o2775, 0, -1, -1), "a/b": Entry("-", 0o664, 0, -1, -1)}
    wanted: Any = SimpleNamespace(entries=entries, unlisted=lambda name: False, drop=pytest.fail)
    with Watched.open(fileobj=buffer) as tar:
        monkeypatch.setattr(Watched, "root", root)
        monkeypatch.setattr(Watched, "seen", [])
        writing.put(wanted, tar, root, {})
        seen = Watched.seen
    assert seen[-2:] == [{"a": 0o700}, {"a": 0o700, "a/b": 0o664}]
    assert (mode(root / "a"), mode(root / "a/b")) == (0o2775, 0o664)


def test_a_file_is_closed_while_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("ancien")
    (tmp_path / "secret").chmod(0o666)
    place = writing.Place(tmp_path)
    try:
        for path in ("secret", "neuf", "dossier/secret"):
            with place.new(path) as (descriptor, stream):
                assert stat.S_IMODE(os.fstat(descriptor).st_mode) == 0o600
                stream.write(b"nouveau")
    finally:
        place.close()
    assert (tmp_path / "secret").read_text() == "nouveau"
    assert mode(tmp_path / "dossier") == 0o755  # of what no backup describes


@pytest.mark.skipif(os.geteuid() != 0, reason="a database is copied as its owner")
def test_the_copy_of_a_database_is_its_owner_s_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    with tempfile.TemporaryDirectory() as name:  # other accounts may go through it, unlike pytest's own
        top = Path(name)
        top.chmod(0o711)
        base = top / "base" / "journal.sqlite"
        base.parent.mkdir()
        sqlite3.connect(base).execute("CREATE TABLE acte (id INTEGER)")
        for one in (base.parent, base):
            os.chown(one, 65534, 65534)
        state = top / "etat"
        state.mkdir(mode=0o711)
        items = [{"name": "essai", "paths": [name], "sqlite": [str(base)]}]
        chosen = Settings("mairie", "ssh://serveur/depot", items, top / "cles", state, top / "metriques")
        taken = snapshot.take(chosen)
        copy = Path(taken[0]["copie"])
        assert (mode(copy), copy.stat().st_uid) == (0o600, 65534)
        assert (mode(copy.parent), copy.parent.stat().st_uid, copy.parent.stat().st_gid) == (0o730, 0, 65534)
        assert mode(copy.parent.parent) == 0o711


class Systemd:
    """Answers `systemctl`; refuses one of its verbs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refused: str = "") -> None:
        self.asked: list[list[str]] = []
        self._refused = refused
        monkeypatch.setattr(restore.subprocess, "run", self._run)

    def _run(self, command: list[str], check: bool = False) -> subprocess.CompletedProcess[str]:
        self.asked.append(command[1:])
        done = subprocess.CompletedProcess[str](command, int(command[1] == self._refused))
        if check:
            done.check_returncode()
        return done


def test_services_are_started_again_once_all_went_well(monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd(monkeypatch)
    with restore.stopped(["a.service", "b.timer"]):
        assert systemd.asked == [["stop", "a.service", "b.timer"]]
    assert systemd.asked[1:] == [["start", "a.service", "b.timer"]]


def test_services_stay_stopped_when_it_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd(monkeypatch)
    with pytest.raises(OSError, match="plein"), restore.stopped(["a.service"]):
        raise OSError("plein")
    assert systemd.asked == [["stop", "a.service"]]


@pytest.mark.parametrize(("refused", "reached"), [("stop", False), ("start", True)])
def test_nothing_is_put_back_below_a_service_that_does_not_stop(
    monkeypatch: pytest.MonkeyPatch, refused: str, reached: bool
) -> None:
    Systemd(monkeypatch, refused)
    put_back: list[bool] = []
    with pytest.raises(subprocess.CalledProcessError), restore.stopped(["a.service"]):
        put_back.append(True)
    assert bool(put_back) is reached


def test_what_is_read_of_a_restoration_is_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "dehors").write_text("secret")
    (tmp_path / "racine" / "d").mkdir(parents=True)
    (tmp_path / "racine" / "lien").symlink_to("../dehors")
    os.mkfifo(tmp_path / "racine" / "tube")
    (tmp_path / "racine" / "fichier").write_text("contenu")
    place = writing.Place(tmp_path / "racine")
    try:
        for name in ("d", "lien", "tube", "absent", "absent/fichier"):
            with pytest.raises(OSError), place.old(name):
                pytest.fail(name)
        with place.old("fichier") as stream:
            assert stream.read() == b"contenu"
    finally:
        place.close()
    assert not (tmp_path / "racine" / "absent").exists()
