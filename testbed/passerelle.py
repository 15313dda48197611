"""The passerelle as PCs, connectors and the groupement see it, and what only its own host can tell."""

from __future__ import annotations

import json
import shlex
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from tdt_connector.proof import test_pdf as make_pdf
from testinfra.host import Host

from testbed.certificates import issued
from testbed.ged import Store
from testbed.patience import wait_for

# Whose certificate: common name, SIREN.
HOLDERS = {
    "poste": ("Secrétariat général", "215902669"),
    "autre-poste": ("Direction des finances", "215903683"),
    "autre-connecteur": ("Connecteur - La Madeleine", "215903683"),
    "groupement": ("Exploitation", "285900015"),
    "inconnue": ("Inconnue", "215903337"),
}
CONNECTOR = "10.59.2.20"


@dataclass
class Passerelle:
    """Its address, shells on it and on Gondecourt's connector, the document store."""

    address: str
    name: str
    home: Path
    host: Host = field(repr=False)
    ssh: list[str] = field(repr=False)
    store: Store = field(repr=False)

    def ask(self, who: str, path: str, method: str = "GET", **given: Any) -> Any:
        """A request with somebody's certificate ("" for none)."""
        shown: dict[str, Any] = {}
        if who:
            common_name, siren = HOLDERS[who]
            folder = issued(self.home, f"essai-{who}", "client", common_name, siren)
            shown = {"cert_file": str(folder / "fullchain.pem"), "key_file": str(folder / "key.pem")}
        pool = urllib3.HTTPSConnectionPool(
            self.address, 443, server_hostname=self.name, assert_hostname=self.name, retries=False, timeout=60,
            ca_certs=str(self.home / "pki" / "publie" / "ca.pem"), **shown,
        )  # fmt: skip # one call by its parts
        headers = {"Host": self.name, "Sec-Fetch-Site": "same-origin"}  # as a browser on its own pages
        return pool.request(method, path, headers=headers, redirect=False, **given)

    def connection(self, who: str) -> ssl.SSLSocket:
        """A connection with somebody's certificate, on which nothing was said yet."""
        common_name, siren = HOLDERS[who]
        folder = issued(self.home, f"essai-{who}", "client", common_name, siren)
        context = ssl.create_default_context(cafile=str(self.home / "pki" / "publie" / "ca.pem"))
        context.load_cert_chain(folder / "fullchain.pem", folder / "key.pem")
        return context.wrap_socket(socket.create_connection((self.address, 443), 30), server_hostname=self.name)

    def run(self, command: str) -> str:
        """A command on the passerelle, as root."""
        with self.host.sudo():
            return str(self.host.check_output(command))

    def sql(self, query: str) -> str:
        """What the database answers."""
        return self.run(f"runuser -u passerelle -- psql -XAtq passerelle -c {shlex.quote(query)}")

    def on_connector(self, command: str, address: str = CONNECTOR) -> str:
        """A command on the connector, as root."""
        done = subprocess.run(
            [*self.ssh, f"creatic@{address}", f"sudo sh -c {shlex.quote(command)}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def deposit(self, number: str, subject: str = "Délibération d'essai", matter: str = "7.5") -> str:
        """Put an act in the chain; gives its reference."""
        self.put("/run/essai-acte.pdf", make_pdf("Acte", number))
        said = self.run(
            f"passerelle deposer /run/essai-acte.pdf --commune gondecourt --numero {number} --date "
            f"{time.strftime('%Y-%m-%d')} --matiere {matter} --objet {shlex.quote(subject)}"
        )
        return said.rpartition(" ")[2].rstrip(".\n")

    def put(self, path: str, content: bytes) -> None:
        """Write a file that everybody may read."""
        done = subprocess.run(
            [*self.ssh, f"creatic@{self.address}", f"sudo sh -c 'cat >{path} && chmod 0644 {path}'"],
            input=content,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def fact(self, reference: str, expression: str) -> str:
        """Something of an act's row."""
        return self.sql(f"SELECT {expression} FROM acte WHERE reference = '{reference}'")  # noqa: S608 - ours

    def step(self, reference: str) -> str:
        """Where an act is, and why it was put aside."""
        return self.fact(reference, "etape || ' ' || blocage").rstrip("\n")

    def wait(self, reference: str, step: str, seconds: float = 240) -> None:
        """Wait until an act is at a step, the connector's visits not a minute apart (tests/journeys has them so)."""
        last = ""

        def there() -> bool:
            nonlocal last
            last = self.step(reference)
            if last != step:
                self.call_connector()
            return last == step

        wait_for(there, lambda: f"« {step} » pour {reference}, qui en est à « {last} »", seconds, every=1)

    def call_connector(self) -> None:
        """Have it come now; systemd would take so many starts for a fault."""
        unit = "tdt-connector-passerelle.service"
        self.on_connector(f"systemctl reset-failed {unit}; systemctl start {unit}")

    def track(self, reference: str) -> dict[str, Any]:
        """What others answered of an act."""
        found: dict[str, Any] = json.loads(self.fact(reference, "suivi"))
        return found

    def filed(self, reference: str) -> list[dict[str, Any]]:
        """Documents of an act in the document store, as its administrator sees them."""
        found = self.store.listed("admin", "/documents/?_ordering=id")
        return [one for one in found if reference in one["description"].split()]
