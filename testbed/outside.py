"""What a groupement finds when it begins: bare machines on a network, names, a provider of certificates, a TdT.

Nothing of it is the lab's: another network, other names, another administrator's account.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import os
import secrets
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cdg59.creatic.plugins.filter.hardening import at_level
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.lab import Lab
from pyhanko.sign import signers
from signature_actes import pades
from tdt_simulator.testing import TdtServer, serve

from testbed.control_node import REPO

# What lets a computer reach the indexes of packages lets its machines.
_REACH = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
          "NODE_EXTRA_CA_CERTS", "PIP_DEFAULT_TIMEOUT")  # fmt: skip # a list of words


@functools.cache
def _npm() -> dict[str, str]:
    """Where this computer's npm looks, for machines that have none."""
    done = subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True, check=False)
    return {"NPM_CONFIG_REGISTRY": done.stdout.strip()} if done.returncode == 0 else {}


@dataclass
class Machines:
    """Machines as their installer leaves them: Debian 13, an address, an account with sudo.

    Args:
        name: of their network (see `Ground`).
        subnet: CIDR.
        account: the installer's, on each.
        wanted: address and names of each.
        folder: for the installer's own key.
        bare: those whose packages are not there in advance.
    """

    name: str
    subnet: str
    account: str
    wanted: dict[str, tuple[str, list[str]]]
    folder: Path
    bare: tuple[str, ...] = ()
    lab: Lab = field(init=False)

    def __post_init__(self) -> None:
        hosts = [
            Host(name, address, names, packages=[] if name in self.bare else _packages())
            for name, (address, names) in self.wanted.items()
        ]
        self.lab = Lab(self.subnet, hosts, self.account, self.folder, name=self.name)

    def stand_at(self, machine: str, line: str) -> None:
        """Have a machine's cable lead elsewhere (`Host.line`) the next time that the lab is brought up."""
        next(host for host in self.lab.hosts if host.name == machine).line = line

    @property
    def gateway(self) -> str:
        """This computer, as the machines see it."""
        return self.lab.network.gateway

    def console(self, machine: str, user: str = "root") -> list[str]:
        """What opens a shell at a machine's console; the script, or nothing, comes after."""
        home = "/root" if user == "root" else f"/home/{user}"
        given = {name: os.environ[name] for name in _REACH if name in os.environ} | _npm()
        given |= {"HOME": home, "USER": user, "LOGNAME": user, "LANG": "C.UTF-8"}
        variables = [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
        known = next(host.container for host in self.lab.hosts if host.name == machine)
        enter = ("exec", "--interactive", "--user", user, *variables, "--workdir", home)
        return [*self.lab.ground.podman_command(), *enter, known, "bash"]

    def run(self, machine: str, script: str, user: str = "root", given: bytes = b"") -> bytes:
        """Run a script at the console of a machine; gives what it printed.

        Raises:
            AssertionError: it failed.
        """
        done = subprocess.run(
            [*self.console(machine, user), "-ec", script], input=given, capture_output=True, check=False
        )
        assert done.returncode == 0, (machine, script, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def send(self, machine: str, folder: str, files: dict[str, bytes], user: str) -> None:
        """Write files of somebody's, by path relative to a folder; those of scripts may be executed."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), 0o755 if content.startswith(b"#!") else 0o644
                tar.addfile(info, io.BytesIO(content))
        self.run(machine, f"mkdir -p {folder} && tar x -C {folder} --no-same-owner", user, out.getvalue())

    def fetch(self, machine: str, folder: str, names: list[str], target: Path) -> None:
        """Bring what is in a machine's folder, by paths relative to it."""
        content = self.run(machine, f"tar c -C {folder} {' '.join(names)}")
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            tar.extractall(target, filter="data")


@functools.cache
def _packages() -> list[str]:
    """What roles would bring to each: there already, so that it is fetched once for all."""
    lists: dict[str, Any] = {}
    for role in ("base", "hardening"):
        text = (REPO / "roles" / role / "vars/main.yml").read_text(encoding="utf-8")
        lists |= yaml.safe_load(text.replace("{{ __hardening_log_level }}", "enhanced"))
    hardened = [one["name"] for one in at_level(lists["__hardening_packages"], "enhanced")]
    return sorted({*lists["__base_packages"], *hardened})


@dataclass
class Provider:
    """Who sells certificates: an authority that owes nothing to the groupement."""

    folder: Path
    policies: str = "1.3.6.1.4.1.59999.77"
    password: str = field(default_factory=lambda: secrets.token_hex(8))

    def issue(self, **wanted: dict[str, Any]) -> None:
        """Issue certificates: their profile, subject… by name (module pki_ca)."""
        asked = {
            "dir": str(self.folder / "autorite"),
            "organization": "Prestataire d'ailleurs",
            "label": "Prestataire",
            "policy_arc": self.policies,
            "generate_passphrases": True,
            "certificates_dir": str(self.folder / "certificats"),
            "certificates": [{"name": name, **one} for name, one in wanted.items()],
        }
        done = subprocess.run(
            ["ansible", "-i", "localhost,", "-c", "local", "localhost", "-m", "cdg59.creatic.pki_ca",
             "-a", json.dumps(asked), "-e", "ansible_become=false"],
            cwd=REPO, capture_output=True, text=True, check=False,
        )  # fmt: skip # one call by its parts
        assert done.returncode == 0, done.stdout

    def published(self, name: str) -> bytes:
        """What it publishes: ``ca.pem``, ``crl.pem``, ``racine.pem``."""
        return (self.folder / "autorite/publie" / name).read_bytes()

    def files(self, name: str) -> Path:
        """Folder of a certificate: key.pem, cert.pem, chain.pem, fullchain.pem."""
        return self.folder / "certificats" / name / "current"

    def signs(self, name: str, document: bytes) -> bytes:
        """What the holder of a certificate makes of a PDF, on a computer of their own."""
        place = self.files(name)
        signer = signers.SimpleSigner.load(str(place / "key.pem"), str(place / "cert.pem"))
        assert signer
        source, target = self.folder / "acte.pdf", self.folder / "acte-signe.pdf"
        source.write_bytes(document)
        target.unlink(missing_ok=True)
        asyncio.run(pades.sign(source, target, signer))
        return target.read_bytes()

    @contextlib.contextmanager
    def tdt(self, certificate: str, address: str, communes: list[dict[str, Any]]) -> Iterator[TdtServer]:
        """A tiers de télétransmission, the préfecture behind it, which takes this provider's certificates alone."""
        place = self.files(certificate)
        publish = self.folder / "autorite/publie"
        with serve(
            self.folder / "tdt", ca=publish / "ca.pem", crl=publish / "crl.pem", cert=place / "fullchain.pem",
            key=place / "key.pem", authorities=communes, rgs_policies=(f"{self.policies}.1",), delay=0.5,
            port=443, address=address,
        ) as server:  # fmt: skip # what is held, by line
            yield server
