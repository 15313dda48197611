# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A machine of the lab with a kernel of its own: User-Mode Linux, without KVM.

It is a container of the lab like the others (network, name, start, stop, removal are podman's), whose only
program is Debian's kernel built for user mode. It runs under an account that owns nothing but the machine's
disks; a bridge inside the container gives the container's address to the machine.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = {"linux.uml": "user-mode-linux", "mkfs.ext4": "e2fsprogs", "cc": "gcc libc6-dev"}
# What a machine has and a container does without; then what role encrypted_raid installs, because dpkg takes minutes
# under this kernel.
PACKAGES = ("udev", "kmod", "e2fsprogs", "cryptsetup-bin", "mdadm", "xfsprogs")
MODULES = Path("/usr/lib/uml/modules")
ROOT_SIZE = "6G"  # sparse: what is not written takes no room
BOOT_SECONDS = 240
ACCOUNT = "61184"  # a number nobody has (systemd's dynamic range): no account is made on this computer

# Two repairs of Debian 13's user-mode-linux (6.12), preloaded:
# - on processors with AMX the registers' state is larger than this kernel's buffer, and Linux refuses to set a
#   part of it (EFAULT, "ptrace set fp regs failed"): the part is set inside the whole;
# - `reboot` starts the program again with every file still open, and the tap is then busy: they are closed.
REPAIRS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NT_X86_XSTATE 0x202
static char whole[1 << 16] __attribute__((aligned(64)));

long ptrace(enum __ptrace_request request, ...) {
  va_list rest;
  va_start(rest, request);
  pid_t pid = va_arg(rest, pid_t);
  void *address = va_arg(rest, void *), *data = va_arg(rest, void *);
  va_end(rest);
  if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE) {
    struct iovec *part = data, all = {whole, sizeof whole};
    if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, address, &all) == 0 && all.iov_len > part->iov_len) {
      memcpy(whole, part->iov_base, part->iov_len);
      return syscall(SYS_ptrace, request, pid, address, &all);
    }
  }
  if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
    long word; /* the system call stores the word, the C library returns it */
    if (syscall(SYS_ptrace, request, pid, address, &word) < 0) return -1;
    errno = 0;
    return word;
  }
  return syscall(SYS_ptrace, request, pid, address, data);
}

int execvp(const char *file, char *const arguments[]) {
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  return execvpe(file, arguments, environ);
}
"""

# The container's program: its address moves to the machine, then the kernel replaces this shell.
START = r"""
ip address flush dev eth0
ip link add lan type bridge
ip link set eth0 master lan
chmod 0666 /dev/net/tun
ip tuntap add tap0 mode tap user "$1"
ip link set tap0 master lan up
ip link set lan up
shift
exec "$@"
"""


@dataclass
class Disk:
    """A disk of the machine.

    Attributes:
        size: as truncate takes it: 512M, 1G. Sparse.
        mount: where the machine has it as a file system of its own; empty: a blank disk.
    """

    size: str
    mount: str = ""


def disks(given: list[str]) -> list[Disk]:
    """Read the inventory's list: ``512M`` is a blank disk, ``512M:/var/log`` one that holds that folder."""
    return [Disk(*entry.split(":", 1)) for entry in given]


def device(rank: int) -> str:
    """Name of a disk in the machine, the root file system being 0."""
    return f"/dev/ubd{chr(ord('a') + rank)}"


def build_repairs(folder: Path, run: Callable[..., str]) -> Path:
    """Compile the preloaded repairs once.

    Returns:
        Path of the shared library.
    """
    target = folder / f"uml-{hashlib.sha256(REPAIRS.encode()).hexdigest()[:12]}.so"
    if not target.exists():
        temporary = target.with_suffix(".new")
        run(
            ["cc", "-O2", "-shared", "-fPIC", "-x", "c", "-o", str(temporary), "-"],
            "les réparations de User-Mode Linux n'ont pas pu être compilées",
            input=REPAIRS,
        )
        temporary.replace(target)
    return target


