# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The lab: Debian 13 machines on one private network, up and down."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.lab import uml as lab_uml
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.access import Access
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import NAME, Ground, LabError
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import LAB, Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.images import OWNER, Images
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.machines import Machines
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.network import Network
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.router import Router

PROGRAMS = {
    "podman": "podman",
    "nsenter": "util-linux",
    "mmdebstrap": "mmdebstrap",
    "apt-cacher-ng": "apt-cacher-ng",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh-keygen": "openssh-client",
}


class Lab:
    """The lab as one object: up and down, whole or by machine.

    Args:
        subnet: private network, CIDR; its first address is the control node.
        hosts: the machines wanted.
        user: administrator's account, reached by key, with sudo.
        ssh_dir: folder on the control node for the key pair and known_hosts.
        check: report only.
        name: see `Ground`.
    """

    def __init__(
        self, subnet: str, hosts: list[Host], user: str, ssh_dir: Path, check: bool = False, name: str = NAME
    ) -> None:
        self.hosts = hosts
        self.check = check
        self.ground = Ground(name)
        self.changes = self.ground.changes
        self.from_nothing = False  # set by up(): no machine of ours was there before
        self.network = Network(self.ground, subnet)
        self.access = Access(self.ground, user, ssh_dir)
        self.images = Images(self.ground, self.network, self.access)
        self.router = Router(self.ground, self.network)
        self.machines = Machines(self.ground, self.network, self.access, self.images, self.router)

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
            known = self.ground.containers()
            self.changes += [host.name for host in self.hosts if host.container not in known]
            return
        with self.ground.exclusive_lock():
            self.ground.ensure()
            self.access.ensure_key()
            self.network.ensure()
            self.machines.remove_foreign()
            self.from_nothing = not self.ground.containers()
            images = self.images.ensure(self.hosts)
            self.machines.ensure_power()
            # The network's bridge comes with the first machine that is on it; a machine's cable, before the machine.
            self.machines.ensure([host for host in self.hosts if host.line == LAB], images)
            self.router.ensure(self.hosts, images[()], ["--label", f"{OWNER}={self.access.owner}"])
            self.machines.ensure([host for host in self.hosts if host.line != LAB], images)
            self.network.ensure_package_cache()
            self.access.ensure(self.hosts)

    def remove(self) -> None:
        """Take away the machines wanted, and no other; the lab stays."""
        with self.ground.exclusive_lock():
            known = self.ground.containers()
            gone = [host for host in self.hosts if host.container in known]
            self.changes += [host.name for host in gone]
            if gone and not self.check:
                self.ground.podman("rm", "--force", "--time", "2", *(host.container for host in gone))
            if not self.check:
                self.router.forget(self.hosts)

    def down(self) -> None:
        """Remove machines, network, mounts, namespace and package cache daemon; keeps downloads and keys."""
        if self.check:
            self.changes += sorted(self.ground.containers())
            return
        with self.ground.exclusive_lock():
            present = self.ground.containers()
            # Before the machines: none is to come back.
            self.ground.stop("power", "podman", "retour des machines qui redémarrent")
            self.ground.stop("apt-cache", "apt-cacher-ng", "cache de paquets")
            if self.ground.mounted(self.ground.namespace):
                self.changes += [*sorted(present), "réseau", "espace de montage"]
                self.machines.remove()
                self.network.remove()
            self.ground.remove()
