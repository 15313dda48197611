"""A clerk's PC that nobody reaches, on the lab's site: from its installer to its revocation.

It is one of the test, in a copy of the inventory; its machine is a namespace of this one (testbed/poste.py).
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import pc_organization
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from creatic.audit import postes
from creatic.evidence.store import runs
from creatic.pki.authority import Authority
from creatic.pki.registry import Owner
from testbed.control_node import HOME, REPO, command
from testbed.parapheur import SIRENS, Parapheur, flow, word
from testbed.patience import wait_for
from testbed.poste import AGREE, ENTER, LIBRARY, OPEN, Computer, computer, plug_in, screen

from .conftest import on_host

pytestmark = pytest.mark.pc

NAME, HOLDER, MAYOR, LOGIN, PIN = "gondecourt-pc-maire", "Accueil", "Claire Dubois", "claire.dubois", "271828"
TDT, GUICHET = "10.59.0.10", "10.59.0.44"
PARAPHEUR = Parapheur("10.59.0.41", "parapheur.creatic.test", HOME)
DOOR, TRANSMISSION = "enrolement.guichet.creatic.test", "tdt.creatic.test"
HOSTS = {PARAPHEUR.name: PARAPHEUR.address, DOOR: GUICHET, TRANSMISSION: TDT}
PC: dict[str, Any] = {
    "nom": "pc-maire",
    "adresse": "10.59.2.30",  # where nobody answers
    "systeme": "debian",
    "certificats": [
        {"titulaire": HOLDER, "usage": "authentification", "source": "groupement"},
        {"titulaire": MAYOR, "usage": "signature", "source": "jeton", "jeton": "maire", "bibliotheque": str(LIBRARY)},
    ],
}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """The lab's inventory, where Gondecourt has one more PC."""
    folder = Path(shutil.copytree(REPO / "inventories" / "lab", tmp_path / "inventaires" / "lab"))
    file = folder / "communes" / "gondecourt.yml"
    told = yaml.safe_load(file.read_text(encoding="utf-8"))
    told["postes"].append(PC)
    file.write_text(yaml.safe_dump(told, allow_unicode=True), encoding="utf-8")
    return folder


@contextmanager
def lasting(days: int) -> Iterator[None]:
    """Have the authority sign for so many days: the door renews in the last 90 only."""
    authority = Authority(HOME / "pki")
    settings = authority.settings()
    assert settings
    authority.ensure(dataclasses.replace(settings, leaf_days=days))
    try:
        yield
    finally:
        authority.ensure(settings)


