"""What is done with the disks of a volume, from what they hold; the kernel itself is in molecule/encrypted_raid."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.action.encrypted_raid import ActionModule, volume_key
from ansible_collections.cdg59.creatic.plugins.module_utils import encrypted_raid
from ansible_collections.cdg59.creatic.plugins.module_utils.encrypted_raid import Disk, RaidError, Volume, judge

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
    monkeypatch.setattr(Volume, "_look", lambda _self, path: found[path])
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
        ActionModule._names({"volumes": [{"name": name} for name in names]})
