# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The lab: Debian 13 machines booted with systemd in podman, on one private network.

Everything the lab mounts or starts lives in a mount namespace of its own, kept by one bind mount
under /run. In it /sys/fs/cgroup is a plain cgroup2 tree, so that the same podman line works on a host
with cgroup v2 and on one in hybrid mode (which crun refuses), and taking the lab down is dropping
that namespace: no mount is left on the host.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.lab import uml as lab_uml

STATE = Path("/var/lib/creatic-lab")
RUN = Path("/run/creatic-lab")
# systemd holds about ten watchers a machine, and three more a session; the kernel gives 128 to root on all of them.
WATCHERS = Path("/proc/sys/fs/inotify/max_user_instances")
WATCHERS_WANTED = 1024
BRIDGE = "creatic0"
NETWORK = "creatic"
PROXY_PORT = 3159
# SYS_ADMIN lets systemd sandbox its services, NET_ADMIN lets nftables work; both stay inside the host's
# namespaces. The machine's own kernel settings are out of reach, see INIT.
# With SYS_BOOT, reboot(2) ends this host's processes alone and says whether it was a reboot.
CAPABILITIES = ("NET_ADMIN", "SYS_ADMIN", "SYS_BOOT", "AUDIT_WRITE")
# A machine set apart has a user namespace: its root is an account of this computer that owns nothing, and what it may
# do ends with its own namespaces. /proc is whole in it, which the kernel asks of who mounts another one there (INIT).
APART = ("--uidmap=0:1000000000:65536", "--gidmap=0:1000000000:65536", "--security-opt=unmask=ALL")
# linux-base: what tells a compliance scanner that the host runs a Debian kernel.
PACKAGES = (
    "systemd,systemd-sysv,dbus,python3,python3-apt,sudo,openssh-server,iproute2,ca-certificates,procps,tzdata,"
    "linux-base"
)
INIT_PATH = "/usr/lib/creatic-lab/init"
SYSCTL_PATH = "etc/systemd/system/systemd-sysctl.service.d/creatic-lab.conf"
AUDIT_PATHS = [f"etc/systemd/system/{unit}.service.d/creatic-lab.conf" for unit in ("auditd", "audit-rules")]
# Runs before systemd at every boot of a host. podman mounts /proc/sys read-only, since most of it belongs to the
# machine. Each host gets: the network's part for real (it is per network namespace), and a writable copy of the
# rest, with the keys which Debian's kernel has and the machine's may lack, at Debian's values. And it must be
# judged as a machine: a scanner takes /run/.containerenv for "nothing applies here".
INIT = r"""#!/bin/sh
set -eu
aside=/run/creatic-lab-proc
mkdir "$aside"
mount -t proc proc "$aside"
mount --bind "$aside/sys/net" /proc/sys/net
umount "$aside"
rmdir "$aside"

copy() {  # copy FOLDER: a writable copy in memory over /proc/sys/FOLDER
  new=$(mktemp -d)
  mount -t tmpfs -o mode=0555 lab-sysctl "$new"
  (cd "/proc/sys/$1" && find . -xdev -type d ! -path './random*') | while read -r name; do mkdir -p "$new/$name"; done
  (cd "/proc/sys/$1" && find . -xdev -type f ! -path './random/*') | while read -r name; do
    cat "/proc/sys/$1/$name" > "$new/$name" 2>/dev/null || true   # some can only be written
    chmod --reference="/proc/sys/$1/$name" "$new/$name"
  done
  if [ "$1" = kernel ]; then   # random/uuid must stay random
    mkdir "$new/random"
    mount --bind /proc/sys/kernel/random "$new/random"
  fi
  mount --move "$new" "/proc/sys/$1"
  rmdir "$new"
}
seed() {  # seed KEY VALUE: a key this machine's kernel does not have
  [ -e "/proc/sys/$1" ] || { mkdir -p "/proc/sys/${1%/*}"; echo "$2" > "/proc/sys/$1"; }
}
for folder in kernel fs vm dev net/core; do copy "$folder"; done
seed kernel/kexec_load_disabled 0
seed kernel/modules_disabled 0
seed kernel/sysrq 438
seed kernel/unprivileged_userns_clone 1
seed kernel/yama/ptrace_scope 0
seed net/core/bpf_jit_enable 1
seed net/core/bpf_jit_harden 0

umount /tmp   # systemd mounts it, as on a machine
umount /run/.containerenv 2>/dev/null || true
rm -f /run/.containerenv
exec /lib/systemd/systemd "$@"
"""
PROGRAMS = {
    "podman": "podman",
    "nsenter": "util-linux",
    "mmdebstrap": "mmdebstrap",
    "apt-cacher-ng": "apt-cacher-ng",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh-keygen": "openssh-client",
}
BOOT_SECONDS = 90
OWNER = "creatic.proprietaire"
# What the first program of a host ends with when the host asked for a reboot: reboot(2), RESTART kills it with SIGHUP.
# Switched off, stopped or killed, it ends with something else.
REBOOTED = 129
BUILDER = "creatic-image"  # the machine in which an image gets its packages
# A machine that reboots comes back, as a real one does. $1: REBOOTED, then podman and its options.
POWER = r"""
rebooted=$1
shift
"$@" events --filter event=died --format '{{.Name}} {{.ContainerExitCode}}' | while read -r name status; do
  [ "$status" != "$rebooted" ] || "$@" start "$name" || true
done
"""
# Adds packages to the image, and leaves nothing else of it. No service starts: nothing runs there.
INSTALL = """
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y "$@" >/dev/null
rm -f /var/cache/apt/archives/*.deb /etc/ssh/ssh_host_*
: > /etc/machine-id
"""


