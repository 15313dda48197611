# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The lab's private network, and the cache by which its machines take their packages."""

from __future__ import annotations

import contextlib
import shutil

from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground, LabError, ready, run

PROXY_PORT = 3159


class Network:
    """Network of the lab.

    Args:
        subnet: private network, CIDR; its first address is the control node.
    """

    def __init__(self, ground: Ground, subnet: str) -> None:
        self.ground = ground
        self.subnet = subnet
        self.gateway = subnet.split("/", maxsplit=1)[0].rsplit(".", 1)[0] + ".1"

    def ensure(self) -> None:
        """Make the network."""
        if self.ground.name in self.ground.podman("network", "ls", "--format", "{{.Name}}").split():
            return
        self.ground.changes.append("réseau")
        self.ground.podman(
            "network",
            "create",
            "--subnet",
            self.subnet,
            "--interface-name",
            f"{self.ground.name}0",
            self.ground.name,
            error=f"le réseau {self.subnet} n'a pas pu être créé (déjà utilisé sur ce poste ?)",
        )

    def ensure_package_cache(self) -> None:
        """Start the cache of packages on the gateway's address."""
        if self.ground.running("apt-cache", "apt-cacher-ng"):
            return
        self.ground.changes.append("cache de paquets")
        self.ground.state.chmod(0o755)  # podman makes it for root only; the cache runs under an account of its own
        cache = self.ground.state / "cache" / "apt"
        cache.mkdir(parents=True, exist_ok=True)
        shutil.chown(cache, "apt-cacher-ng", "apt-cacher-ng")
        upstream = run(["apt-config", "shell", "P", "Acquire::http::Proxy"], "apt-config a échoué").strip()
        proxy = [f"Proxy:{upstream.split(chr(39))[1]}"] if upstream else []
        # A configuration of its own: Debian's remaps every mirror to one backend, which may be out of reach.
        configuration = self.ground.run / "apt-cache"
        configuration.mkdir(exist_ok=True)
        (configuration / "acng.conf").write_text("ExThreshold: 4\n")
        self.ground.start(
            "apt-cache",
            [
                *("setpriv", "--reuid=apt-cacher-ng", "--regid=apt-cacher-ng", "--clear-groups"),
                *("apt-cacher-ng", "-c", str(configuration), "ForeGround=1"),
                *(f"CacheDir={cache}", f"LogDir={cache}", "PidFile=", "SocketPath="),
                *(f"Port={PROXY_PORT}", f"BindAddress={self.gateway}"),
                *proxy,
            ],
        )
        listening = f"{self.gateway}:{PROXY_PORT}"
        if not ready(lambda: listening in run(["ss", "-ltn"], "ss a échoué"), 15):
            raise LabError(
                f"le cache de paquets n'écoute pas sur {listening} : voir {self.ground.run / 'apt-cache.log'}"
            )

    def remove(self) -> None:
        """Remove the network and the firewall rules that came with it."""
        if self.ground.name in self.ground.podman("network", "ls", "--format", "{{.Name}}").split():
            self.ground.podman("network", "rm", self.ground.name, error="le réseau n'a pas pu être retiré")
        with contextlib.suppress(LabError):  # left by netavark when a cable of ours (router.py) was on it
            run(["ip", "link", "delete", f"{self.ground.name}0"], "ip")
        with contextlib.suppress(LabError):  # absent when netavark had nothing to isolate
            table = run(["nft", "list", "table", "inet", "netavark"], "nft")
            if "nv_" not in table:  # no container of the machine's own uses it
                run(["nft", "delete", "table", "inet", "netavark"], "nft")
