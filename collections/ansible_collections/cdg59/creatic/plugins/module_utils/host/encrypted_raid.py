# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Volumes of disks: md RAID1, LUKS2 above it, XFS inside; runs on the host, standard library only.

What is on the disks says what is left to do, so that a run which was cut goes on where it stopped. A disk is only
written to when it is blank, or already of this very volume.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import write

TOOLS = {"mdadm": "mdadm", "cryptsetup": "cryptsetup-bin", "mkfs.xfs": "xfsprogs"}
# The key is 64 random bytes: its cost adds nothing, and a small one opens the volume in a rescue system too.
COST = ("--pbkdf-memory", "65536", "--pbkdf-force-iterations", "4", "--pbkdf-parallel", "1")
# LUKS2 subsystem of a volume which has no file system yet: what is inside cannot be told from data.
UNUSED = "creatic-vierge"
OPTIONS = "noatime,nodev,nosuid,noexec,noauto"
WRONG_KEY_EXIT_STATUS = 2  # exit status of cryptsetup
_EDGE = 1 << 24  # bytes looked at, at both ends of a disk without any signature


class RaidError(CreaticError, cause="raid"):
    """The volume cannot be what is asked for; the message (French) names the disk and what to do. No data is lost."""


class Runner(Protocol):
    """Runs a command and returns it when done, outputs as bytes; never fails by itself."""

    def __call__(self, command: Sequence[str], key: bytes = b"") -> subprocess.CompletedProcess[bytes]: ...