class LabError(Exception):
    """The lab cannot be made; the message (French) says what to do."""


@dataclass
class Host:
    """One machine of the lab.

    Attributes:
        name: host name, as in the inventory.
        address: fixed IPv4 address inside the lab's network.
        names: further DNS names it answers to.
        machine: ``conteneur``, or ``uml`` for a kernel of its own (module_utils/lab/uml.py).
        memory: of a machine with its own kernel, as Linux takes it.
        disks: further disks of such a machine: ``512M`` a blank one, ``512M:/var/log`` one that holds that folder.
        packages: Debian packages that its image has already; none: a machine as bare as an installer leaves it.
        apart: a container whose root has no right on this computer, for what is not trusted.
    """

    name: str
    address: str
    names: list[str] = field(default_factory=list)
    machine: str = "conteneur"
    memory: str = "1024M"
    disks: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    apart: bool = False

    @property
    def container(self) -> str:
        return f"creatic-{self.name}"


def _run(command: list[str], error: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        detail = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(f"{error} : {' / '.join(detail[-3:])}")
    return done.stdout


def _ready(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.3)
    return False


class Lab:
    """The lab as one object: up, status and down.

    Args:
        subnet: private network, CIDR; its first address is the control node.
        hosts: the machines wanted.
        user: administrator's account, reached by key, with sudo.
        ssh_dir: folder on the control node for the key pair and known_hosts.
        check: report only.
    """

    def __init__(self, subnet: str, hosts: list[Host], user: str, ssh_dir: Path, check: bool = False) -> None:
        self.subnet = subnet
        self.gateway = subnet.split("/", maxsplit=1)[0].rsplit(".", 1)[0] + ".1"
        self.hosts = hosts
        self.user = user
        self.ssh_dir = ssh_dir
        self.check = check
        self.changes: list[str] = []
        self.from_nothing = False  # set by up(): no machine of ours was there before

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for another up or down of this machine's lab to end."""
        STATE.mkdir(parents=True, exist_ok=True)
        with (STATE / "verrou").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    # -- the namespace -------------------------------------------------------------------------

    @property
    def _namespace(self) -> Path:
        return RUN / "ns" / "mnt"

    def _in_namespace(self) -> list[str]:
        return ["nsenter", f"--mount={self._namespace}", "--wdns=/"]

    def _podman(self) -> list[str]:
        """Podman on the lab's own storage, inside the lab's namespace."""
        places = {"root": STATE / "storage", "runroot": RUN / "run", "network-config-dir": STATE / "networks"}
        options = [word for name, place in places.items() for word in (f"--{name}", str(place))]
        return [*self._in_namespace(), "podman", *options, "--cgroup-manager", "cgroupfs"]

    def podman(self, *arguments: str, error: str = "podman a échoué", **options: Any) -> str:
        """Run podman on the lab's own storage; gives what it printed."""
        return _run([*self._podman(), *arguments], error, **options)

    def _mounted(self, path: Path) -> bool:
        return any(line.split()[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())

    def _ensure_namespace(self) -> None:
        if self._mounted(self._namespace):
            return
        self.changes.append("espace de montage")
        folder = self._namespace.parent
        folder.mkdir(parents=True, exist_ok=True)
        if not self._mounted(folder):
            # A namespace can only be kept on a mount that is private.
            _run(["mount", "--bind", str(folder), str(folder)], "montage impossible")
            _run(["mount", "--make-private", str(folder)], "montage impossible")
        self._namespace.touch()
        _run(
            ["unshare", f"--mount={self._namespace}", "--propagation", "private", "true"],
            "impossible de créer l'espace de montage du banc d'essai (droits root complets nécessaires)",
        )
        enter = self._in_namespace()
        _run([*enter, "umount", "-R", "/sys/fs/cgroup"], "cgroup : démontage impossible")
        _run([*enter, "mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"], "cgroup v2 : montage impossible")

    def _ensure_watchers(self) -> None:
        before = WATCHERS.read_text()
        if int(before) < WATCHERS_WANTED:
            (RUN / WATCHERS.name).write_text(before)  # given back by down
            WATCHERS.write_text(f"{WATCHERS_WANTED}\n")
            self.changes.append(f"fs.inotify.{WATCHERS.name} de ce poste porté à {WATCHERS_WANTED}")

    # -- the image -----------------------------------------------------------------------------

    def _sources(self) -> list[tuple[str, str, str]]:
        """Debian repositories of this machine: (URI, suite, components)."""
        out = _run(
            [
                "apt-get",
                "indextargets",
                "--format",
                "$(LABEL)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
                "Created-By: Packages",
            ],
            "apt ne répond pas",
        )
        found: dict[tuple[str, str], list[str]] = {}
        for line in out.splitlines():
            label, uri, suite, component = line.split("|")
            if label in ("Debian", "Debian-Security"):
                found.setdefault((uri, suite), []).append(component)
        if not any(suite == "trixie" for _uri, suite in found):
            raise LabError(
                "aucun dépôt Debian 13 (trixie) dans la configuration d'apt de ce poste : lancez « apt-get update »"
            )
        return [(uri, suite, " ".join(sorted(set(parts)))) for (uri, suite), parts in found.items()]

    def _overlay(self) -> dict[str, str]:
        """Files put in the image: what a Debian installer would have asked, and the package cache."""
        files = {
            "etc/apt/apt.conf.d/01creatic-lab": (
                f'Acquire::http::Proxy "http://{self.gateway}:{PROXY_PORT}";\n'
                'Acquire::Languages "none";\nAcquire::GzipIndexes "true";\nAPT::Install-Recommends "false";\n'
            ),
            # A machine of the lab lives for hours: its packages need not be on disk before dpkg goes on.
            "etc/dpkg/dpkg.cfg.d/creatic-lab": "force-unsafe-io\n",
            "etc/apt/sources.list": "".join(f"deb {uri} {suite} {parts}\n" for uri, suite, parts in self._sources()),
            f"etc/sudoers.d/{self.user}": f"{self.user} ALL=(ALL:ALL) NOPASSWD: ALL\n",
            "etc/ssh/sshd_config.d/10-creatic-lab.conf": "PasswordAuthentication no\nPermitRootLogin no\n",
            INIT_PATH.removeprefix("/"): INIT,
            # In a copy of /proc/sys, a value must be truncated before it is written: procps does, systemd does not.
            SYSCTL_PATH: ("[Service]\nExecStart=\nExecStart=-/usr/sbin/sysctl --quiet --system\n"),
            # Each machine has its own host keys, made at its first boot.
            "etc/systemd/system/ssh-hostkeys.service": (
                "[Unit]\nBefore=ssh.service\nConditionPathExists=!/etc/ssh/ssh_host_ed25519_key\n"
                "[Service]\nType=oneshot\nExecStart=/usr/bin/ssh-keygen -A\n"
                "[Install]\nWantedBy=multi-user.target\n"
            ),
        }
        # The kernel's audit is the computer's: role hardening says so too, but packages come first here.
        files |= dict.fromkeys(AUDIT_PATHS, "[Unit]\nConditionVirtualization=!container\n")
        for authority in sorted(Path("/usr/local/share/ca-certificates").glob("*.crt")):
            files[f"usr/local/share/ca-certificates/{authority.name}"] = authority.read_text()
        return files

    def _recipe(self, packages: list[str]) -> tuple[str, dict[str, str], str]:
        """Name of the image with these packages, what is put in it, and the digest of all that decides of it."""
        overlay = self._overlay()
        # A new image each ISO week: its package lists are never older than that.
        seed = json.dumps([overlay, PACKAGES, packages, INSTALL, time.strftime("%G-%V"), "4"], sort_keys=True)
        digest = hashlib.sha256(seed.encode()).hexdigest()[:12]
        return f"localhost/creatic-lab:{digest}", overlay, digest

    def _build(self, overlay: dict[str, str], target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            bundle = Path(folder) / "overlay.tar"
            with tarfile.open(bundle, "w") as tar:
                for name, content in overlay.items():
                    data = content.encode()
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    executable = content.startswith("#!")
                    info.mode = 0o440 if name.startswith("etc/sudoers.d/") else 0o755 if executable else 0o644
                    tar.addfile(info, io.BytesIO(data))
            image = Path(folder) / "image.tar"
            sources = "\n".join(f"deb {uri} {suite} {parts}" for uri, suite, parts in self._sources())
            _run(
                [
                    "mmdebstrap",
                    "--quiet",
                    "--variant=minbase",
                    f"--include={PACKAGES}",
                    "--skip=cleanup/apt/lists",
                    '--aptopt=Acquire::Languages "none"',
                    '--aptopt=Acquire::GzipIndexes "true"',
                    "--dpkgopt=force-unsafe-io",
                    f"--customize-hook=tar-in {bundle} /",
                    '--customize-hook=rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/apt/sources.list.d/*'
                    ' "$1"/etc/apt/apt.conf.d/99mmdebstrap',
                    '--customize-hook=chroot "$1" update-ca-certificates',
                    f'--customize-hook=chroot "$1" useradd -m -s /bin/bash -G sudo {self.user}',
                    '--customize-hook=chroot "$1" systemctl enable ssh.service ssh-hostkeys.service',
                    '--customize-hook=: > "$1"/etc/machine-id',
                    "trixie",
                    str(image),
                    "-",
                ],
                "l'image Debian 13 n'a pas pu être construite",
                input=sources,
            )
            image.replace(target)

    def _ensure_images(self) -> dict[tuple[str, ...], str]:
        """Make the images that the machines want; gives their names by the packages that they have more."""
        present = self.podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        made: dict[tuple[str, ...], str] = {}
        for packages in sorted({(), *map(self._packages, self.hosts)}, key=len):
            name, overlay, digest = self._recipe(list(packages))
            if name not in present:
                self.changes.append("image Debian 13" + (f" avec {len(packages)} paquets de plus" if packages else ""))
                if packages:
                    parent = max((one for one in made if set(one) <= set(packages)), key=len)
                    self._add_packages(made[parent], packages, name)
                else:
                    self.podman(
                        "import", str(self._archive(overlay, digest)), name, error="l'image n'a pas pu être importée"
                    )
            made[packages] = name
        return made

    @staticmethod
    def _packages(host: Host) -> tuple[str, ...]:
        return tuple(sorted({*host.packages, *(lab_uml.PACKAGES if host.machine == "uml" else ())}))

    def _archive(self, overlay: dict[str, str], digest: str) -> Path:
        archive = STATE / "cache" / f"image-{digest}.tar"
        if not archive.exists():
            for old in archive.parent.glob("image-*.tar"):
                old.unlink()
            self._build(overlay, archive)
        return archive

    def _add_packages(self, image: str, packages: tuple[str, ...], name: str) -> None:
        error = f"l'image n'a pas pu recevoir ses paquets ({', '.join(packages)})"
        self.podman("rm", "--force", "--ignore", "--time", "0", BUILDER)
        label = f"{OWNER}={self.owner}"
        self.podman(
            *("run", "--detach", "--name", BUILDER, "--network", NETWORK, "--label", label, "--pids-limit=0"),
            *(image, "sleep", "infinity"), error=error,
        )  # fmt: skip
        self._ensure_package_cache()
        self.podman("exec", BUILDER, "sh", "-ceu", INSTALL, "sh", *packages, error=error)
        self.podman("commit", "--quiet", BUILDER, name, error=error)
        self.podman("rm", "--force", "--time", "0", BUILDER, error=error)

    def _tree(self, image: str) -> Path:
        """The tree of an image as a tar file, kept; the last one alone."""
        archive = STATE / "cache" / f"noyau-{image.rpartition(':')[2]}.tar"
        if not archive.exists():
            for old in archive.parent.glob("noyau-*.tar"):
                old.unlink()
            self.podman("rm", "--force", "--ignore", BUILDER)
            self.podman("create", "--name", BUILDER, image, "true")
            new = archive.with_suffix(".new")
            self.podman("export", "--output", str(new), BUILDER, error="l'image n'a pas pu être dépliée")
            self.podman("rm", BUILDER)
            new.replace(archive)
        return archive

    # -- network and package cache -------------------------------------------------------------

    def _ensure_network(self) -> None:
        if NETWORK in self.podman("network", "ls", "--format", "{{.Name}}").split():
            return
        self.changes.append("réseau")
        self.podman(
            "network",
            "create",
            "--subnet",
            self.subnet,
            "--interface-name",
            BRIDGE,
            NETWORK,
            error=f"le réseau {self.subnet} n'a pas pu être créé (déjà utilisé sur ce poste ?)",
        )

    def _running(self, name: str, program: str) -> int | None:
        """Process of one of the lab's own daemons, while it lives."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((RUN / f"{name}.pid").read_text())
            if program.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def _start(self, name: str, command: list[str]) -> None:
        with (RUN / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        (RUN / f"{name}.pid").write_text(f"{process.pid}\n")

    def _ensure_power(self) -> None:
        if self._running("power", "podman"):
            return
        self.changes.append("retour des machines qui redémarrent")
        self._start("power", ["sh", "-ceu", POWER, "sh", str(REBOOTED), *self._podman()])

    def _ensure_package_cache(self) -> None:
        if self._running("apt-cache", "apt-cacher-ng"):
            return
        self.changes.append("cache de paquets")
        STATE.chmod(0o755)  # podman makes it for root only; the cache runs under an account of its own
        cache = STATE / "cache" / "apt"
        cache.mkdir(parents=True, exist_ok=True)
        shutil.chown(cache, "apt-cacher-ng", "apt-cacher-ng")
        upstream = _run(["apt-config", "shell", "P", "Acquire::http::Proxy"], "apt-config a échoué").strip()
        proxy = [f"Proxy:{upstream.split(chr(39))[1]}"] if upstream else []
        # A configuration of its own: Debian's remaps every mirror to one backend, which may be out of reach.
        configuration = RUN / "apt-cache"
        configuration.mkdir(exist_ok=True)
        (configuration / "acng.conf").write_text("ExThreshold: 4\n")
        self._start("apt-cache", [
            *("setpriv", "--reuid=apt-cacher-ng", "--regid=apt-cacher-ng", "--clear-groups"),
            *("apt-cacher-ng", "-c", str(configuration), "ForeGround=1"),
            *(f"CacheDir={cache}", f"LogDir={cache}", "PidFile=", "SocketPath="),
            *(f"Port={PROXY_PORT}", f"BindAddress={self.gateway}"),
            *proxy,
        ])  # fmt: skip
        listening = f"{self.gateway}:{PROXY_PORT}"
        if not _ready(lambda: listening in _run(["ss", "-ltn"], "ss a échoué"), 15):
            raise LabError(f"le cache de paquets n'écoute pas sur {listening} : voir {RUN / 'apt-cache.log'}")

    # -- the machines --------------------------------------------------------------------------

    def containers(self) -> dict[str, dict[str, Any]]:
        """Machines of the lab by container name, as podman lists them; empty when it is down."""
        if not self._mounted(self._namespace):
            return {}
        listed = json.loads(self.podman("ps", "--all", "--format", "json") or "[]")
        return {entry["Names"][0]: entry for entry in listed}

    @property
    def owner(self) -> str:
        """Whose the machines are: a digest of the administrator's public key, which opens them."""
        return hashlib.sha256(self._ensure_key().encode()).hexdigest()[:16]

    def _remove_foreign(self) -> None:
        """Remove machines that another control node made: their keys and certificates are not ours."""
        foreign = [
            name for name, found in self.containers().items() if (found.get("Labels") or {}).get(OWNER) != self.owner
        ]
        if foreign:
            self.changes.append(f"machines d'un autre poste de commande retirées ({len(foreign)})")
            self.podman("rm", "--force", "--time", "0", *foreign, error="les machines n'ont pas pu être retirées")

    def _create(self, host: Host, image: str, recipe: str) -> None:
        if host.machine == "uml":
            options, program = self._kernel_machine(host, image)
        else:
            options = ["--systemd=always", "--pids-limit=0", "--shm-size=256m", "--cap-add", ",".join(CAPABILITIES)]
            options += APART if host.apart else ()
            program = [INIT_PATH]
        # As on a real machine, the card stays the same through a reboot: the others know it by that.
        card = ":".join(f"{byte:02x}" for byte in (0x02, 0x59, *ipaddress.ip_address(host.address).packed))
        network = ",".join([f"{NETWORK}:ip={host.address},mac={card}", *(f"alias={name}" for name in host.names)])
        self.podman(
            *("run", "--detach", "--name", host.container, "--hostname", host.name, "--network", network),
            *("--label", f"creatic.recipe={recipe}", "--label", f"{OWNER}={self.owner}", "--hosts-file=none"),
            *(*options, image, *program),
            error=f"la machine {host.name} ({host.address}) n'a pas démarré",
        )

    def _kernel_machine(self, host: Host, image: str) -> tuple[list[str], list[str]]:
        """Make the disks of a machine with its own kernel; what its container is started with."""
        folder = STATE / "machines" / host.name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        key = folder / "ssh_host_ed25519_key"
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", str(key)], "ssh-keygen")
        disks = lab_uml.disks(host.disks)
        files = {
            "etc/hostname": (f"{host.name}\n", 0o644),
            "etc/hosts": (f"127.0.0.1 localhost\n{host.address} {' '.join([host.name, *host.names])}\n", 0o644),
            "etc/resolv.conf": (f"nameserver {self.gateway}\n", 0o644),
            "etc/systemd/network/10-creatic-lab.network": (
                f"[Match]\nName=vec0\n[Network]\nAddress={host.address}/{self.subnet.split('/')[1]}\n"
                f"Gateway={self.gateway}\nLinkLocalAddressing=no\n",
                0o644,
            ),
            "etc/ssh/ssh_host_ed25519_key": (key.read_text(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": (key.with_suffix(".pub").read_text(), 0o644),
            f"home/{self.user}/.ssh/authorized_keys": (f"{self._ensure_key()}\n", 0o600),
        }
        # For containers alone; by podman's file in /run, systemd would take the machine for one.
        unwanted = [INIT_PATH.removeprefix("/"), SYSCTL_PATH, *AUDIT_PATHS, "run/.containerenv"]
        lab_uml.make_disks(self._tree(image), folder, disks, files, unwanted, self.user, _run)
        repairs = lab_uml.build_repairs(STATE / "cache", _run)
        return lab_uml.podman_options(folder, repairs), lab_uml.command(host.name, host.memory, len(disks))

    def _ensure_machines(self, images: dict[tuple[str, ...], str]) -> None:
        present = self.containers()
        for host in self.hosts:
            image = images[self._packages(host)]
            seed = json.dumps([host.address, host.names, image, CAPABILITIES])
            if host.apart:
                seed += json.dumps(APART)
            if host.machine == "uml":
                seed += json.dumps([host.memory, host.disks, lab_uml.REPAIRS])
            recipe = hashlib.sha256(seed.encode()).hexdigest()[:12]
            found = present.get(host.container)
            if found and (found.get("Labels") or {}).get("creatic.recipe") != recipe:
                self.podman("rm", "--force", "--time", "0", host.container)
                found = None
            if found is None:
                self.changes.append(host.name)
                self._create(host, image, recipe)
            elif found["State"] != "running":
                self.changes.append(host.name)
                self.podman("start", host.container, error=f"la machine {host.name} n'a pas redémarré")

    def _exec(self, host: Host, script: str, *arguments: str) -> str:
        return self.podman(
            "exec", host.container, "sh", "-ceu", script, "sh", *arguments, error=f"{host.name} ne répond pas"
        )

    def _ensure_key(self) -> str:
        key = self.ssh_dir / "id_ed25519"
        if not key.exists():
            self.changes.append("clé SSH de l'administrateur")
            self.ssh_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            _run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "creatic-lab", "-f", str(key)],
                "ssh-keygen",
            )
        return key.with_suffix(".pub").read_text().strip()

    def _ensure_access(self, public_key: str) -> None:
        known = []
        for host in self.hosts:
            own_kernel = host.machine == "uml"
            seconds = lab_uml.BOOT_SECONDS if own_kernel else BOOT_SECONDS
            booted = _ready(partial(self._answers if own_kernel else self._booted, host), seconds)
            if not booted:
                raise LabError(f"{host.name} n'a pas fini de démarrer en {seconds} s : voir {self._keep_log(host)}")
            if own_kernel:
                host_key = (STATE / "machines" / host.name / "ssh_host_ed25519_key.pub").read_text()
                known.append(f"{host.address} {' '.join(host_key.split()[:2])}\n")
                continue
            host_key = self._exec(
                host,
                'home=$(getent passwd "$1" | cut -d: -f6); install -d -m 0700 -o "$1" -g "$1" "$home/.ssh"; '
                'printf "%s\\n" "$2" > "$home/.ssh/authorized_keys"; '
                'chown "$1:$1" "$home/.ssh/authorized_keys"; chmod 0600 "$home/.ssh/authorized_keys"; '
                "cat /etc/ssh/ssh_host_ed25519_key.pub",
                self.user,
                public_key,
            )
            known.append(f"{host.address} {' '.join(host_key.split()[:2])}\n")
        target = self.ssh_dir / "known_hosts"
        kept = target.read_text().splitlines(keepends=True) if target.exists() else []
        ours = {line.split()[0] for line in known}
        wanted = "".join(sorted([line for line in kept if line.split()[0] not in ours] + known))
        if not target.exists() or target.read_text() != wanted:
            self.changes.append("clés d'hôtes connues")
            temporary = target.with_suffix(".new")
            temporary.write_text(wanted)
            temporary.replace(target)

    def _booted(self, host: Host) -> bool:
        try:
            state = self._exec(
                host,
                "systemctl is-system-running || true; test -s /etc/ssh/ssh_host_ed25519_key.pub; "
                "systemctl is-active ssh.service",
            ).split()
        except LabError:
            return False
        return state[:1] in (["running"], ["degraded"]) and state[-1] == "active"

    def _answers(self, host: Host) -> bool:
        """A machine with its own kernel is up when it answers over SSH, as in production."""
        known = STATE / "machines" / host.name / "known_hosts"
        known.write_text(f"{host.address} {known.with_name('ssh_host_ed25519_key.pub').read_text()}")
        options = ["-i", str(self.ssh_dir / "id_ed25519"), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]
        options += ["-o", "ConnectTimeout=5", "-o", "StrictHostKeyChecking=yes"]
        asked = ["ssh", *options, f"{self.user}@{host.address}", "systemctl is-system-running"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        return done.stdout.strip() in ("running", "degraded")

    def _keep_log(self, host: Host) -> Path:
        """Keep what a machine said while it booted: its serial line, or systemd's console."""
        target = STATE / "journaux" / f"{host.name}.log"
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(LabError):
            target.write_text(self.podman("logs", host.container))
        return target

    # -- the three verbs -----------------------------------------------------------------------

    def up(self) -> None:
        """Make what is missing; a second call changes nothing.

        Raises:
            LabError: a program is missing, the network is taken, a machine does not boot.
        """
        if os.geteuid() != 0:
            raise LabError("le banc d'essai démarre de vraies machines : lancez cette commande en root (sudo)")
        wanted = dict(PROGRAMS)
        if any(host.machine == "uml" for host in self.hosts):
            wanted |= lab_uml.PROGRAMS
        missing = sorted({package for program, package in wanted.items() if not shutil.which(program)})
        if missing:
            raise LabError(f"programmes absents : « apt-get install {' '.join(missing)} » puis relancez")
        if self.check:
            known = self.containers()
            self.changes += [host.name for host in self.hosts if host.container not in known]
            return
        with self._alone():
            self._ensure_namespace()
            self._ensure_watchers()
            public_key = self._ensure_key()
            self._ensure_network()
            self._remove_foreign()
            self.from_nothing = not self.containers()
            images = self._ensure_images()
            self._ensure_power()
            self._ensure_machines(images)
            self._ensure_package_cache()
            self._ensure_access(public_key)

    def down(self) -> None:
        """Remove machines, network, mounts, namespace and package cache daemon; keeps downloads and keys."""
        if self.check:
            self.changes += sorted(self.containers())
            return
        with self._alone():
            self._remove(self.containers())

    def _remove(self, present: dict[str, Any]) -> None:
        # Before the machines: none is to come back.
        for name, program, what in (
            ("power", "podman", "retour des machines qui redémarrent"),
            ("apt-cache", "apt-cacher-ng", "cache de paquets"),
        ):
            if pid := self._running(name, program):
                self.changes.append(what)
                os.killpg(pid, signal.SIGTERM)
                _ready(partial(lambda *asked: self._running(*asked) is None, name, program), 10)
        if self._mounted(self._namespace):
            self.changes += [*sorted(present), "réseau", "espace de montage"]
            remove = ("rm", "--all", "--force", "--time", "0")
            try:
                self.podman(*remove)
            except LabError:  # machines that were killed with what watched over them: podman has noted it now
                self.podman(*remove, error="les machines n'ont pas pu être arrêtées")
            if NETWORK in self.podman("network", "ls", "--format", "{{.Name}}").split():
                self.podman("network", "rm", NETWORK, error="le réseau n'a pas pu être retiré")
            with contextlib.suppress(LabError):  # absent when netavark had nothing to isolate
                table = _run(["nft", "list", "table", "inet", "netavark"], "nft")
                if "nv_" not in table:  # no container of the machine's own uses it
                    _run(["nft", "delete", "table", "inet", "netavark"], "nft")
        if (RUN / WATCHERS.name).exists():
            WATCHERS.write_text((RUN / WATCHERS.name).read_text())
        for mount in (self._namespace, self._namespace.parent):
            if self._mounted(mount):
                _run(["umount", str(mount)], f"démontage de {mount} impossible")
        for folder in (RUN, STATE / "machines"):
            if folder.exists():
                shutil.rmtree(folder)