def make_disks(
    archive: Path,
    folder: Path,
    wanted: list[Disk],
    files: dict[str, tuple[str, int]],
    unwanted: list[str],
    user: str,
    run: Callable[..., str],
) -> None:
    """Make the disks of one machine from the image's tree.

    Args:
        archive: tar of the tree, made by the lab.
        folder: where the disks go: ``disque0.img`` is the root file system.
        wanted: further disks.
        files: what is the machine's own: path in the tree -> (text, mode); owned by *user* below its home.
        unwanted: what of the tree does not go there.
        user: the administrator's account.
        run: runs a command or fails with a French sentence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        tree = Path(temporary) / "tree"
        tree.mkdir()
        unpack = ["tar", "--numeric-owner", *(f"--exclude={path}" for path in unwanted), "-C", str(tree)]
        run([*unpack, "-xf", str(archive)], "l'image n'a pas pu être dépliée")
        run(["cp", "-a", str(MODULES), str(tree / "usr" / "lib" / "modules")], "modules du noyau absents")
        table = ["/dev/ubda / ext4 defaults 0 1\n"]
        for rank, disk in enumerate(wanted, 1):
            if disk.mount:
                table.append(f"{device(rank)} {disk.mount} ext4 defaults 0 2\n")
        own = files | {"etc/fstab": ("".join(table), 0o644)}
        for name, (text, mode) in own.items():
            target = tree / name
            home = name.startswith(f"home/{user}/")
            owner = (tree / "home" / user).stat() if home else tree.stat()
            if not target.parent.exists():
                target.parent.mkdir(mode=0o700 if home else 0o755)
                os.chown(target.parent, owner.st_uid, owner.st_gid)
            target.write_text(text)
            target.chmod(mode)
            os.chown(target, owner.st_uid, owner.st_gid)
        for verb, unit in (
            ("enable", "systemd-networkd.service"),
            ("mask", "systemd-networkd-wait-online.service"),
            ("mask", "getty@tty1.service"),  # there is no keyboard
        ):
            run(["systemctl", "--quiet", f"--root={tree}", verb, unit], f"{unit} : échec")
        # Deepest first: what a file system takes leaves an empty folder in the one above.
        ranked = sorted(enumerate(wanted, 1), key=lambda entry: -len(entry[1].mount))
        for rank, disk in ranked:
            image = folder / f"disque{rank}.img"
            _make_blank(image, disk.size)
            if disk.mount:
                _format_disk(image, tree / disk.mount.lstrip("/"), run)
        root = folder / "disque0.img"
        _make_blank(root, ROOT_SIZE)
        _format_disk(root, tree, run)
    for image in folder.glob("disque*.img"):
        os.chown(image, int(ACCOUNT), int(ACCOUNT))


def _make_blank(image: Path, size: str) -> None:
    image.unlink(missing_ok=True)
    subprocess.run(["truncate", "--size", size, str(image)], check=True)
    image.chmod(0o600)


def _format_disk(image: Path, content: Path, run: Callable[..., str]) -> None:
    content.mkdir(parents=True, exist_ok=True)
    run(["mkfs.ext4", "-q", "-F", "-d", str(content), str(image)], "un système de fichiers n'a pas pu être écrit")
    for entry in content.iterdir():
        run(["rm", "-rf", "--one-file-system", str(entry)], "ménage impossible")


def podman_options(folder: Path, repairs: Path) -> list[str]:
    """What ``podman run`` needs besides name and network; the image's own programs set up the network."""
    return [
        *("--device", "/dev/net/tun", "--cap-add", "NET_ADMIN", "--pids-limit=0"),
        *("--tmpfs", "/memory:rw,exec,mode=1777"),
        *("--volume", f"{folder}:/machine", "--volume", f"{repairs}:/repairs.so:ro"),
        *("--volume", "/usr/bin/linux.uml:/usr/bin/linux.uml:ro"),
    ]


def command(name: str, memory: str, disk_count: int) -> list[str]:
    """The container's program and its arguments.

    Args:
        name: host name.
        memory: the machine's memory, as the kernel takes it: 1024M.
        disk_count: disks besides the root file system.
    """
    return ["sh", "-ceu", START, "sh", ACCOUNT, *kernel(name, memory, disk_count)]


def kernel(name: str, memory: str, disk_count: int, place: str = "", tap: str = "tap0") -> list[str]:
    """The kernel's command line, under the account without rights; arguments may be added to it.

    Args:
        name: host name.
        memory: as in `command`.
        disk_count: as in `command`.
        place: folder that has ``machine`` (the disks), ``memory`` and ``repairs.so``; empty for the root.
        tap: the interface that is the machine's cable.
    """
    return [
        *("setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups", "--inh-caps=-all", "--no-new-privs"),
        *("env", "-i", "PATH=/usr/bin", f"LD_PRELOAD={place}/repairs.so", f"HOME={place}/memory"),
        *(f"TMPDIR={place}/memory", "linux.uml", f"umid={name}", f"uml_dir={place}/memory", f"mem={memory}"),
        *(f"ubd{rank}={place}/machine/disque{rank}.img" for rank in range(disk_count + 1)),
        *("root=/dev/ubda", "rw", "loglevel=5", "net.ifnames=0", "lsm=yama,apparmor"),
        *(f"vec0:transport=tap,ifname={tap},depth=64,gro=1", "con=null", "con0=null,fd:1", "con1=null"),
    ]
