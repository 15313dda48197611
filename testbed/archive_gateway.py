"""The archive's door as services versants see it, over mTLS, and what only its own host can tell."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from lxml import etree
from sae.versement.seda import NAMESPACE

from testbed.certificates import issued

SIRENS = {
    "gondecourt": "215902669",
    "la-madeleine": "215903683",
    "partenaire-essai": "200093201",
    "inconnue": "215903337",
}
# Who signs the partner's bordereaux (creatic_archive_partenaires).
SIGNATORY = "Sophie Lambert"
# Of a commune, its connector deposits.
NAMES = {"gondecourt": "Connecteur - Commune de Gondecourt", "la-madeleine": "Connecteur - Commune de La Madeleine"}
AGENCY = "sae-cdg59"
# The public archives service of the lab, for which tests answer.
ARCHIVES = "ad59"
_N = f"{{{NAMESPACE}}}"


@dataclass
class Reply:
    """An answer of the door; `codes` are the reasons of a refusal."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def xml(self) -> etree._Element:
        root = etree.fromstring(self.data)
        assert root.tag == f"{_N}ArchiveTransferReply"
        return root

    @property
    def code(self) -> str:
        return str(self.xml.findtext(f"{_N}ReplyCode"))

    @property
    def aip(self) -> str:
        return str(self.xml.findtext(f".//{_N}SystemId"))

    @property
    def codes(self) -> set[str]:
        return {str(event.findtext(f"{_N}EventType")) for event in self.xml.iter(f"{_N}Event")}

    @property
    def comment(self) -> str:
        return str(self.xml.findtext(f"{_N}Comment"))


@dataclass
class Gateway:
    """The gateway: its door, and a shell on it."""

    address: str
    server_name: str
    home: Path
    ssh: list[str] = field(repr=False)
    _pools: dict[str, urllib3.HTTPSConnectionPool] = field(default_factory=dict, repr=False)

    @property
    def root(self) -> Path:
        """The groupement's root certificate."""
        return self.home / "pki" / "publie" / "racine.pem"

    def certificate(self, holder: str) -> Path:
        """Folder of somebody's certificate."""
        return issued(
            self.home, f"versant-{holder}", "client", NAMES.get(holder, f"Versement {holder}"), SIRENS[holder]
        )

    def _pool(self, holder: str) -> urllib3.HTTPSConnectionPool:
        if holder not in self._pools:
            shown: dict[str, Any] = {}
            if holder:
                folder = self.certificate(holder)
                shown = {"cert_file": str(folder / "fullchain.pem"), "key_file": str(folder / "key.pem")}
            self._pools[holder] = urllib3.HTTPSConnectionPool(
                self.address, 443, server_hostname=self.server_name, assert_hostname=self.server_name,
                ca_certs=str(self.home / "pki" / "publie" / "ca.pem"), retries=False, timeout=300, maxsize=4, **shown,
            )  # fmt: skip # one call by its parts
        return self._pools[holder]

    def ask(self, path: str, holder: str = "gondecourt", data: bytes | None = None, **headers: str) -> Reply:
        """GET, or POST when there is something to send, with somebody's certificate ("" for none)."""
        named = {"Host": self.server_name, **{key.replace("_", "-"): value for key, value in headers.items()}}
        answer = self._pool(holder).request("POST" if data is not None else "GET", path, body=data, headers=named)
        return Reply(answer.status, answer.headers, answer.data)

    def deposit(self, package: bytes, holder: str = "gondecourt") -> Reply:
        """Deposit a SIP."""
        return self.ask("/v1/versements", holder, package)

    def run(self, script: str, data: bytes = b"", check: bool = True) -> str:
        """Output of a shell script run as root."""
        code = base64.b64encode(script.encode()).decode()
        command = [*self.ssh, f"sudo sh -c 'echo {code} | base64 -d > /run/essai.sh; exec sh /run/essai.sh'"]
        done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=600)
        output = (done.stdout + done.stderr).decode(errors="replace")
        assert not check or done.returncode == 0, f"{script}\n{output}"
        return output

    def python(self, code: str, data: bytes = b"") -> Any:
        """What Python code run as the service puts in `result`, with its configuration (`loaded`) and its `store`."""
        whole = (
            "import json, sys\nsys.path.insert(0, '/usr/lib/sae/sae.pyz')\nfrom sae import config\n"
            f"loaded = config.load()\nstore = loaded.store()\n{code}\nprint(json.dumps(result))\n"
        )
        packed = base64.b64encode(whole.encode()).decode()
        program = f'import base64; exec(base64.b64decode("{packed}"))'
        return json.loads(self.run(f"cd /var/lib/sae && exec runuser -u sae -- python3 -I -c '{program}'", data))

    def stored(self, account: str) -> set[str]:
        """Names of an account's objects in Swift."""
        return set(self.python(f"result = list(store.names({account!r}, 'aip'))"))
