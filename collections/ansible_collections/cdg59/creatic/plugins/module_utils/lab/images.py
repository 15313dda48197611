# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The images of the lab's machines: Debian 13 as an installer leaves it, and packages more."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.lab.access import Access
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground, LabError, run
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.network import PROXY_PORT, Network

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
OWNER = "creatic.proprietaire"
BUILDER = "creatic-image"  # the machine in which an image gets its packages
# Adds packages to the image, and leaves nothing else of it. No service starts: nothing runs there.
INSTALL = """
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y "$@" >/dev/null
rm -f /var/cache/apt/archives/*.deb /etc/ssh/ssh_host_*
: > /etc/machine-id
"""


def sources() -> list[tuple[str, str, str]]:
    """Debian repositories of this machine: (URI, suite, components)."""
    out = run(
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


class Images:
    """The images, by what a machine's packages are."""

    def __init__(self, ground: Ground, network: Network, access: Access) -> None:
        self.ground = ground
        self.network = network
        self.access = access

    def ensure(self, hosts: Iterable[Host]) -> dict[tuple[str, ...], str]:
        """Make the images that the machines want; gives their names by the packages that they have more."""
        present = self.ground.podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        made: dict[tuple[str, ...], str] = {}
        for packages in sorted({(), *(host.image_packages for host in hosts)}, key=len):
            name, overlay, digest = self._image_recipe(list(packages))
            if name not in present:
                self.ground.changes.append(
                    "image Debian 13" + (f" avec {len(packages)} paquets de plus" if packages else "")
                )
                if packages:
                    parent = max((one for one in made if set(one) <= set(packages)), key=len)
                    self._add_packages(made[parent], packages, name)
                else:
                    self.ground.podman(
                        "import",
                        str(self._build_archive(overlay, digest)),
                        name,
                        error="l'image n'a pas pu être importée",
                    )
            made[packages] = name
        return made

    def tree(self, image: str) -> Path:
        """The tree of an image as a tar file, kept; the last one alone."""
        archive = self.ground.state / "cache" / f"noyau-{image.rpartition(':')[2]}.tar"
        if not archive.exists():
            for old in archive.parent.glob("noyau-*.tar"):
                old.unlink()
            self.ground.podman("rm", "--force", "--ignore", BUILDER)
            self.ground.podman("create", "--name", BUILDER, image, "true")
            new = archive.with_suffix(".new")
            self.ground.podman("export", "--output", str(new), BUILDER, error="l'image n'a pas pu être dépliée")
            self.ground.podman("rm", BUILDER)
            new.replace(archive)
        return archive

    def _overlay_files(self) -> dict[str, str]:
        """Files put in the image: what a Debian installer would have asked, and the package cache."""
        files = {
            "etc/apt/apt.conf.d/01creatic-lab": (
                f'Acquire::http::Proxy "http://{self.network.gateway}:{PROXY_PORT}";\n'
                'Acquire::Languages "none";\nAPT::Install-Recommends "false";\n'
            ),
            # A machine of the lab lives for hours: its packages need not be on disk before dpkg goes on, and nobody
            # reads their manuals there, which are half of all files that are unpacked, then watched and looked through.
            "etc/dpkg/dpkg.cfg.d/creatic-lab": "force-unsafe-io\n"
            + "".join(f"path-exclude=/usr/share/{folder}/*\n" for folder in ("doc", "locale", "man")),
            "etc/apt/sources.list": "".join(f"deb {uri} {suite} {parts}\n" for uri, suite, parts in sources()),
            f"etc/sudoers.d/{self.access.user}": f"{self.access.user} ALL=(ALL:ALL) NOPASSWD: ALL\n",
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

    def _image_recipe(self, packages: list[str]) -> tuple[str, dict[str, str], str]:
        """Name of the image with these packages, what is put in it, and the digest of all that decides of it."""
        overlay = self._overlay_files()
        # A new image each ISO week: its package lists are never older than that.
        seed = json.dumps([overlay, PACKAGES, packages, INSTALL, time.strftime("%G-%V"), "4"], sort_keys=True)
        digest = hashlib.sha256(seed.encode()).hexdigest()[:12]
        return f"localhost/creatic-lab:{digest}", overlay, digest

    def _build_image(self, overlay: dict[str, str], target: Path) -> None:
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
            lines = "\n".join(f"deb {uri} {suite} {parts}" for uri, suite, parts in sources())
            run(
                [
                    "mmdebstrap",
                    "--quiet",
                    "--variant=minbase",
                    f"--include={PACKAGES}",
                    "--skip=cleanup/apt/lists",
                    '--aptopt=Acquire::Languages "none"',
                    "--dpkgopt=force-unsafe-io",
                    f"--customize-hook=tar-in {bundle} /",
                    '--customize-hook=rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/apt/sources.list.d/*'
                    ' "$1"/etc/apt/apt.conf.d/99mmdebstrap',
                    '--customize-hook=chroot "$1" update-ca-certificates',
                    f'--customize-hook=chroot "$1" useradd -m -s /bin/bash -G sudo {self.access.user}',
                    '--customize-hook=chroot "$1" systemctl enable ssh.service ssh-hostkeys.service',
                    '--customize-hook=: > "$1"/etc/machine-id',
                    "trixie",
                    str(image),
                    "-",
                ],
                "l'image Debian 13 n'a pas pu être construite",
                input=lines,
            )
            image.replace(target)

    def _build_archive(self, overlay: dict[str, str], digest: str) -> Path:
        archive = self.ground.state / "cache" / f"image-{digest}.tar"
        if not archive.exists():
            for old in archive.parent.glob("image-*.tar"):
                old.unlink()
            self._build_image(overlay, archive)
        return archive

    def _add_packages(self, image: str, packages: tuple[str, ...], name: str) -> None:
        error = f"l'image n'a pas pu recevoir ses paquets ({', '.join(packages)})"
        self.ground.podman("rm", "--force", "--ignore", "--time", "0", BUILDER)
        label = f"{OWNER}={self.access.owner}"
        self.ground.podman(
            *("run", "--detach", "--name", BUILDER, "--network", self.ground.name, "--label", label, "--pids-limit=0"),
            *(image, "sleep", "infinity"),
            error=error,
        )
        self.network.ensure_package_cache()
        self.ground.podman("exec", BUILDER, "sh", "-ceu", INSTALL, "sh", *packages, error=error)
        self.ground.podman("commit", "--quiet", BUILDER, name, error=error)
        self.ground.podman("rm", "--force", "--time", "0", BUILDER, error=error)
