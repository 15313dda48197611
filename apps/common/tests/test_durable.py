"""Files that survive a crash, for agents, modules and the control node."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from creatic_agent import durable


def test_write_replaces_at_once_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a"
    durable.write(target, b"un")
    assert target.stat().st_mode & 0o777 == 0o640
    durable.write(target, b"un", 0o604)
    assert target.stat().st_mode & 0o777 == 0o604
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disque plein")))
    with pytest.raises(OSError, match="disque plein"):
        durable.write(target, b"deux")
    assert target.read_bytes() == b"un"
    assert list(tmp_path.iterdir()) == [target]


def test_content_is_on_disk_before_its_name_and_both_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    target = tmp_path / "a"

    def record(handle: int) -> None:
        synced.append((Path(f"/proc/self/fd/{handle}").readlink().name, target.exists()))

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(durable.secrets, "token_hex", lambda size: "x")
    durable.write(target, b"un")
    assert synced == [(".x.part", False), (tmp_path.name, True)]


def test_nothing_is_written_through_what_somebody_else_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    precious, name = tmp_path / "precieux", tmp_path / ".x.part"
    precious.write_bytes(b"un")
    monkeypatch.setattr(durable.secrets, "token_hex", lambda size: "x")
    for plant in (name.symlink_to, name.hardlink_to):
        plant(precious)
        with pytest.raises(FileExistsError):
            durable.write(tmp_path / "a", b"deux")
        name.unlink(missing_ok=True)
        plant(precious)
        with pytest.raises(FileExistsError):
            durable.fresh(name)
        name.unlink()
    with durable.fresh(name):
        assert name.stat().st_mode & 0o777 == 0o640
    name.unlink()
    os.mkfifo(name)
    with pytest.raises(FileExistsError):
        durable.write(tmp_path / "a", b"deux")
    assert precious.read_bytes() == b"un"
    target = tmp_path / "lien"
    target.symlink_to(precious)
    monkeypatch.undo()
    durable.write(target, b"deux")  # it takes the link's place
    assert (precious.read_bytes(), target.read_bytes(), target.is_symlink()) == (b"un", b"deux", False)


@pytest.mark.parametrize("more", [b"x" * 5, b""], ids=["grows", "shrinks"])
def test_a_file_that_is_being_written_is_read_no_further_than_it_was(tmp_path: Path, more: bytes) -> None:
    """Who writes faster than it is read would fill a disk."""
    path, read = tmp_path / "f", b""
    path.write_bytes(b"0123456789")
    with path.open("rb", buffering=0) as stream, pytest.raises(OSError, match="a changé pendant sa lecture"):
        for block in durable.still(stream, block=4):
            read += block
            path.write_bytes(path.read_bytes() + more if more else b"012")
    assert len(read) == (10 if more else 4)


def test_what_stays_as_it_is_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for content in (b"", b"0123456789"):
        path.write_bytes(content)
        with path.open("rb") as stream:
            assert b"".join(durable.still(stream, 10, block=4)) == content
    with path.open("rb") as stream, pytest.raises(OSError, match="le fichier a 10 octets, 9 au plus"):
        list(durable.still(stream, 9))


def test_what_takes_no_other_s_place_leaves_it_and_nothing_of_its_own(tmp_path: Path) -> None:
    target = tmp_path / "a"
    durable.write(target, b"un", replace=False)
    with pytest.raises(FileExistsError):
        durable.write(target, b"deux", replace=False)
    assert (target.read_bytes(), list(tmp_path.iterdir())) == (b"un", [target])


def test_a_check_sees_the_new_file_whole_and_its_refusal_leaves_the_old_one(tmp_path: Path) -> None:
    target, seen = tmp_path / "a", list[tuple[bytes, int]]()
    durable.write(target, b"un", 0o600)

    def check(new: Path) -> None:
        seen.append((new.read_bytes(), new.stat().st_mode & 0o777))
        raise ValueError("refusé")

    with pytest.raises(ValueError, match="refusé"):
        durable.write(target, b"deux", 0o604, check=check)
    assert seen == [(b"deux", 0o604)]
    assert (target.read_bytes(), list(tmp_path.iterdir())) == (b"un", [target])


def test_without_a_mode_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        durable.write(tmp_path / "a", b"un", None)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_what_breaks_off_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "a"
    durable.write(target, b"un")
    with pytest.raises(KeyboardInterrupt), durable.whole(target) as stream:
        stream.write(b"de")
        raise KeyboardInterrupt
    assert (target.read_bytes(), list(tmp_path.iterdir())) == (b"un", [target])


def test_a_line_that_was_cut_takes_no_other_with_it_and_links_are_not_followed(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    durable.append(journal, b"un\n")
    assert journal.stat().st_mode & 0o777 == 0o600
    with journal.open("ab") as stream:
        stream.write(b"cou")
    durable.append(journal, b"deux\n")
    assert journal.read_bytes() == b"un\ncou\ndeux\n"
    (tmp_path / "lien").symlink_to(journal)
    with pytest.raises(OSError, match="lien"):
        durable.append(tmp_path / "lien", b"trois\n")


def test_a_line_that_does_not_fit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda handle, line: len(line) - 1)
    with pytest.raises(OSError, match="No space left"):
        durable.append(tmp_path / "journal", b"un\n")


def test_a_line_that_does_not_fit_leaves_nothing_of_it(tmp_path: Path) -> None:
    """A full disk left its beginning in the registry of accesses, which nobody could read, nor revoke by, any more."""
    journal = tmp_path / "journal"
    durable.append(journal, b"un\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))
    try:
        with pytest.raises(OSError):
            durable.append(journal, b"deux\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert journal.read_bytes() == b"un\n"
    durable.append(journal, b"trois\n")
    assert journal.read_bytes() == b"un\ntrois\n"


def test_a_tree_is_on_disk_with_its_folders_and_what_its_links_name_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "arbre"
    (top / "dedans").mkdir(parents=True)
    (top / "dedans" / "a").touch()
    (tmp_path / "dehors").touch()
    (top / "lien").symlink_to(tmp_path / "dehors")
    (top / "absent").symlink_to(tmp_path / "absent")
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    durable.sync_tree(top)
    assert sorted(synced) == ["a", "arbre", "dedans"]
    durable.sync_tree(tmp_path / "dehors")
    assert synced[3:] == ["dehors"]