def run(command: Sequence[str], key: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command of the host; the key goes to its standard input, never on its command line."""
    return subprocess.run(command, input=key, capture_output=True, check=False, env=os.environ | {"LC_ALL": "C"})


@dataclass
class Disk:
    """One disk, as found.

    Attributes:
        path: as the inventory names it.
        holds: what is on it (French); empty when it is blank, absent, or a member of an array.
        present: there is such a device.
        uuid: array whose member it is.
        array: name of that array, without the host's.
    """

    path: str
    holds: str = ""
    present: bool = True
    uuid: str = ""
    array: str = ""


@dataclass
class Verdict:
    """What the disks of a volume say.

    Attributes:
        uuid: array which exists already; empty for one to create.
        blank: disks to create it from, or to add.
        warnings: French.
    """

    uuid: str
    blank: list[str]
    warnings: list[str]


def judge(name: str, disks: Sequence[Disk], recorded: str = "") -> Verdict:
    """Decide from the disks alone.

    Args:
        name: the volume's.
        disks: those which the inventory lists.
        recorded: identity of the array that this host had for this volume.

    Raises:
        RaidError: a disk holds something else; nothing may be touched.
    """
    for disk in disks:
        if disk.holds or (disk.array and disk.array != name):
            holds = disk.holds or f"fait partie de la grappe « {disk.array} »"
            raise RaidError(
                f"{disk.path} {holds} : aucun disque n'est touché. Corrigez la liste des disques du volume {name} ; "
                f"si ce disque peut être effacé, faites-le vous-même (wipefs --all {disk.path}, puis blkdiscard ou dd)"
            )
    found = sorted({disk.uuid for disk in disks if disk.uuid})
    if len(found) > 1 or (found and recorded and found != [recorded]):
        raise RaidError(
            f"les disques du volume {name} viennent de grappes différentes "
            f"({', '.join(sorted({*found, recorded} - {''}))}) : "
            "aucun n'est touché. Gardez ceux d'une seule, l'autre est une copie plus ancienne ou étrangère"
        )
    missing = [disk.path for disk in disks if not disk.present]
    blank = [disk.path for disk in disks if disk.present and not disk.uuid]
    if not found and recorded:
        raise RaidError(
            f"aucun de ces disques ne porte le volume {name} que cette machine avait ({recorded}) : rien n'est créé. "
            f"S'il est perdu, supprimez {record_path(name)} et relancez pour en faire un neuf"
        )
    if not found and (missing or len(blank) < 2):
        lacking = f"{', '.join(missing)} absent" if missing else "il faut au moins deux disques"
        raise RaidError(f"le volume {name} ne peut pas être créé : {lacking}")
    told = [
        f"{path} est absent : le volume {name} vit sur l'autre disque. Remplacez-le, puis nommez le nouveau à sa place"
        for path in missing
    ]
    return Verdict(found[0] if found else "", blank, told)


def record_path(name: str, etc: Path = Path("/etc")) -> Path:
    """File of mdadm which names the array; its presence says that the volume was made."""
    return etc / "mdadm" / "mdadm.conf.d" / f"creatic-{name}.conf"


def edit_fstab(text: str, source: str, target: str) -> str:
    """Give fstab with the one line of a source."""
    kept = [line for line in text.splitlines() if line.split()[:1] != [source]]
    return "".join(f"{line}\n" for line in [*kept, f"{source}\t{target}\txfs\t{OPTIONS}\t0\t0"])


def mount_points(fstab: str, source: str) -> list[str]:
    """Where fstab mounts a source."""
    return [line.split()[1] for line in fstab.splitlines() if line.split()[:1] == [source]]


def export(text: str) -> dict[str, str]:
    """Read what ``mdadm --export`` prints."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


@dataclass
class Volume:
    """One volume of this host, brought to its wanted state.

    Attributes:
        name: of the array, of the opened device (/dev/mapper), of the key.
        disks: block devices, best by their stable names (/dev/disk/by-id).
        mount: where its file system goes.
        key: opens it; given to cryptsetup as it is.
        key_file: where the control node keeps the key, for messages.
        new_key: the key was made in this run: it can only be that of a volume made in this run too.
        check: report only.
        root, run: for tests.
    """

    name: str
    disks: list[str]
    mount: str
    key: bytes
    key_file: str
    new_key: bool
    check: bool = False
    root: Path = Path("/")
    run: Runner = run
    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    formatted: bool = False

    @property
    def mapped(self) -> Path:
        return self.root / "dev" / "mapper" / self.name

    def ensure(self) -> None:
        """Create what is missing, open what is closed, mount what is not.

        Raises:
            RaidError: a disk holds data, the key is not the right one, or a command failed.
        """
        disks = [self._inspect_disk(path) for path in self.disks]
        verdict = judge(self.name, disks, self._recorded_uuid())
        self.warnings += verdict.warnings
        device = self._ensure_array(verdict)
        if not device:  # check mode: there is nothing to look into yet
            self.changes.append(f"{self.name} : à chiffrer, à formater, à monter")
            return
        if not self._ensure_encrypted(device):
            return
        self._open_volume(device)
        if self.mapped.exists():
            self._file_system(device)
            self._mount_volume()

    # -- disks and array ----------------------------------------------------------------------------------------

    def _inspect_disk(self, path: str) -> Disk:
        real = Path(path).resolve()
        if not real.exists():
            return Disk(path, present=False)
        if not stat.S_ISBLK(real.stat().st_mode):
            return Disk(path, holds="n'est pas un disque")
        signatures = self._list_signatures(str(real))
        if "linux_raid_member" in signatures:
            if not shutil.which("mdadm"):  # check mode on a host which has it not yet
                return Disk(path, holds="fait déjà partie d'une grappe, que mdadm (absent) dirait")
            found = export(self._run_command(["mdadm", "--examine", "--export", str(real)], f"{path} illisible"))
            if found.get("MD_LEVEL") == "raid1" and found.get("MD_UUID"):
                return Disk(path, uuid=found["MD_UUID"], array=found.get("MD_NAME", "").rpartition(":")[2] or "?")
        holders = self.root / "sys" / "class" / "block" / real.name / "holders"
        if signatures:
            return Disk(path, holds=f"contient déjà des données ({', '.join(signatures)})")
        if holders.is_dir() and (users := sorted(entry.name for entry in holders.iterdir())):
            return Disk(path, holds=f"est utilisé par {', '.join(users)}")
        if not blank(real):
            return Disk(path, holds="contient déjà des données (d'un genre inconnu)")
        return Disk(path)

    def _list_signatures(self, device: str) -> list[str]:
        told = self._run_command(["wipefs", "--json", "--output", "TYPE", device], f"{device} illisible")
        return sorted({entry["type"] for entry in json.loads(told or "{}").get("signatures", [])})

    def _recorded_uuid(self) -> str:
        path = record_path(self.name, self.root / "etc")
        found = re.search(r"UUID=(\S+)", path.read_text("utf-8")) if path.exists() else None
        return found[1] if found else ""

    def _ensure_array(self, verdict: Verdict) -> str:
        """Have the array there, with its disks; gives its device, nothing when check mode leaves none."""
        uuid = verdict.uuid
        if not uuid:
            self.changes.append(f"{self.name} : grappe créée sur {', '.join(verdict.blank)}")
            if self.check:
                return ""
            command = ["mdadm", "--create", f"/dev/md/{self.name}", "--run", "--level=1", "--metadata=1.2"]
            command += ["--bitmap=internal", f"--name={self.name}", f"--raid-devices={len(verdict.blank)}"]
            self._run_command([*command, *verdict.blank], f"{self.name} : la grappe n'a pas pu être créée")
            uuid = self._inspect_disk(self.disks[0]).uuid
        device = self._assemble_array(uuid)
        if not device:
            return ""
        self._record_uuid(uuid)
        if verdict.uuid:
            self._complete_array(device, verdict.blank)
        return device

    def _assemble_array(self, uuid: str) -> str:
        present = {path for path in self.disks if Path(path).exists()}
        for attempt in (1, 2):
            for entry in sorted((self.root / "sys" / "block").glob("md*/md/array_state")):
                device = f"/dev/{entry.parents[1].name}"
                shown = self.run(["mdadm", "--detail", "--export", device]).stdout.decode()
                if export(shown).get("MD_UUID") != uuid:
                    continue
                if entry.read_text().strip() not in ("inactive", "clear"):
                    return device
                if not self.check:  # udev waits for the missing disk
                    self._run_command(["mdadm", "--run", device], f"{self.name} : la grappe ne démarre pas")
                    return device
            if attempt == 1:
                self.changes.append(f"{self.name} : grappe assemblée")
                if self.check:
                    return ""
                command = ["mdadm", "--assemble", "--run", f"--uuid={uuid}", f"/dev/md/{self.name}", *sorted(present)]
                self._run_command(command, f"{self.name} : la grappe n'a pas pu être assemblée")
        raise RaidError(f"{self.name} : la grappe {uuid} est assemblée, mais introuvable")

    def _record_uuid(self, uuid: str) -> None:
        if self._recorded_uuid() == uuid:
            return
        self.changes.append(f"{self.name} : grappe {uuid} connue de mdadm.conf")
        if self.check:
            return
        path = record_path(self.name, self.root / "etc")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, f"ARRAY /dev/md/{self.name} metadata=1.2 UUID={uuid}\n")
        if shutil.which("update-initramfs"):  # else it would be assembled early, under another name
            self._run_command(["update-initramfs", "-u"], "l'image de démarrage n'a pas pu être refaite")

    def _complete_array(self, device: str, blank_disks: list[str]) -> None:
        """Add new disks and those which were set aside; take failed ones off when they were replaced."""
        states = self._array_members(device)
        listed = {str(Path(path).resolve()): path for path in self.disks if Path(path).exists()}
        for real, state in sorted(states.items()):
            if "faulty" in state and real not in listed:
                self._run_change(f"{real}, en panne, retiré", ["mdadm", "--manage", device, "--remove", real])
            elif "faulty" in state:
                self.warnings.append(
                    f"{listed[real]} est en panne : le volume {self.name} vit sur l'autre disque. Remplacez-le, puis "
                    "nommez le nouveau à sa place"
                )
            elif real not in listed:
                self.warnings.append(f"{real} fait partie du volume {self.name} sans être dans la liste de ses disques")
        for real, path in sorted(listed.items()):
            if real not in states:
                said = "ajouté, reconstruction en cours" if path in blank_disks else "remis, rattrapage en cours"
                self._run_change(f"{path} {said}", ["mdadm", "--manage", device, "--add", real])

    def _array_members(self, device: str) -> dict[str, str]:
        folder = self.root / "sys" / "block" / Path(device).name / "md"
        return {
            f"/dev/{entry.parent.name.removeprefix('dev-')}": entry.read_text().strip()
            for entry in folder.glob("dev-*/state")
        }

    # -- encryption ---------------------------------------------------------------------------------------------

    def _ensure_encrypted(self, device: str) -> bool:
        """Have the array encrypted, and the key proven on it; false when check mode leaves it as it is."""
        if self.run(["cryptsetup", "isLuks", "--type", "luks2", device]).returncode == 0:
            if self.new_key:
                raise RaidError(
                    f"le volume {self.name} est chiffré, et sa clé n'est plus sur le poste de commande "
                    f"({self.key_file}) : remettez-la depuis la sauvegarde du poste. Rien n'est changé"
                )
            return self._check_key(device)
        if signatures := self._list_signatures(device) or ([] if blank(Path(device)) else ["d'un genre inconnu"]):
            raise RaidError(
                f"la grappe {self.name} contient déjà des données non chiffrées ({', '.join(signatures)}) : rien n'est "
                "touché. Mettez-les à l'abri, puis effacez la grappe vous-même"
            )
        self.changes.append(f"{self.name} : chiffré (LUKS2, argon2id)")
        if self.check:
            return False
        command = ["cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--cipher", "aes-xts-plain64"]
        command += ["--key-size", "512", "--pbkdf", "argon2id", *COST, "--label", self.name, "--subsystem", UNUSED]
        self._run_command([*command, "--key-file", "-", device], f"{self.name} : chiffrement impossible", self.key)
        self.formatted = True
        return True

    def _check_key(self, device: str) -> bool:
        """The escrowed key is tried at every run, so that its loss is seen while the volume is open."""
        done = self.run(["cryptsetup", "open", "--test-passphrase", "--key-file", "-", device], self.key)
        if done.returncode == WRONG_KEY_EXIT_STATUS:
            raise RaidError(
                f"{self.key_file} n'est pas la clé du volume {self.name} : remettez la bonne depuis la sauvegarde du "
                "poste de commande. Rien n'est changé"
            )
        if done.returncode:
            raise RaidError(f"{self.name} : la clé n'a pas pu être essayée ({_error_output(done)})")
        return True

    def _open_volume(self, device: str) -> None:
        if self.mapped.exists():
            shown = self.run(["cryptsetup", "status", self.name]).stdout.decode()
            under = re.search(r"^\s*device:\s+(\S+)", shown, re.M)
            if not under or Path(under[1]).resolve() != Path(device).resolve():
                raise RaidError(
                    f"/dev/mapper/{self.name} est ouvert sur autre chose que la grappe {self.name} : choisissez un "
                    "autre nom de volume"
                )
            return
        command = ["cryptsetup", "open", "--type", "luks2", "--key-file", "-", device, self.name]
        self._run_change("ouvert", command, self.key)

    # -- file system --------------------------------------------------------------------------------------------

    def _file_system(self, device: str) -> None:
        header = self.run(["cryptsetup", "luksDump", device]).stdout.decode()
        if not re.search(rf"^Subsystem:\s+{UNUSED}$", header, re.M):
            return
        self._run_change("système de fichiers XFS créé", ["mkfs.xfs", "-q", "-f", "-i", "size=512", str(self.mapped)])
        command = ["cryptsetup", "config", device, "--label", self.name, "--subsystem", "creatic"]
        if not self.check:
            self._run_command(command, f"{self.name} : en-tête illisible")

    def _mount_volume(self) -> None:
        source, fstab = f"/dev/mapper/{self.name}", self.root / "etc" / "fstab"
        before = fstab.read_text("utf-8") if fstab.exists() else ""
        if mount_points(before, source) != [self.mount]:
            self.changes.append(f"{self.name} : /etc/fstab")
            if self.check:
                return
            write(fstab, edit_fstab(before, source, self.mount))
            Path(self.mount).mkdir(parents=True, exist_ok=True)
            self._run_command(["systemctl", "daemon-reload"], "systemd ne relit pas /etc/fstab")
        if not os.path.ismount(self.mount):
            self._run_change(f"monté sur {self.mount}", ["mount", self.mount])

    # -- commands -----------------------------------------------------------------------------------------------

    def _run_change(self, what: str, command: Sequence[str], key: bytes = b"") -> None:
        self.changes.append(f"{self.name} : {what}")
        if not self.check:
            self._run_command(command, f"{self.name} : {command[0]} a échoué", key)

    def _run_command(self, command: Sequence[str], error: str, key: bytes = b"") -> str:
        done = self.run(command, key)
        if done.returncode:
            raise RaidError(f"{error} ({_error_output(done)})")
        return done.stdout.decode()


def _error_output(done: subprocess.CompletedProcess[bytes]) -> str:
    text = (done.stderr or done.stdout).decode(errors="replace")
    return " / ".join(text.strip().splitlines()[-3:]) or f"code {done.returncode}"


def blank(device: Path) -> bool:
    """Whether both ends of a device are zeros, 16 MiB each."""
    with device.open("rb", buffering=0) as disk:
        size = disk.seek(0, os.SEEK_END)
        for start in (0, max(0, size - _EDGE)):
            disk.seek(start)
            while disk.tell() < min(start + _EDGE, size):
                if any(disk.read(1 << 20)):
                    return False
    return True


def missing_tools(tools: Iterable[str] = TOOLS) -> list[str]:
    """Packages which are not installed yet."""
    return sorted({TOOLS[tool] for tool in tools if not shutil.which(tool)})
