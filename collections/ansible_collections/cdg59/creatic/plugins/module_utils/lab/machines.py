# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The machines themselves: Debian 13 booted with systemd in podman, or with a kernel of their own."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable

from ansible_collections.cdg59.creatic.plugins.module_utils.lab import uml as lab_uml
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.access import Access
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground, LabError, run
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import LAB, Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.images import (
    AUDIT_PATHS,
    INIT_PATH,
    OWNER,
    SYSCTL_PATH,
    Images,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.network import Network
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.router import Router, card

# SYS_ADMIN lets systemd sandbox its services, NET_ADMIN lets nftables work; both stay inside the host's
# namespaces. The machine's own kernel settings are out of reach, see INIT.
# With SYS_BOOT, reboot(2) ends this host's processes alone and says whether it was a reboot.
CAPABILITIES = ("NET_ADMIN", "SYS_ADMIN", "SYS_BOOT", "AUDIT_WRITE")
# A machine set apart has a user namespace: its root is an account of this computer that owns nothing, and what it may
# do ends with its own namespaces. /proc is whole in it, which the kernel asks of who mounts another one there (INIT).
APART = ("--uidmap=0:1000000000:65536", "--gidmap=0:1000000000:65536", "--security-opt=unmask=ALL")
# What the first program of a host ends with when the host asked for a reboot: reboot(2), RESTART kills it with SIGHUP.
# Switched off, stopped or killed, it ends with something else.
REBOOT_EXIT_STATUS = 129
# A machine that reboots comes back, as a real one does. $1: REBOOTED, then podman and its options.
# Podman tells the events of every lab of this computer: two of them have machines of one name, none of one ID.
POWER = r"""
rebooted=$1
shift
"$@" events --filter event=died --format '{{.ID}} {{.ContainerExitCode}}' | while read -r id status; do
  [ "$status" != "$rebooted" ] || "$@" start "$id" || true
done
"""


class Machines:
    """The machines of one control node."""

    def __init__(self, ground: Ground, network: Network, access: Access, images: Images, router: Router) -> None:
        self.ground = ground
        self.network = network
        self.access = access
        self.images = images
        self.router = router

    def ensure(self, hosts: Iterable[Host], images: dict[tuple[str, ...], str]) -> None:
        """Make or start the machines that are missing, stopped or made by another recipe."""
        present = self.ground.containers()
        for host in hosts:
            image = images[host.image_packages]
            recipe = _recipe_digest(host, image)
            found = present.get(host.container)
            if found and (found.get("Labels") or {}).get("creatic.recipe") != recipe:
                self.ground.podman("rm", "--force", "--time", "0", host.container)
                found = None
            if found is None:
                self.ground.changes.append(host.name)
                self.create(host, image, recipe)
            elif found["State"] != "running":
                self.ground.changes.append(host.name)
                self.ground.podman("start", host.container, error=f"la machine {host.name} n'a pas redémarré")

    def remove_foreign(self) -> None:
        """Remove machines that another control node made: their keys and certificates are not ours."""
        foreign = [
            name
            for name, found in self.ground.containers().items()
            if (found.get("Labels") or {}).get(OWNER) != self.access.owner
        ]
        if foreign:
            self.ground.changes.append(f"machines d'un autre poste de commande retirées ({len(foreign)})")
            self.ground.podman(
                "rm", "--force", "--time", "0", *foreign, error="les machines n'ont pas pu être retirées"
            )

    def ensure_power(self) -> None:
        """Have what starts again the machines that reboot."""
        if self.ground.running("power", "podman"):
            return
        self.ground.changes.append("retour des machines qui redémarrent")
        self.ground.start("power", ["sh", "-ceu", POWER, "sh", str(REBOOT_EXIT_STATUS), *self.ground.podman_command()])

    def remove(self) -> None:
        """Remove every machine."""
        remove = ("rm", "--all", "--force", "--time", "0")
        try:
            self.ground.podman(*remove)
        except LabError:  # machines that were killed with what watched over them: podman has noted it now
            self.ground.podman(*remove, error="les machines n'ont pas pu être arrêtées")

    def create(self, host: Host, image: str, recipe: str) -> None:
        """Make a machine and start it."""
        if host.machine == "uml":
            options, program = self._kernel_machine(host, image)
        else:
            options = ["--systemd=always", "--pids-limit=0", "--shm-size=256m", "--cap-add", ",".join(CAPABILITIES)]
            options += APART if host.apart else ()
            program = [INIT_PATH]
        if host.line == LAB:
            place = f"{self.ground.name}:ip={host.address},mac={card(host.address)}"
            network = ["--network", ",".join([place, *(f"alias={name}" for name in host.names)])]
        else:
            network = ["--network", f"ns:{self.router.place(host)}", "--dns", self.network.gateway]
            network += ["--add-host", f"{host.name}:{host.address}"]
        self.ground.podman(
            *("run", "--detach", "--name", host.container, "--hostname", host.name, *network),
            *("--label", f"creatic.recipe={recipe}", "--label", f"{OWNER}={self.access.owner}", "--hosts-file=none"),
            *(*options, image, *program),
            error=f"la machine {host.name} ({host.address}) n'a pas démarré",
        )

    def _kernel_machine(self, host: Host, image: str) -> tuple[list[str], list[str]]:
        """Make the disks of a machine with its own kernel; what its container is started with."""
        folder = self.ground.state / "machines" / host.name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        key = folder / "ssh_host_ed25519_key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", str(key)], "ssh-keygen")
        disks = lab_uml.disks(host.disks)
        files = {
            "etc/hostname": (f"{host.name}\n", 0o644),
            "etc/hosts": (f"127.0.0.1 localhost\n{host.address} {' '.join([host.name, *host.names])}\n", 0o644),
            "etc/resolv.conf": (f"nameserver {self.network.gateway}\n", 0o644),
            "etc/systemd/network/10-creatic-lab.network": (
                f"[Match]\nName=vec0\n[Network]\nAddress={host.address}/{self.network.subnet.split('/')[1]}\n"
                f"Gateway={self.network.gateway}\nLinkLocalAddressing=no\n",
                0o644,
            ),
            "etc/ssh/ssh_host_ed25519_key": (key.read_text(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": (key.with_suffix(".pub").read_text(), 0o644),
            f"home/{self.access.user}/.ssh/authorized_keys": (f"{self.access.ensure_key()}\n", 0o600),
        }
        # For containers alone; by podman's file in /run, systemd would take the machine for one.
        unwanted = [INIT_PATH.removeprefix("/"), SYSCTL_PATH, *AUDIT_PATHS, "run/.containerenv"]
        lab_uml.make_disks(self.images.tree(image), folder, disks, files, unwanted, self.access.user, run)
        repairs = lab_uml.build_repairs(self.ground.state / "cache", run)
        return lab_uml.podman_options(folder, repairs), lab_uml.command(host.name, host.memory, len(disks))


def _recipe_digest(host: Host, image: str) -> str:
    """Digest of all that decides of a machine."""
    seed = json.dumps([host.address, host.names, image, CAPABILITIES])
    if host.apart:
        seed += json.dumps(APART)
    if host.line != LAB:
        seed += "câble"
    if host.machine == "uml":
        seed += json.dumps([host.memory, host.disks, lab_uml.REPAIRS])
    return hashlib.sha256(seed.encode()).hexdigest()[:12]
