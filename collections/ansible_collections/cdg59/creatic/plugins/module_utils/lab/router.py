# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A commune's router: what is behind it goes out under its address, and nobody comes in.

A machine that is to live there has a network namespace of its own, which outlasts its container, and one cable: it is
prepared at the workshop, on the lab's network, then carried behind the router. The router is a container of the lab's
network that runs nothing: its own namespace forwards, masquerades and refuses. No interface of this computer is on its
side of things.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground, LabError, run
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import BEHIND, WORKSHOP, Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.network import Network

NAME = "creatic-routeur"
OUTSIDE, INSIDE = "0.60", "96.1/22"
"""The router's addresses, by their end: on the lab's network, and on the communes' side."""
_BRIDGE = "lan0"
_WHERE = {WORKSHOP: "à l'atelier", BEHIND: "derrière le routeur"}
# In and through: nothing that was not asked for from behind.
RULES = f"""
table inet routeur {{
  chain entree {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname {{ "lo", "{_BRIDGE}" }} accept
  }}
  chain passage {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "{_BRIDGE}" accept
  }}
  chain sortie {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname != "{_BRIDGE}" masquerade
  }}
}}
"""


def card(address: str) -> str:
    """The hardware address of a machine: as on a real one, it stays the same through a reboot."""
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x59, *ipaddress.ip_address(address).packed))


class Router:
    """The router of a lab, and the cables of the machines that may be behind it."""

    def __init__(self, ground: Ground, network: Network) -> None:
        self.ground, self.network = ground, network
        start = ".".join(network.subnet.split(".")[:2])
        self.outside = f"{start}.{OUTSIDE}"
        self.inside = ipaddress.ip_interface(f"{start}.{INSIDE}")
        self.folder = ground.run / "net"

    def place(self, host: Host) -> Path:
        """The network namespace of a machine, in the lab's mount namespace."""
        return self.folder / host.name

    def ensure(self, hosts: Iterable[Host], image: str, label: Sequence[str]) -> None:
        """Have the router when a machine is to be behind it, and every cable where it is wanted.

        Args:
            image: any of the lab's.
            label: options of podman's that say whose it is.

        Raises:
            LabError: an address is none of the router's side.
        """
        wanted = [host for host in hosts if host.line in (WORKSHOP, BEHIND)]
        for host in wanted:
            if ipaddress.ip_address(host.address) not in self.inside.network:
                raise LabError(f"{host.name} : {host.address} n'est pas du côté du routeur ({self.inside.network})")
        made = any(host.line == BEHIND for host in wanted) and self._ensure_router(image, label)
        for host in wanted:
            self._ensure_namespace(host)
            # Of a router that went, cables go a moment later.
            if self._current_cable(host) != host.line or (made and host.line == BEHIND):
                self.ground.changes.append(f"{host.name} : câble {_WHERE[host.line]}")
                self._plug_cable(host)

    def forget(self, hosts: Iterable[Host]) -> None:
        """Take away the cables of machines that are gone, and the router after the last."""
        for host in hosts:
            if self.place(host).exists():
                run([*self.ground.in_namespace(), "umount", str(self.place(host))], "démontage impossible")
                self.place(host).unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()) and NAME in self.ground.containers():
            self.ground.podman("rm", "--force", "--time", "0", NAME, error="le routeur n'a pas pu être retiré")

    # -- the router ----------------------------------------------------------------------------------

    def _ensure_router(self, image: str, label: Sequence[str]) -> bool:
        """Have the router; tells whether it was made."""
        found = self.ground.containers().get(NAME)
        if found and found["State"] != "running":
            self.ground.podman("rm", "--force", "--time", "0", NAME)
            found = None
        if found is None:
            self.ground.changes.append("routeur")
            self.ground.podman(
                *("run", "--detach", "--name", NAME, "--hostname", "routeur", "--hosts-file=none", "--pids-limit=0"),
                *("--network", f"{self.ground.name}:ip={self.outside},mac={card(self.outside)}"),
                *(*label, image, "sleep", "infinity"),
                error="le routeur n'a pas démarré",
            )
        inside = self._router_namespace()
        if _BRIDGE not in run([*inside, "ip", "-brief", "link"], "ip"):
            # In this order: a router that forwards is one that refuses.
            run([*inside, "nft", "-f", "-"], "le routeur n'a pas pris ses règles", input=RULES)
            run([*inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], "le routeur ne peut pas faire suivre")
            self._run_ip(inside, "link", "add", _BRIDGE, "type", "bridge")
            self._run_ip(inside, "address", "add", str(self.inside), "dev", _BRIDGE)
            self._run_ip(inside, "link", "set", _BRIDGE, "up")
        return found is None

    def _router_namespace(self) -> list[str]:
        pid = self.ground.podman("inspect", "--format", "{{.State.Pid}}", NAME).strip()
        return [*self.ground.in_namespace(), "nsenter", f"--net=/proc/{pid}/ns/net"]

    # -- cables --------------------------------------------------------------------------------------

    def _ensure_namespace(self, host: Host) -> None:
        place = self.place(host)
        if place.exists():
            return
        self.folder.mkdir(exist_ok=True)
        place.touch()
        try:
            run([*self.ground.in_namespace(), "unshare", f"--net={place}", "true"], f"réseau de {host.name} impossible")
        except LabError:
            place.unlink()
            raise
        self._run_ip(self._host_namespace(host), "link", "set", "lo", "up")

    def _host_namespace(self, host: Host) -> list[str]:
        return [*self.ground.in_namespace(), "nsenter", f"--net={self.place(host)}"]

    def _current_cable(self, host: Host) -> str:
        """Where its cable leads; nowhere when what it led to is gone."""
        with contextlib.suppress(LabError):
            [found] = json.loads(
                run([*self._host_namespace(host), "ip", "-json", "-4", "address", "show", "dev", "eth0"], "ip")
            )
            lengths = {one["prefixlen"] for one in found["addr_info"] if one["local"] == host.address}
            if "LOWER_UP" in found["flags"] and lengths:
                return BEHIND if lengths == {self.inside.network.prefixlen} else WORKSHOP
        return ""

    def _plug_cable(self, host: Host) -> None:
        cable = f"cab{zlib.crc32(f'{self.ground.name} {host.name}'.encode()):08x}"
        behind = host.line == BEHIND
        outer = self._router_namespace() if behind else self.ground.in_namespace()
        there = self._host_namespace(host)
        with contextlib.suppress(LabError):  # none yet
            self._run_ip(there, "link", "delete", "eth0")
        end = ("peer", "name", "eth0", "address", card(host.address), "netns", str(self.place(host)))
        self._run_ip(outer, "link", "add", cable, "type", "veth", *end)
        self._run_ip(outer, "link", "set", cable, "master", _BRIDGE if behind else f"{self.ground.name}0", "up")
        length = self.inside.network.prefixlen if behind else self.network.subnet.partition("/")[2]
        self._run_ip(there, "address", "add", f"{host.address}/{length}", "dev", "eth0")
        self._run_ip(there, "link", "set", "eth0", "up")
        self._run_ip(there, "route", "add", "default", "via", str(self.inside.ip) if behind else self.network.gateway)

    @staticmethod
    def _run_ip(where: Sequence[str], *arguments: str) -> None:
        run([*where, "ip", *arguments], "le réseau de derrière le routeur n'a pas pu être fait")