def fab(inventory: Path, *arguments: str) -> str:
    done = command("env", f"CREATIC_INVENTORY={inventory}", "fab", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def certified(inventory: Path, pc: Computer, *words: str) -> str:
    """The PC asks, the control node signs; what the PC says."""
    asking = subprocess.Popen(
        pc.command("creatic-poste", *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for(lambda: "signé" in fab(inventory, "poste.certifier", NAME), "la demande du poste", 120, every=1)
    said = asking.communicate(timeout=600)[0]
    assert "installé, jusqu'au" in said, said
    return said


def held(pc: Computer) -> tuple[x509.Certificate, list[str]]:
    """The certificate that the agent has, and how curl(1) shows it."""
    folder = "/home/agent/.local/share/creatic/poste/certificats"
    names = pc.run("ls", folder).split()
    [leaf] = [name for name in names if name.endswith(".pem")]
    [key] = [name for name in names if name.endswith(".key")]
    found = x509.load_pem_x509_certificate(pc.inside(f"{folder}/{leaf}").read_bytes())
    return found, ["--cert", f"{folder}/{leaf}", "--key", f"{folder}/{key}"]


def shown(pc: Computer, *identity: str, name: str = TRANSMISSION, path: str = "/") -> str:
    return pc.run("curl", "-s", "--cacert", pc.shared / "ca.pem", *identity, f"https://{name}{path}")


def token(shared: Path) -> None:
    """The maire's key and certificate, from the lab's provider."""
    key = rsa.generate_private_key(65537, 3072)
    organization = pc_organization("Gondecourt")
    request = Request("essai-maire", "signature", MAYOR, organization, siren=SIRENS["gondecourt"], key_type="rsa")
    csr = x509.CertificateSigningRequestBuilder().subject_name(request.subject()).sign(key, hashes.SHA256())
    text = csr.public_bytes(serialization.Encoding.PEM).decode()
    issued = Authority(HOME / "prestataire").issue(text, request, Owner("essai-poste", "gondecourt"))
    leaf = x509.load_pem_x509_certificate(issued.pem.encode())
    (shared / "certificat.der").write_bytes(leaf.public_bytes(serialization.Encoding.DER))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (shared / "cle.pem").write_bytes(private)


def to_sign(mark: str) -> dict[int, str]:
    """An act and a flow that await the maire: their names, by number."""
    found = {}
    acts: tuple[dict[str, Any], ...] = (
        {"objet": f"Acte {mark}"},
        {"objet": f"Bordereau {mark}", "circuit": "pes", "numero": "", "content": flow(mark)},
    )
    for fields in acts:
        made = PARAPHEUR.deposit_act(**fields)
        assert made.status == 201, made.data[:300]
        number = int(made.json()["id"])
        if PARAPHEUR.shown(number)["etat"] == "a_viser":
            assert PARAPHEUR.act("paul.renard", number, "viser").status == 200
        found[number] = fields["objet"]
    return found


def sign(pc: Computer, waiting: dict[int, str]) -> None:
    """The maire chooses them on the page, whose browser opens the program."""
    PARAPHEUR.choose(LOGIN)
    pc.run("sh", "-c", "mkdir -p ~/.pki/nssdb && certutil -N -d sql:$HOME/.pki/nssdb --empty-password")
    for rank, _one in enumerate((pc.shared / "ca.pem").read_text(encoding="ascii").split("-----END")[:-1]):
        file = pc.shared / f"ca{rank}.pem"
        pc.run("certutil", "-A", "-d", "sql:/home/agent/.pki/nssdb", "-n", f"ca{rank}", "-t", "C,,", "-i", file)
    with screen(pc) as seen, seen.browser() as page:
        page.goto(f"https://{PARAPHEUR.name}/")
        page.locator("[name=username]").fill(LOGIN)
        page.locator("[name=password]").fill(PARAPHEUR.password(LOGIN))
        page.get_by_role("button", name="Se connecter").click()
        for title in waiting.values():
            page.get_by_role("checkbox", name=f"Signer {title}").check()
        page.get_by_role("button", name="Signer les dossiers cochés").click()
        seen.press("class", "chromium", OPEN)
        seen.answer(AGREE)
        seen.answer(ENTER, PIN)
        page.get_by_text("2 documents signés.").wait_for(timeout=120_000)
        seen.answer(ENTER)


def judged(waiting: dict[int, str], folder: Path) -> None:
    """Others' word on each signed file."""
    root, chain = HOME / "prestataire/publie/racine.pem", HOME / "prestataire/publie/ca.pem"
    database = f"sql:{folder}"
    subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True)
    subprocess.run(["certutil", "-A", "-d", database, "-n", "racine", "-t", "C,C,C", "-i", root], check=True)
    for number in waiting:
        content = PARAPHEUR.file(number)
        file = folder / f"{number}.signe"
        file.write_bytes(content)
        if content.startswith(b"%PDF"):
            asked = ["pdfsig", "-nssdir", database, str(file)]
            told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
            assert "Signature is Valid." in told and "Certificate is Trusted." in told and MAYOR in told, told
        else:
            names = ["--id-attr:Id", "Bordereau", "--id-attr:Id", "PES_Aller"]
            subprocess.run(["xmlsec1", "--verify", "--trusted-pem", root, "--untrusted-pem", chain, *names, file],
                           check=True)  # fmt: skip # one call


def test_a_pc_is_equipped_signs_renews_and_is_refused_once_revoked(ready: str, inventory: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o711)  # the agent's way to what is shared
    shared = tmp_path / "partage"
    shared.mkdir()
    fab(inventory, "poste.installeur", NAME, "--vers", str(tmp_path / "installeurs"))
    [package] = (tmp_path / "installeurs").glob("*.deb")
    shutil.copy(package, shared / "poste.deb")
    bundle = (HOME / "pki/publie/ca.pem").read_text(encoding="ascii")
    (shared / "ca.pem").write_text(bundle, encoding="ascii")
    for rank, one in enumerate(bundle.split("-----END CERTIFICATE-----\n")[:-1]):
        (shared / f"ca{rank}.pem").write_text(f"{one}-----END CERTIFICATE-----\n", encoding="ascii")
    token(shared)
    for file in shared.iterdir():
        file.chmod(0o644)
    try:
        with computer(NAME, shared, HOSTS) as pc:
            scene(inventory, pc, tmp_path)
    finally:  # nothing of it is to be waited for by who comes next
        command("env", f"CREATIC_INVENTORY={inventory}", "fab", "pki.revoquer", "--motif", "cessation", "--hote", NAME)


def scene(inventory: Path, pc: Computer, folder: Path) -> None:
    assert "posé" in pc.run("dpkg", "-i", pc.shared / "poste.deb", account="root")
    with lasting(80):
        certified(inventory, pc, "session")
    first, identity = held(pc)
    # What the servers saw: the door's page of its own, and the TdT's.
    assert HOLDER in shown(pc, *identity, name=DOOR, path="/identite")
    assert f"{first.serial_number:X}" in shown(pc, *identity)
    assert f"{first.serial_number:X}" not in shown(pc)
    plug_in(pc, "maire", pc.shared / "cle.pem", pc.shared / "certificat.der", PIN)
    waiting = to_sign(word())
    sign(pc, waiting)
    (folder / "juges").mkdir()
    judged(waiting, folder / "juges")
    certified(inventory, pc, "renouveler")
    second, identity = held(pc)
    assert second.serial_number != first.serial_number and f"{second.serial_number:X}" in shown(pc, *identity)
    assert "Ce PC est prêt" in pc.run("creatic-poste", "verifier")
    assert "sont envoyés au groupement" in pc.run("creatic-poste", "constats")
    command("env", f"CREATIC_INVENTORY={inventory}", "fab", "audit", "--limite", NAME)
    results = json.loads((runs(HOME / "audits")[-1] / "resultats.json").read_text(encoding="utf-8"))
    [machine] = results["machines"]
    assert (machine["nom"], machine["poste"]["etat"]) == (NAME, postes.JUDGED), machine
    fab(inventory, "pki.revoquer", "--motif", "compromission", "--hote", NAME)
    refused = "Ce certificat a été révoqué"
    wait_for(lambda: refused in shown(pc, *identity), "le refus du TdT", every=1)
    assert "il a été révoqué" in pc.run("creatic-poste", "renouveler")
    seen = on_host(TDT, 'journalctl -t nginx --since -10min | grep "certificat revoque"').stdout
    assert re.search(f"{second.serial_number:X}", seen), seen
