"""Machines with kernels of their own, without podman: User-Mode Linux on a network that only this process has.

They are those of the lab (module_utils/lab/uml.py), made from an image that has its packages already. What uses them
lives in their network meanwhile, threads and programs that it starts included: it reaches nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.lab import images
from ansible_collections.cdg59.creatic.plugins.module_utils.lab import uml as lab_uml
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import run

from testbed.control_node import REPO
from testbed.patience import wait_for

USER = "creatic"
CACHE = REPO / ".cache" / "noyaux"
# The machine's folder and its memory, and the way to its cable, in a mount namespace that ends with it.
ROOM = r"""
mount -t tmpfs -o mode=0755 salle /mnt
mkdir /mnt/machine /mnt/memory
mount --bind "$1" /mnt/machine
mount -t tmpfs -o mode=1777 memoire /mnt/memory
cp "$2" /mnt/repairs.so
mknod -m 0666 /mnt/tun c 10 200
chmod 0666 /mnt/tun
mount --bind /mnt/tun /dev/net/tun
shift 2
exec "$@"
"""


@contextmanager
def network(subnet: str, names: list[str]) -> Iterator[None]:
    """Live in a network of one's own, with one cable a machine, for as long as the block lasts.

    Args:
        subnet: the first three bytes of its addresses; this process is the first.
        names: of the machines.
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    os.unshare(os.CLONE_NEWNET)
    try:
        script = f"ip link set lo up; ip link add lan type bridge; ip address add {subnet}.1/24 dev lan\n"
        for rank in range(len(names)):
            script += f"ip tuntap add tap{rank} mode tap user {lab_uml.ACCOUNT}; ip link set tap{rank} master lan up\n"
        run(["sh", "-euc", script + "ip link set lan up"], "le réseau des machines d'essai n'a pas pu être fait")
        yield
    finally:
        os.setns(before, os.CLONE_NEWNET)
        os.close(before)


def tree(packages: tuple[str, ...]) -> Path:
    """Debian 13 with these packages as a tar file, kept for the week; needs the mirror."""
    included = sorted({*images.PACKAGES.split(","), *lab_uml.PACKAGES, *packages})
    lines = "".join(f"deb {uri} {suite} {parts}\n" for uri, suite, parts in images.sources())
    digest = hashlib.sha256(json.dumps([lines, included, time.strftime("%G-%V")]).encode()).hexdigest()[:12]
    target = CACHE / f"noyaux-{digest}.tar"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.glob("noyaux-*"):
            old.unlink()
        new = target.with_name(f"{target.stem}-nouveau.tar")
        run(
            [
                *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(included)}"),
                *('--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io"),
                *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "locale", "man")),
                f'--customize-hook=chroot "$1" useradd -m -s /bin/bash -G sudo {USER}',
                '--customize-hook=chroot "$1" systemctl enable ssh.service',
                # Debian starts what it installs; here each starts once it is configured.
                '--customize-hook=cd "$1"/etc && rm -f ssh/ssh_host_* systemd/system/multi-user.target.wants/swift-*'
                " systemd/system/multi-user.target.wants/memcached* systemd/system/multi-user.target.wants/rsync.*"
                " systemd/system/multi-user.target.wants/nginx*",
                '--customize-hook=: > "$1"/etc/machine-id',
                *("trixie", str(new), "-"),
            ],
            "l'image Debian 13 n'a pas pu être construite",
            input=lines,
        )
        new.replace(target)
    return target


