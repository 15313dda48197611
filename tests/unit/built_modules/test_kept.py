"""What the control node keeps between runs: whole, its own account's, and no longer than it is asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.plugin_utils.kept import FileCache


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileCache:
    monkeypatch.setenv("HOME", str(tmp_path))
    return FileCache("essai")


def test_what_is_put_comes_back_and_is_closed_to_others(kept: FileCache) -> None:
    assert (kept.get("un"), kept.names()) == (None, [])
    kept.put("un", b"contenu")
    kept.put("vide", b"")
    assert (kept.get("un"), kept.get("vide"), sorted(kept.names())) == (b"contenu", b"", ["un", "vide"])
    assert kept.folder.stat().st_mode & 0o077 == (kept.folder / "un").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [b"", b"short", b"\0" * 32 + b"contenu"])
def test_what_is_not_whole_is_not_there_until_it_is_put_again(kept: FileCache, damage: bytes) -> None:
    kept.put("un", b"contenu")
    (kept.folder / "un").write_bytes(damage)
    assert kept.get("un") is None
    kept.put("un", b"contenu")
    assert kept.get("un") == b"contenu"


def test_nothing_is_taken_from_nor_put_in_a_folder_of_others(kept: FileCache) -> None:
    kept.put("un", b"contenu")
    os.chown(kept.folder, 1, 1)
    kept.put("deux", b"contenu")
    assert (kept.get("un"), kept.names()) == (None, [])
    os.chown(kept.folder, os.geteuid(), os.getegid())
    assert kept.names() == ["un"]
    kept.folder.rename(kept.folder.with_name("ailleurs"))
    kept.folder.symlink_to("ailleurs")
    kept.put("deux", b"contenu")
    assert (kept.get("un"), kept.names()) == (None, [])
    assert [path.name for path in kept.folder.with_name("ailleurs").iterdir()] == ["un"]


def test_what_others_may_have_put_is_not_taken_and_goes_when_something_is_put(kept: FileCache) -> None:
    kept.put("un", b"contenu")
    kept.folder.chmod(0o755)
    assert (kept.get("un"), kept.names()) == (None, [])
    kept.put("deux", b"contenu")
    assert kept.names() == ["deux"]


def test_what_nobody_asked_for_during_a_week_is_deleted(kept: FileCache) -> None:
    days = {"vieux": 8, "lu": 8, "jeune": 6}
    for name in days:
        kept.put(name, b"contenu")
    for name, count in days.items():
        now = (kept.folder / name).stat().st_mtime
        os.utime(kept.folder / name, (now - count * 86400,) * 2)
    kept.get("lu")
    kept.put("neuf", b"contenu")
    assert sorted(kept.names()) == ["jeune", "lu", "neuf"]


def test_what_cannot_be_kept_stops_nobody(kept: FileCache) -> None:
    kept.folder.parent.mkdir(parents=True)
    kept.folder.write_text("a file stands there")
    kept.put("un", b"contenu")
    assert (kept.get("un"), kept.names()) == (None, [])
