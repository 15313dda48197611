"""The commands, as a technician types them: an inventory, the real Ansible, a door that is on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils import words
from creatic_enrolement.store import Store
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from creatic.check import tdt
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.postes.places import places
from creatic.registry import groupement
from creatic_agent import enrolment as proof
from testbed.authority import certificate
from testbed.patience import wait_for
from tests.unit.postes.test_door import EXAMPLE, TOP, local_door
from tests.unit.postes.test_enrolment import SETTINGS

PLACE = "bergues-pc-secretariat"


class Node:
    """A control node."""

    def __init__(self, folder: Path) -> None:
        self.inventory, self.home, self.door = folder / "essai", folder / "etat", folder / "porte"
        shutil.copytree(EXAMPLE, self.inventory)
        self.door.mkdir()
        programs, variables = local_door(folder, self.door)
        (self.inventory / "host_vars").mkdir()
        (self.inventory / "host_vars/guichet1.yml").write_text(json.dumps(variables))
        pki = self.home / "example/pki"  # the environment's name
        pki.parent.mkdir(parents=True)
        Authority(pki, Passphrases(pki, generate=True)).ensure(SETTINGS)
        paths = os.pathsep.join((str(TOP), str(TOP / "apps/common/src")))
        self.given = os.environ | {"CREATIC_INVENTORY": str(self.inventory), "CREATIC_HOME": str(self.home)}
        self.given |= {"PATH": f"{programs}:{TOP / '.venv/bin'}:{os.environ['PATH']}", "PYTHONPATH": paths}

    def fab(self, *given: str) -> tuple[int, str, str]:
        command, closed = ["fab", *given], subprocess.DEVNULL
        done = subprocess.run(
            command, cwd=TOP, env=self.given, stdin=closed, capture_output=True, text=True, check=False
        )  # fmt: skip # one call
        return done.returncode, done.stdout, done.stderr


def poste(package: Path) -> Any:
    """What a PC's package tells its program."""
    folder = package.with_suffix("")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return json.loads((folder / "etc/creatic/poste.json").read_text())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_technician_gives_a_token_and_signs_what_the_pc_asks(node: Node, tmp_path: Path) -> None:
    folder = tmp_path / "installeurs"
    code, out, err = node.fab("poste.installeur", PLACE, "loos", "--vers", str(folder))
    assert code == 0, out + err
    [package], [other] = folder.glob(f"{PLACE}-*.deb"), folder.glob("loos-pc-direction-*.deb")
    assert f"{package} est écrit" in out and package.stat().st_mode & 0o777 == 0o600
    told = poste(package)
    assert told["jeton"] not in out + err and poste(other)["jeton"] == ""
    sheet = package.with_suffix(".html").read_text()
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    assert digest in sheet.replace(" ", "") and f"sha256sum {package.name}" in sheet and told["jeton"] not in sheet
    place = places(groupement.load(node.inventory))[PLACE]
    [(slug, request)] = place.requests.items()
    code, out, err = node.fab("poste.certifier", PLACE)
    assert (code, out) == (0, f"N'ont encore rien demandé : {PLACE} : {slug}.\n"), err
    key, door, now = ec.generate_private_key(ec.SECP256R1()), Store(node.door), words.now()
    sent = {"jeton": told["jeton"], "poste": told["poste"], "nom": told["nom"], "certificat": slug}
    number = door.ask(sent | {"csr": request.csr(key)}, "192.0.2.1", now)["demande"]
    with pytest.raises(proof.Refused):
        door.ask(sent | {"csr": request.csr(ec.generate_private_key(ec.SECP256R1()))}, "192.0.2.9", now)
    code, out, err = node.fab("poste.certifier", "--attendre")
    assert code == 0 and f"{PLACE} : certificat « {request.common_name} » signé, n° " in out, out + err
    assert f"Mésusage : {PLACE}" in out and "192.0.2.9" in out
    assert door.state(number, told["jeton"], "", now)["etat"] == "signee"
    assert node.fab("poste.certifier")[1] == "Aucune demande n'attend.\n"
    assert "poste.certifier" in node.fab("historique")[1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("poste.certifier", "loos"), "« loos » n'est pas un poste de l'inventaire"),
        (("poste.installeur", "loos-connecteur", "--vers", "x"), "Ni poste, ni commune qui en ait : loos-connecteur"),
        (("poste.installeur", PLACE, "--vers", "/proc/part"), "/proc/part ne peut pas être fait"),
    ],
)
def test_what_cannot_be_done_is_said(node: Node, given: tuple[str, ...], said: str) -> None:
    code, out, err = node.fab(*given)
    assert code in (1, 2) and said in out + err and "Traceback" not in err
    assert not (TOP / "x").exists()


def test_a_door_that_is_away_says_what_to_do(node: Node) -> None:
    (node.inventory / "host_vars/guichet1.yml").write_text(json.dumps({"ansible_host": "127.0.0.1", "ansible_port": 1}))
    code, out, err = node.fab("poste.certifier")
    assert code == 1 and "le guichet n'a pas répondu" in out + err and "À faire" in out + err


def test_no_installer_is_made_of_a_pc_that_the_tdt_would_refuse(node: Node, tmp_path: Path) -> None:
    """Told before somebody carries it there: none but other authorities' certificates are taken."""
    folder, other = tmp_path / "installeurs", certificate("AC d'ailleurs", None, ca=True)
    (tmp_path / "ca.pem").write_bytes(other[0].public_bytes(serialization.Encoding.PEM))
    key = other[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "ca.key").write_bytes(key)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = "bourbourg-pc-assemblees"  # no token, whose authority nobody knows here
    (node.inventory / f"host_vars/{name}.yml").write_text(f"creatic_tdt_url: https://localhost:{port}/\n")
    server = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(tmp_path / "ca.pem"), "-quiet"]
    server += ["-key", str(tmp_path / "ca.key"), "-CAfile", str(tmp_path / "ca.pem"), "-verify", "1"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet) as running:
        try:
            wait_for(lambda: tdt.authorities(f"https://localhost:{port}"), "le TdT")
            code, out, err = node.fab("poste.installeur", name, "--vers", str(folder))
        finally:
            running.terminate()
    said = " ".join((out + err).split())
    assert code == 1 and f"{name} : le TdT n'admet l'autorité d'aucun certificat de ce poste" in said, said
    assert "AC d'ailleurs" in said and "communes/bourbourg.yml" in said and [*folder.iterdir()] == []
