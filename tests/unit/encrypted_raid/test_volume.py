"""What is done with the disks of a volume, from what they hold; the kernel itself is in molecule/encrypted_raid."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.action.encrypted_raid import ActionModule, volume_key
from ansible_collections.cdg59.creatic.plugins.module_utils.host import encrypted_raid
from ansible_collections.cdg59.creatic.plugins.module_utils.host.encrypted_raid import Disk, RaidError, Volume, judge

A, B, C = "/dev/sda", "/dev/sdb", "/dev/sdc"
MOUNT = "/srv/node/d1"
UUID, OTHER = "1111:2222", "3333:4444"


def member(path: str, uuid: str = UUID, array: str = "d1") -> Disk:
    return Disk(path, uuid=uuid, array=array)


# -- what the disks say -------------------------------------------------------------------------------------------


def test_blank_disks_make_a_new_array() -> None:
    verdict = judge("d1", [Disk(A), Disk(B)])
    assert (verdict.uuid, verdict.blank, verdict.warnings) == ("", [A, B], [])


def test_a_blank_disk_completes_an_array() -> None:
    verdict = judge("d1", [Disk(C), member(B)], UUID)
    assert (verdict.uuid, verdict.blank) == (UUID, [C])


def test_an_absent_disk_keeps_nothing_closed() -> None:
    verdict = judge("d1", [Disk(A, present=False), member(B)], UUID)
    assert (verdict.uuid, verdict.blank) == (UUID, [])
    assert verdict.warnings[0].startswith("/dev/sda est absent : le volume d1 vit sur l'autre disque.")


@pytest.mark.parametrize(
    ("disks", "recorded", "reason"),
    [
        ([Disk(A, holds="contient déjà des données (ext4)"), Disk(B)], "", "/dev/sda contient déjà des données (ext4)"),
        ([Disk(A, holds="est utilisé par dm-0"), member(B)], UUID, "/dev/sda est utilisé par dm-0 : aucun disque"),
        ([member(A, array="d2"), Disk(B)], "", "/dev/sda fait partie de la grappe « d2 »"),
        ([member(A), member(B, OTHER)], "", "viennent de grappes différentes (1111:2222, 3333:4444)"),
        ([member(A, OTHER), Disk(B)], UUID, "viennent de grappes différentes (1111:2222, 3333:4444)"),
        ([Disk(A), Disk(B)], UUID, "aucun de ces disques ne porte le volume d1 que cette machine avait (1111:2222)"),
        ([Disk(A)], "", "le volume d1 ne peut pas être créé : il faut au moins deux disques"),
        ([Disk(A, present=False), Disk(B)], "", "le volume d1 ne peut pas être créé : /dev/sda absent"),
    ],
)
def test_what_is_not_ours_or_not_enough_is_refused(disks: list[Disk], recorded: str, reason: str) -> None:
    with pytest.raises(RaidError) as refusal:
        judge("d1", disks, recorded)
    assert reason in str(refusal.value)


@pytest.mark.parametrize("place", [0, 5 << 20, (40 << 20) - 1])
def test_a_disk_is_blank_when_both_ends_are(tmp_path: Path, place: int) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as out:
        out.truncate(40 << 20)
    assert encrypted_raid.blank(disk)
    with disk.open("r+b") as out:
        out.seek(place)
        out.write(b"x")
    assert not encrypted_raid.blank(disk)


# -- what is done about it ----------------------------------------------------------------------------------------


class Machine:
    """A host with one assembled array; commands are remembered, and answer what they were told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.keys: list[bytes] = []
        self.answers = {
            "mdadm --detail --export /dev/md127": (0, f"MD_UUID={UUID}\n"),
            "cryptsetup luksDump": (0, "LUKS header\nSubsystem:\tcreatic\n"),
        }

    def __call__(self, command: Sequence[str], key: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        line = " ".join(command)
        self.asked.append(line)
        self.keys.append(key)
        status, text = next((answer for start, answer in self.answers.items() if line.startswith(start)), (0, ""))
        return subprocess.CompletedProcess(command, status, text.encode(), b"")

    def changed(self) -> list[str]:
        """Commands which are not mere questions."""
        questions = ("mdadm --detail", "cryptsetup isLuks", "cryptsetup luksDump", "cryptsetup status", "wipefs --json")
        return [line for line in self.asked if not line.startswith((*questions, "cryptsetup open --test"))]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    md = tmp_path / "sys/block/md127/md"
    for disk, state in (("a", "in_sync"), ("b", "in_sync")):
        (md / f"dev-{disk}").mkdir(parents=True)
        (md / f"dev-{disk}" / "state").write_text(f"{state}\n")
    (md / "array_state").write_text("clean\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text(f"/dev/mapper/d1\t{MOUNT}\txfs\tnoauto\t0\t0\n")
    record = encrypted_raid.record_path("d1", tmp_path / "etc")
    record.parent.mkdir(parents=True)
    record.write_text(f"ARRAY /dev/md/d1 UUID={UUID}\n")
    (tmp_path / "dev/mapper").mkdir(parents=True)
    monkeypatch.setattr(encrypted_raid, "blank", lambda _device: True)
    return Machine(tmp_path)


def volume(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, disks: list[Disk], *, new_key: bool = False, check: bool = False
) -> Volume:
    found = {disk.path: disk for disk in disks}
    monkeypatch.setattr(Volume, "_inspect_disk", lambda _self, path: found[path])
    return Volume("d1", list(found), MOUNT, b"the key", "/secrets/d1.cle", new_key, check, machine.root, machine)


def test_a_started_machine_is_opened_with_the_key_on_standard_input(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")])
    found.ensure()
    assert machine.changed() == ["cryptsetup open --type luks2 --key-file - /dev/md127 d1"]
    assert machine.keys[machine.asked.index(machine.changed()[-1])] == b"the key"
    assert not any("the key" in line for line in machine.asked)


def test_check_mode_runs_nothing_but_questions(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    found = volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")], check=True)
    found.ensure()
    assert machine.changed() == []
    assert found.changes == ["d1 : ouvert"]


def test_check_mode_says_what_a_fresh_machine_would_get(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypted_raid.record_path("d1", machine.root / "etc").unlink()
    found = volume(machine, monkeypatch, [Disk("/dev/a"), Disk("/dev/b")], check=True, new_key=True)
    found.ensure()
    assert machine.changed() == []
    assert found.changes == ["d1 : grappe créée sur /dev/a, /dev/b", "d1 : à chiffrer, à formater, à monter"]


def test_a_wrong_key_opens_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.answers["cryptsetup open --test-passphrase"] = (2, "")
    with pytest.raises(RaidError, match=r"/secrets/d1\.cle n'est pas la clé du volume d1"):
        volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")]).ensure()
    assert machine.changed() == []


def test_a_lost_key_is_never_replaced(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RaidError, match="sa clé n'est plus sur le poste de commande"):
        volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")], new_key=True).ensure()
    assert machine.changed() == []


def test_an_array_with_plain_data_is_not_encrypted_over(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.answers["cryptsetup isLuks"] = (1, "")
    machine.answers["wipefs --json"] = (0, '{"signatures": [{"type": "xfs"}]}')
    with pytest.raises(RaidError, match=r"contient déjà des données non chiffrées \(xfs\)"):
        volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")], new_key=True).ensure()
    assert machine.changed() == []


def test_a_run_that_was_cut_before_the_encryption_goes_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.answers["cryptsetup isLuks"] = (1, "")
    found = volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")])
    found.ensure()
    assert found.formatted
    assert [line.split()[1] for line in machine.changed()] == ["luksFormat", "open"]


def test_a_run_that_was_cut_before_the_file_system_goes_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.answers["cryptsetup luksDump"] = (0, f"Subsystem:    \t{encrypted_raid.UNUSED}\n")
    (machine.root / "dev/mapper/d1").touch()
    machine.answers["cryptsetup status"] = (0, "  device:  /dev/md127\n")
    volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")]).ensure()
    done = [line.split()[:2] for line in machine.changed()]
    assert done == [["mkfs.xfs", "-q"], ["cryptsetup", "config"], ["mount", MOUNT]]


def test_a_failed_disk_is_taken_off_once_replaced(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (machine.root / "sys/block/md127/md/dev-a/state").write_text("faulty\n")
    new = tmp_path / "new"
    new.touch()
    found = volume(machine, monkeypatch, [Disk(str(new)), member("/dev/b")])
    found.ensure()
    assert machine.changed()[:2] == [
        "mdadm --manage /dev/md127 --remove /dev/a",
        f"mdadm --manage /dev/md127 --add {new}",
    ]


def test_another_device_of_that_name_is_not_taken_for_the_volume(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.root / "dev/mapper/d1").touch()
    machine.answers["cryptsetup status"] = (0, "  device:  /dev/sdz\n")
    with pytest.raises(RaidError, match="ouvert sur autre chose que la grappe d1"):
        volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")]).ensure()


def test_fstab_has_one_line_for_the_volume() -> None:
    text = "/dev/sda1 / ext4 defaults 0 1\n/dev/mapper/d1 /old xfs defaults 0 0\n"
    wanted = encrypted_raid.edit_fstab(text, "/dev/mapper/d1", "/srv/node/d1")
    assert encrypted_raid.mount_points(wanted, "/dev/mapper/d1") == ["/srv/node/d1"]
    assert encrypted_raid.edit_fstab(wanted, "/dev/mapper/d1", "/srv/node/d1") == wanted
    assert wanted.startswith("/dev/sda1 / ext4 defaults 0 1\n")


# -- keys ---------------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "disques" / "sae1-d1.cle"
    key, new = volume_key(path, check=False)
    assert new and len(key) == 88
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    path.write_text(f"{key}\n")  # through an editor
    assert volume_key(path, check=False) == (key, False)


def test_check_mode_keeps_no_key(tmp_path: Path) -> None:
    assert volume_key(tmp_path / "disques" / "sae1-d1.cle", check=True)[1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "court\n", "é" * 60])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sae1-d1.cle"
    path.write_text(text)
    with pytest.raises(AnsibleActionFail, match=r"sae1-d1\.cle ne contient pas une clé"):
        volume_key(path, check=False)


@pytest.mark.parametrize("names", [["D1"], ["../d1"], ["d1", "d1"], [""], ["a" * 17]])
def test_bad_names_are_refused(names: list[str]) -> None:
    with pytest.raises(AnsibleActionFail, match="encrypted_raid_volumes"):
        ActionModule._volume_names({"volumes": [{"name": name} for name in names]})


def test_a_folder_of_keys_may_be_made_by_several_volumes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert volume_key(tmp_path / "cles" / "disques" / f"sae1-{name}.cle", check=False)[1]


@pytest.mark.parametrize(("length", "good"), [(42, False), (43, True)])
def test_a_key_has_32_bytes_at_least(tmp_path: Path, length: int, good: bool) -> None:
    path = tmp_path / "sae1-d1.cle"
    path.write_text("k" * length)
    if good:
        assert volume_key(path, check=False) == ("k" * length, False)
    else:
        with pytest.raises(AnsibleActionFail, match="43 caractères au moins"):
            volume_key(path, check=False)


class Play:
    """Runs the action; what the host answers is given, what it was sent is kept."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.sent, self.answer = folder, dict[str, Any](), dict[str, Any]()
        self.pipelining = True
        monkeypatch.setattr(ActionModule, "_is_pipelining_enabled", lambda _self, _style: self.pipelining)
        monkeypatch.setattr(ActionModule, "_execute_module", lambda _self, **sent: self._module(**sent))

    def _module(self, module_name: str, module_args: dict[str, Any], **_options: Any) -> dict[str, Any]:
        assert module_name == "cdg59.creatic.encrypted_raid"
        self.sent = module_args
        return {"invocation": module_args, **self.answer}

    def run(self, check: bool = False) -> dict[str, Any]:
        args = {"secrets_dir": str(self.folder), "volumes": [{"name": "d1"}, {"name": "d2"}]}
        task = MagicMock(args=args, check_mode=check, diff=False, async_val=0)
        action = ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
        result: dict[str, Any] = action.run(None, {"inventory_hostname": "sae1"})
        return result

    def kept(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.cle"))


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    return Play(tmp_path, monkeypatch)


def test_keys_are_kept_for_the_volumes_that_were_encrypted(play: Play) -> None:
    (play.folder / "sae1-d2.cle").write_text("k" * 88)
    play.answer = {"formatted": ["d1"], "changes": ["d1 : chiffré", "d1 : ouvert"]}
    result = play.run()
    assert play.kept() == ["sae1-d1.cle", "sae1-d2.cle"]
    assert play.sent["new_keys"] == ["d1"]
    assert play.sent["keys"] == {name: (play.folder / f"sae1-{name}.cle").read_text() for name in ("d1", "d2")}
    assert play.sent["key_files"]["d1"] == str(play.folder / "sae1-d1.cle")
    assert "invocation" not in result
    assert result["diff"][0]["after"] == "d1 : chiffré\nd1 : ouvert\n"


def test_a_new_key_that_encrypted_nothing_is_not_kept(play: Play) -> None:
    play.answer = {"failed": True, "formatted": ["d2"]}
    assert play.run()["failed"]
    assert play.kept() == ["sae1-d2.cle"]


def test_after_a_cut_a_new_key_may_be_the_volume_s(play: Play) -> None:
    play.answer = {"unreachable": True}
    play.run()
    assert play.kept() == ["sae1-d1.cle", "sae1-d2.cle"]


def test_check_mode_sends_keys_and_keeps_none(play: Play) -> None:
    play.answer = {"formatted": []}
    play.run(check=True)
    assert play.sent["new_keys"] == ["d1", "d2"]
    assert play.kept() == []


def test_a_key_that_would_be_written_on_the_host_is_not_sent(play: Play) -> None:
    play.pipelining = False
    with pytest.raises(
        AnsibleActionFail, match=r"^la clé des disques serait écrite sur la machine : mettez pipelining"
    ):
        play.run()
    assert (play.sent, play.kept()) == ({}, [])


# -- what is on a disk --------------------------------------------------------------------------------------------


def look(machine: Machine, path: Path) -> Disk:
    return Volume("d1", [str(path)], "", b"", "", False, False, machine.root, machine)._inspect_disk(str(path))


@pytest.fixture
def disk(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is taken for a disk."""
    monkeypatch.setattr(encrypted_raid.stat, "S_ISBLK", lambda _mode: True)
    monkeypatch.setattr(encrypted_raid.shutil, "which", lambda tool: f"/usr/sbin/{tool}")
    path = machine.root / "sdx"
    path.touch()
    return path


def test_what_is_no_disk_or_is_absent_is_told(machine: Machine) -> None:
    path = machine.root / "sdx"
    assert look(machine, path) == Disk(str(path), present=False)
    path.touch()
    assert look(machine, path) == Disk(str(path), holds="n'est pas un disque")


def test_a_blank_disk_is_one_without_anything(machine: Machine, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(machine, disk) == Disk(str(disk))
    holders = machine.root / "sys/class/block/sdx/holders"
    holders.mkdir(parents=True)
    assert look(machine, disk) == Disk(str(disk))
    (holders / "dm-1").touch()
    (holders / "dm-0").touch()
    assert look(machine, disk) == Disk(str(disk), holds="est utilisé par dm-0, dm-1")
    machine.answers["wipefs"] = (0, '{"signatures": [{"type": "xfs"}, {"type": "gpt"}, {"type": "xfs"}]}')
    assert look(machine, disk) == Disk(str(disk), holds="contient déjà des données (gpt, xfs)")
    machine.answers["wipefs"] = (1, "")
    with pytest.raises(RaidError, match=r"sdx illisible \(code 1\)$"):
        look(machine, disk)
    machine.answers["wipefs"] = (0, "")
    shutil.rmtree(holders)
    monkeypatch.setattr(encrypted_raid, "blank", lambda _device: False)
    assert look(machine, disk) == Disk(str(disk), holds="contient déjà des données (d'un genre inconnu)")


@pytest.mark.parametrize(
    ("told", "uuid", "array", "holds"),
    [
        (f"MD_LEVEL=raid1\nMD_UUID={UUID}\nMD_NAME=sae1:d1\n", UUID, "d1", ""),
        (f"MD_LEVEL=raid1\nMD_UUID={UUID}\nMD_NAME=d1\n", UUID, "d1", ""),
        (f"MD_LEVEL=raid1\nMD_UUID={UUID}\n", UUID, "?", ""),
        (f"MD_LEVEL=raid5\nMD_UUID={UUID}\nMD_NAME=sae1:d1\n", "", "", "contient déjà des données (linux_raid_member)"),
        ("MD_LEVEL=raid1\nMD_NAME=sae1:d1\n", "", "", "contient déjà des données (linux_raid_member)"),
    ],
)
def test_a_member_of_a_mirror_tells_its_array(
    machine: Machine, disk: Path, told: str, uuid: str, array: str, holds: str
) -> None:
    machine.answers["wipefs"] = (0, '{"signatures": [{"type": "linux_raid_member"}]}')
    machine.answers["mdadm --examine"] = (0, told)
    assert look(machine, disk) == Disk(str(disk), uuid=uuid, array=array, holds=holds)


def test_a_member_is_not_judged_without_mdadm(machine: Machine, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.answers["wipefs"] = (0, '{"signatures": [{"type": "linux_raid_member"}]}')
    monkeypatch.setattr(encrypted_raid.shutil, "which", lambda _tool: None)
    expected = "fait déjà partie d'une grappe, que mdadm (absent) dirait"
    assert look(machine, disk) == Disk(str(disk), holds=expected)
    assert encrypted_raid.missing_tools() == ["cryptsetup-bin", "mdadm", "xfsprogs"]
    monkeypatch.setattr(encrypted_raid.shutil, "which", lambda tool: tool == "mdadm" or None)
    assert encrypted_raid.missing_tools() == ["cryptsetup-bin", "xfsprogs"]


def test_both_ends_of_a_disk_are_looked_at_and_no_more(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as out:
        out.truncate(40 << 20)
        for place in ((16 << 20) - 1, 24 << 20):
            out.seek(place)
            out.write(b"x")
            out.flush()
            assert not encrypted_raid.blank(disk)
            out.seek(place)
            out.write(b"\0")
        for place in (16 << 20, (24 << 20) - 1):
            out.seek(place)
            out.write(b"x")
        out.flush()
        assert encrypted_raid.blank(disk)


# -- arrays -------------------------------------------------------------------------------------------------------


def test_a_new_volume_is_made_from_end_to_end(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypted_raid.record_path("d1", machine.root / "etc").unlink()
    machine.answers["cryptsetup isLuks"] = (1, "")
    monkeypatch.setattr(encrypted_raid.shutil, "which", lambda tool: tool)
    looks = [Disk("/dev/a"), Disk("/dev/b"), member("/dev/a")]
    monkeypatch.setattr(Volume, "_inspect_disk", lambda _self, _path: looks.pop(0))
    made = Volume("d1", ["/dev/a", "/dev/b"], "", b"the key", "", True, False, machine.root, machine)
    made.ensure()
    assert [" ".join(line.split()[:2]) for line in machine.changed()] == [
        "mdadm --create",
        "update-initramfs -u",
        "cryptsetup luksFormat",
        "cryptsetup open",
    ]
    assert machine.changed()[0].endswith("--name=d1 --raid-devices=2 /dev/a /dev/b")
    assert f"ARRAY /dev/md/d1 metadata=1.2 UUID={UUID}\n" in (
        encrypted_raid.record_path("d1", machine.root / "etc").read_text()
    )
    assert made.changes == [
        "d1 : grappe créée sur /dev/a, /dev/b",
        f"d1 : grappe {UUID} connue de mdadm.conf",
        "d1 : chiffré (LUKS2, argon2id)",
        "d1 : ouvert",
    ]
    assert made.formatted


def test_an_array_unknown_to_the_host_is_recorded_but_not_in_check_mode(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = encrypted_raid.record_path("d1", machine.root / "etc")
    shutil.rmtree(record.parents[1])
    found = volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")], check=True)
    found.ensure()
    assert found.changes[0] == f"d1 : grappe {UUID} connue de mdadm.conf"
    assert not record.exists()
    monkeypatch.setattr(encrypted_raid.shutil, "which", lambda _tool: None)
    volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")]).ensure()
    assert record.exists()
    assert not any("initramfs" in line for line in machine.asked)


@pytest.mark.parametrize("state", ["inactive", "clear"])
def test_an_array_that_waits_for_a_disk_is_started(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    (machine.root / "sys/block/md127/md/array_state").write_text(f"{state}\n")
    volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")]).ensure()
    assert machine.changed()[0] == "mdadm --run /dev/md127"


def test_an_array_that_is_not_assembled_is_assembled_from_what_is_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    detail = "mdadm --detail --export /dev/md127"
    machine.answers[detail] = (0, "MD_UUID=autre\n")
    disks = [machine.root / name for name in ("b", "a", "absent")]
    for path in disks[:2]:
        path.touch()
    members = [member(str(path)) for path in disks]
    found = volume(machine, monkeypatch, members, check=True)
    found.ensure()
    assert found.changes == ["d1 : grappe assemblée", "d1 : à chiffrer, à formater, à monter"]
    assert machine.changed() == []
    with pytest.raises(RaidError, match=f"^d1 : la grappe {UUID} est assemblée, mais introuvable$"):
        volume(machine, monkeypatch, members).ensure()
    expected = f"mdadm --assemble --run --uuid={UUID} /dev/md/d1 {disks[1]} {disks[0]}"
    assert machine.changed() == [expected]
    machine.asked.clear()

    def assembled(command: Sequence[str], key: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        if "--assemble" in command:
            machine.answers[detail] = (0, f"MD_UUID={UUID}\n")
        return machine(command, key)

    again = volume(machine, monkeypatch, members)
    again.run = assembled
    again.ensure()
    assert again.changes[0] == "d1 : grappe assemblée"
    assert machine.changed()[0] == expected


def test_what_is_odd_about_the_members_is_said(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    states = machine.root / "sys/block/md127/md"
    for name in ("a", "b"):
        shutil.rmtree(states / f"dev-{name}")
    sick, aside = tmp_path / "sick", tmp_path / "aside"
    for path in (sick, aside):
        path.touch()
    found = volume(machine, monkeypatch, [member(str(sick)), member(str(aside))])
    monkeypatch.setattr(
        Volume, "_array_members", lambda _self, _device: {str(sick): "faulty", "/dev/z": "in_sync", "/dev/y": "faulty"}
    )
    found.ensure()
    assert found.warnings[0] == "/dev/z fait partie du volume d1 sans être dans la liste de ses disques" or (
        found.warnings[0].startswith(f"{sick} est en panne : le volume d1 vit sur l'autre disque.")
    )
    assert len(found.warnings) == 2
    assert found.changes[:2] == ["d1 : /dev/y, en panne, retiré", f"d1 : {aside} remis, rattrapage en cours"]
    assert machine.changed()[:2] == [
        "mdadm --manage /dev/md127 --remove /dev/y",
        f"mdadm --manage /dev/md127 --add {aside}",
    ]


# -- encryption and file system -----------------------------------------------------------------------------------


def test_check_mode_leaves_an_array_in_clear(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.answers["cryptsetup isLuks"] = (1, "")
    found = volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")], check=True)
    found.ensure()
    assert found.changes == ["d1 : chiffré (LUKS2, argon2id)"]
    assert (machine.changed(), found.formatted) == ([], False)


def test_a_key_that_cannot_be_tried_stops_the_volume(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.answers["cryptsetup open --test-passphrase"] = (1, "un\ndeux\ntrois\nquatre\n")
    with pytest.raises(RaidError, match=r"^d1 : la clé n'a pas pu être essayée \(deux / trois / quatre\)$"):
        volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")]).ensure()


def test_a_command_that_fails_is_told_with_its_complaint(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    found = volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")])

    def fail(command: Sequence[str], key: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        if command[:3] == ["cryptsetup", "open", "--type"]:
            return subprocess.CompletedProcess(command, 5, b"sortie", b"erreur\n")
        return machine(command, key)

    found.run = fail
    with pytest.raises(RaidError, match=r"^d1 : cryptsetup a échoué \(erreur\)$"):
        found.ensure()


def test_an_open_volume_is_mounted_where_it_is_asked(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.root / "dev/mapper/d1").touch()
    machine.answers["cryptsetup status"] = (0, "  device:  /dev/md127\n")
    target = machine.root / "srv" / "node" / "d1"
    for check, changes in ((True, ["d1 : /etc/fstab"]), (False, ["d1 : /etc/fstab", f"d1 : monté sur {target}"])):
        found = volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")], check=check)
        found.mount = str(target)
        found.ensure()
        assert found.changes == changes
    assert machine.changed() == ["systemctl daemon-reload", f"mount {target}"]
    assert encrypted_raid.mount_points((machine.root / "etc/fstab").read_text(), "/dev/mapper/d1") == [str(target)]
    monkeypatch.setattr(encrypted_raid.os.path, "ismount", lambda _target: True)
    found.changes.clear()
    found.ensure()
    assert found.changes == []


def test_check_mode_formats_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.answers["cryptsetup luksDump"] = (0, f"Subsystem:\t{encrypted_raid.UNUSED}\n")
    (machine.root / "dev/mapper/d1").touch()
    machine.answers["cryptsetup status"] = (0, "  device:  /dev/md127\n")
    found = volume(machine, monkeypatch, [member("/dev/a"), member("/dev/b")], check=True)
    found.ensure()
    assert found.changes == ["d1 : système de fichiers XFS créé", "d1 : monté sur /srv/node/d1"]
    assert machine.changed() == []


def test_commands_of_the_host_get_the_key_on_their_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    done = encrypted_raid.run(["sh", "-c", "cat; echo $LC_ALL >&2; exit 3"], b"cle")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"cle", b"C\n")
    assert encrypted_raid._error_output(done) == "C"
    assert encrypted_raid._error_output(encrypted_raid.run(["sh", "-c", "echo dit; exit 1"])) == "dit"
    assert encrypted_raid._error_output(encrypted_raid.run(["false"])) == "code 1"
