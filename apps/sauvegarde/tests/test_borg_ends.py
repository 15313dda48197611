"""How borg and borgmatic may end, and what is made of it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from creatic_sauvegarde import backup, borg
from creatic_sauvegarde.settings import BackupError, Settings


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/usr/bin/python3 -I\nimport sys\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("cles", "etat", "metriques"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(Settings, "environment", lambda self: {"PATH": "/usr/bin:/bin"})
    return Settings("mairie", "/depot", [], tmp_path / "cles", tmp_path / "etat", tmp_path / "metriques")


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("etc/a")
        member.size = 3000
        archive.addfile(member, io.BytesIO(b"x" * 3000))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("status", "whole", "good"),
    [
        (0, True, True),
        (1, True, True),  # its warnings, of before and of the modern scheme
        (100, True, True),
        (127, True, True),
        (2, True, False),
        (99, True, False),
        (128, True, False),
        (0, False, False),  # cut, whatever it says
        (1, False, False),
        (2, False, False),
    ],
)
def test_a_backup_that_comes_whole_is_one_whatever_borg_warns_of(
    chosen: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, whole: bool, good: bool
) -> None:
    (tmp_path / "tar").write_bytes(tar() if whole else tar()[:1500])
    sends = f"sys.stdout.buffer.write(open({str(tmp_path / 'tar')!r}, 'rb').read())"
    says = f"sys.stderr.write('été : mot de borg\\n'); sys.stdout.flush(); sys.exit({status})"
    monkeypatch.setattr(borg, "BORG", program(tmp_path / "borg", f"{sends}\n{says}"))

    def read() -> list[str]:
        with borg.content(chosen, "/depot::s", []) as found:
            return [member.name for member in found if found.extractfile(member).read()]  # type: ignore[union-attr] # files

    if good:
        assert read() == ["etc/a"]
    else:
        with pytest.raises(BackupError, match=r"^borg a échoué : été : mot de borg$"):
            read()


@pytest.mark.parametrize(("status", "good"), [(0, True), (1, False), (100, False), (2, False)])
def test_a_list_that_borg_warns_of_is_none(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch, status: int, good: bool
) -> None:
    lines = f"import json, sys; print(json.dumps({{'path': 'etc/a'}})); sys.stdout.flush(); sys.exit({status})"
    monkeypatch.setattr(borg, "_LIST", lines)
    monkeypatch.setattr(borg, "_PYTHON", "/usr/bin/python3")
    if good:
        assert list(borg.listing(chosen, "/depot::s")) == [{"path": "etc/a"}]
    else:
        with pytest.raises(BackupError, match="sans message"):
            list(borg.listing(chosen, "/depot::s"))


DONE: list[dict[str, Any]] = [
    {
        "archive": {"name": "s-1", "stats": {"nfiles": 3, "original_size": 20, "deduplicated_size": 10}},
        "cache": {"stats": {"unique_csize": 40}},
    }
]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"print({json.dumps(DONE)!r})", ""),
        (
            "sys.stderr.write('hook\\ncreatic-sauvegarde : été absent\\n'); sys.exit(1)",
            "été absent",
        ),
        ("print('creatic-sauvegarde : rien à lire'); sys.exit(1)", "rien à lire"),
        (
            "sys.stderr.write('Connection refused\\n'); sys.exit(2)",
            "le serveur de sauvegarde ne répond pas",
        ),
        ("sys.exit(2)", "borg a échoué : sans message"),
    ],
)
def test_a_hook_speaks_for_itself_and_borg_is_translated(
    chosen: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setattr(backup, "_BORGMATIC", program(tmp_path / "borgmatic", text))
    if reason:
        with pytest.raises(BackupError) as told:
            backup.perform(chosen)
        assert str(told.value).startswith(reason)
    else:
        assert backup.perform(chosen)["octets_depot"] == 40
    kept = json.loads((chosen.state / backup.LAST).read_text())
    assert (kept["bonne"], kept["raison"].startswith(reason), kept["derniere_bonne"].get("archive")) == (
        not reason,
        True,
        None if reason else "s-1",
    )
    assert (chosen.state / backup.LAST).stat().st_mode & 0o777 == 0o600


def test_a_line_too_long_to_be_held_is_told_and_the_next_are_read(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(borg, "_MAX_LISTING_LINE_BYTES", 150)
    monkeypatch.setattr(borg, "_PYTHON", "/usr/bin/python3")
    for length in (0, 100, 150, 300, 301, 1000):
        long = json.dumps({"path": "a" * length})
        monkeypatch.setattr(borg, "_LIST", f"print({long!r}); print({json.dumps({'path': 'b'})!r})")
        first = {"path": "a" * length} if len(long) < 150 else {"path": long[:100]}
        assert list(borg.listing(chosen, "/depot::s")) == [first, {"path": "b"}]
