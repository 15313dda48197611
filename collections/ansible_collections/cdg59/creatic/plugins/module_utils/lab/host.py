# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""One machine of the lab, as it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.cdg59.creatic.plugins.module_utils.lab import uml as lab_uml

LAB, WORKSHOP, BEHIND = "banc", "atelier", "routeur"
"""Where a machine's cable leads: the lab's network for good; that network, or the router, as is asked (router.py)."""


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
        line: LAB, WORKSHOP or BEHIND; a machine that changes between the last two stays the same.
    """

    name: str
    address: str
    names: list[str] = field(default_factory=list)
    machine: str = "conteneur"
    memory: str = "1024M"
    disks: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    apart: bool = False
    line: str = LAB

    @property
    def container(self) -> str:
        return f"creatic-{self.name}"

    @property
    def image_packages(self) -> tuple[str, ...]:
        """What its image has more than the barest one."""
        return tuple(sorted({*self.packages, *(lab_uml.PACKAGES if self.machine == "uml" else ())}))
