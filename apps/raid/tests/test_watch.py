"""The agent creatic-raid, on a /sys of the test's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from creatic_raid import cli, state


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An array of two disks, open and sound."""
    md = tmp_path / "sys/block/md127/md"
    for name, text in (
        ("array_state", "clean"),
        ("raid_disks", "2"),
        ("degraded", "0"),
        ("sync_action", "idle"),
        ("sync_completed", "none"),
        ("mismatch_cnt", "0"),
        ("dev-sda/state", "in_sync"),
        ("dev-sdb/state", "in_sync"),
    ):
        (md / name).parent.mkdir(parents=True, exist_ok=True)
        (md / name).write_text(f"{text}\n")
    (tmp_path / "sys/block/dm-0/dm").mkdir(parents=True)
    (tmp_path / "sys/block/dm-0/dm/name").write_text("d1\n")
    (tmp_path / "dev/md").mkdir(parents=True)
    (tmp_path / "dev/md/d1").symlink_to("../md127")
    return tmp_path


def put(root: Path, name: str, text: str) -> None:
    (root / "sys/block/md127/md" / name).write_text(f"{text}\n")


def test_a_sound_volume(root: Path) -> None:
    (found,) = state.volumes(["d1"], root)
    assert found.sound
    assert state.table([found]).splitlines()[1].split() == ["d1", "oui", "sda", "sain,", "sdb", "sain", "sain"]
    assert 'creatic_raid_disks_missing{volume="d1"} 0' in state.metrics([found])


def test_a_failed_disk(root: Path) -> None:
    put(root, "degraded", "1")
    put(root, "dev-sda/state", "faulty")
    (found,) = state.volumes(["d1"], root)
    assert not found.sound
    assert "sda en panne, sdb sain" in state.table([found])
    assert "DÉGRADÉ : il manque 1 disque" in state.table([found])
    assert 'creatic_raid_disks_faulty{volume="d1"} 1' in state.metrics([found])


def test_a_reconstruction(root: Path) -> None:
    put(root, "degraded", "1")
    put(root, "dev-sda/state", "spare")
    put(root, "sync_action", "recover")
    put(root, "sync_completed", "200 / 800")
    (found,) = state.volumes(["d1"], root)
    assert found.rebuilt == 0.25
    assert "reconstruction à 25%" in state.table([found])
    put(root, "sync_completed", "none")  # it has not begun
    assert state.volumes(["d1"], root)[0].rebuilt == 0


def test_the_monthly_check_is_no_reconstruction(root: Path) -> None:
    put(root, "sync_action", "check")
    put(root, "sync_completed", "200 / 800")
    assert state.volumes(["d1"], root)[0].sound


def test_a_closed_volume_and_an_absent_one(root: Path) -> None:
    (root / "sys/block/dm-0/dm/name").write_text("other\n")
    closed, absent = state.volumes(["d1", "d2"], root)
    assert not closed.sound and not absent.sound
    assert "fermé : à ouvrir depuis le poste de commande" in state.table([closed])
    assert "grappe absente" in state.table([absent])
    assert 'creatic_raid_present{volume="d2"} 0' in state.metrics([closed, absent])


def test_what_mdadm_notices_is_told_with_its_gravity(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[tuple[int, str]] = []
    monkeypatch.setattr(cli.syslog, "syslog", lambda level, text: told.append((level, text)))
    monkeypatch.setattr(cli, "CONFIGURATION", tmp_path / "raid.json")
    monkeypatch.setattr(cli, "METRICS", tmp_path / "raid.prom")
    (tmp_path / "raid.json").write_text("[]")
    for arguments in (
        ["Fail", "/dev/md127", "/dev/sda"],
        ["RebuildFinished", "/dev/md127"],
        ["Rebuild40", "/dev/md127"],
    ):
        monkeypatch.setattr(cli.sys, "argv", ["creatic-raid", *arguments])
        assert cli.main() == 0
    assert told == [
        (cli.syslog.LOG_ERR, "/dev/md127 (/dev/sda) : un disque est en panne"),
        (cli.syslog.LOG_NOTICE, "/dev/md127 : reconstruction finie"),
        (cli.syslog.LOG_NOTICE, "/dev/md127 : Rebuild40"),
    ]
    assert (tmp_path / "raid.prom").exists()


def test_the_table_says_whether_all_is_well(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = state.volumes
    monkeypatch.setattr(cli.state, "volumes", lambda names: real(names, root))
    monkeypatch.setattr(cli, "CONFIGURATION", tmp_path / "raid.json")
    monkeypatch.setattr(cli.sys, "argv", ["creatic-raid"])
    for names, status in ((["d1"], 0), (["d1", "d2"], 1)):
        (tmp_path / "raid.json").write_text(json.dumps(names))
        assert cli.main() == status
        assert capsys.readouterr().out == f"{state.table(real(names, root))}\n"


def test_an_absent_volume_and_failed_disks_are_counted(root: Path) -> None:
    put(root, "dev-sda/state", "faulty")
    sick, absent = state.volumes(["d1", "d2"], root)
    figures = state.metrics([sick, absent])
    assert 'creatic_raid_disks_faulty{volume="d1"} 1' in figures
    assert 'creatic_raid_disks_faulty{volume="d2"} 0' in figures
    assert 'creatic_raid_disks_missing{volume="d2"} 0' in figures
    assert 'creatic_raid_mismatches{volume="d2"} 0' in figures
    assert 'creatic_raid_rebuilt_ratio{volume="d2"} 1\n' in figures