class Machine:
    """One machine, in a network that stands.

    Attributes:
        name: host name.
        address: IPv4.
        folder: its disks, and ``console``, what it said.
    """

    def __init__(self, name: str, rank: int, subnet: str, folder: Path, memory: str, disks: int, ssh_dir: Path) -> None:
        self.name, self.rank, self.address = name, rank, f"{subnet}.{11 + rank}"
        self.folder, self.memory, self.disks, self.ssh_dir = folder, memory, disks, ssh_dir
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def mac(rank: int) -> str:
        """By which a machine knows its address: all have the same files."""
        return f"02:59:00:00:00:{rank + 16:02x}"

    def start(self) -> None:
        """Switch it on; `up` waits until it has booted."""
        repairs = lab_uml.build_repairs(CACHE, run)
        program = lab_uml.kernel(self.name, self.memory, self.disks, place="/mnt", tap=f"tap{self.rank}")
        cable = next(rank for rank, one in enumerate(program) if one.startswith("vec0:"))
        program[cable] += f",mac={self.mac(self.rank)}"
        apart = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-euc", ROOM, "sh"]
        with (self.folder / "console").open("ab") as console:
            self._process = subprocess.Popen(
                [*apart, str(self.folder), str(repairs), *program, f"systemd.hostname={self.name}"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )

    def cut(self) -> None:
        """Take its power away."""
        if self._process:
            # The first of its namespace, with which all others end: unshare's own death would leave it, because it
            # changed its account.
            first = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
            for one in first.split():
                os.kill(int(one), signal.SIGKILL)
            self._process.wait()
            self._process = None

    def ssh(self) -> list[str]:
        """A connection of its own, as its administrator."""
        known = f"UserKnownHostsFile={self.ssh_dir / 'known_hosts'}"
        options = ["-q", "-i", str(self.ssh_dir / "id_ed25519"), "-o", known, "-o", "StrictHostKeyChecking=yes"]
        options += ["-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-o", "ControlPath=none"]
        return ["ssh", *options, f"{USER}@{self.address}"]

    def run(self, script: str) -> str:
        """Output of a script run as root.

        Raises:
            AssertionError: it failed, or the machine does not answer.
        """
        done = subprocess.run(
            [*self.ssh(), "sudo sh -eu"], input=script, capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, f"{self.name}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def up(self) -> None:
        """Wait until it has booted."""
        wait_for(
            lambda: self.run("systemctl is-system-running || true").strip() in ("running", "degraded"),
            f"le démarrage de {self.name} (voir {self.folder / 'console'})",
            lab_uml.BOOT_SECONDS,
            every=1,
            despite=(AssertionError,),
        )


@contextmanager
def machines(
    names: list[str], subnet: str, folder: Path, packages: tuple[str, ...], memory: str, disks: list[str]
) -> Iterator[dict[str, Machine]]:
    """Machines that have booted, by name, and their network.

    Args:
        names: host names.
        subnet: see `network`.
        folder: where their disks go, and ``ssh``, the administrator's keys.
        packages: what their image has.
        memory: of each: 512M.
        disks: sizes of the blank disks of each.
    """
    archive, ssh_dir = tree(packages), folder / "ssh"
    ssh_dir.mkdir(mode=0o700)
    for key in ("id_ed25519", "host"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", str(ssh_dir / key)], "ssh-keygen")
    host_key = (ssh_dir / "host.pub").read_text()
    made = [Machine(name, rank, subnet, folder / name, memory, len(disks), ssh_dir) for rank, name in enumerate(names)]
    (ssh_dir / "known_hosts").write_text("".join(f"{one.address} {host_key}" for one in made))
    files = {
        "etc/hostname": ("noyau\n", 0o644),
        "etc/hosts": ("127.0.0.1 localhost\n" + "".join(f"{one.address} {one.name}\n" for one in made), 0o644),
        f"etc/sudoers.d/{USER}": (f"{USER} ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440),
        "etc/ssh/ssh_host_ed25519_key": ((ssh_dir / "host").read_text(), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (host_key, 0o644),
        f"home/{USER}/.ssh/authorized_keys": ((ssh_dir / "id_ed25519.pub").read_text(), 0o600),
    }
    for one in made:
        files[f"etc/systemd/network/10-{one.name}.network"] = (
            f"[Match]\nMACAddress={Machine.mac(one.rank)}\n[Network]\nAddress={one.address}/24\nLinkLocalAddressing=no\n",
            0o644,
        )
    first = made[0].folder
    lab_uml.make_disks(archive, first, lab_uml.disks(disks), files, [], USER, run)
    for one in made[1:]:
        run(["cp", "--archive", "--sparse=always", str(first), str(one.folder)], "les disques n'ont pas pu être copiés")
    with network(subnet, names):
        try:
            for one in made:
                one.start()
            for one in made:
                one.up()
            yield {one.name: one for one in made}
        finally:
            for one in made:
                one.cut()
    shutil.rmtree(folder / made[0].name)
    for one in made[1:]:
        shutil.rmtree(one.folder)
