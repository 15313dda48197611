"""A clerk's PC that nobody reaches, on the lab's site: from its installer to its revocation.

It is one of the test, in a copy of the inventory; its machine is a namespace of this one (testbed/poste.py).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
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
from lxml import etree

from creatic.audit import postes
from creatic.evidence.store import runs
from creatic.pki.authority import Authority
from creatic.pki.registry import Owner
from testbed.control_node import HOME, REPO, command
from testbed.parapheur import SIRENS, Parapheur, flow, word
from testbed.patience import wait_for
from testbed.poste import AGREE, ENTER, LIBRARY, LONG, OPEN, Computer, computer, plug_in, screen

from .conftest import on_host

pytestmark = pytest.mark.pc

COMMUNE, NAME, COMPUTER = "gondecourt", "gondecourt-pc-maire", "pc-maire"
HOLDER, MAYOR, LOGIN, PIN = "Accueil", "Claire Dubois", "claire.dubois", "271828"
TDT, GUICHET = "10.59.0.10", "10.59.0.44"
PARAPHEUR = Parapheur("10.59.0.41", "parapheur.creatic.test", HOME)
DOOR, TRANSMISSION = "https://enrolement.guichet.creatic.test/identite", "https://tdt.creatic.test/"
HOSTS = {PARAPHEUR.name: PARAPHEUR.address, "enrolement.guichet.creatic.test": GUICHET, "tdt.creatic.test": TDT}
ISSUED = {"titulaire": HOLDER, "usage": "authentification", "source": "groupement"}
SIGNATURE = {"titulaire": MAYOR, "usage": "signature", "source": "jeton", "jeton": "maire",
             "bibliotheque": str(LIBRARY)}  # fmt: skip # as the file has it
REFUSED = "Ce certificat a été révoqué"
PROVIDER = HOME / "prestataire"


def described(folder: Path, name: str, system: str, *certificates: dict[str, str]) -> Path:
    """The lab's inventory, where Gondecourt has one more PC."""
    inventory = Path(shutil.copytree(REPO / "inventories" / "lab", folder / "inventaires" / "lab"))
    file = inventory / "communes" / f"{COMMUNE}.yml"
    told = yaml.safe_load(file.read_text(encoding="utf-8"))
    told["postes"].append({"nom": name, "acces": "installeur", "systeme": system, "certificats": [*certificates]})
    file.write_text(yaml.safe_dump(told, allow_unicode=True), encoding="utf-8")
    return inventory


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


def brought(inventory: Path, folder: Path, name: str) -> Path:
    """What a PC shares with who tests: its installer, and the groupement's authorities."""
    for one in (folder, folder.parent, folder.parent.parent):
        one.chmod(0o711)  # the agent's way to it
    shared = folder / "partage"
    shared.mkdir()
    fab(inventory, "poste.installeur", name, "--vers", str(folder / "installeurs"))
    [package] = [one for one in (folder / "installeurs").iterdir() if one.suffix != ".html"]
    shutil.copy(package, shared / f"poste{package.suffix}")
    shutil.copy(HOME / "pki/publie/ca.pem", shared / "ca.pem")
    return shared


def certified(inventory: Path, name: str, asking: list[str]) -> str:
    """The PC asks, by a command; the control node signs; what the command says."""
    process = subprocess.Popen(asking, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: "signé, n°" in fab(inventory, "poste.certifier", name), f"la demande de {name}", 120, every=1)
    return process.communicate(timeout=LONG)[0].decode()


def provided() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """A key of the maire's and its certificate, from the lab's provider."""
    key, organization = rsa.generate_private_key(65537, 3072), pc_organization("Gondecourt")
    request = Request("essai-maire", "signature", MAYOR, organization, siren=SIRENS[COMMUNE], key_type="rsa")
    csr = x509.CertificateSigningRequestBuilder().subject_name(request.subject()).sign(key, hashes.SHA256())
    text = csr.public_bytes(serialization.Encoding.PEM).decode()
    issued = Authority(PROVIDER).issue(text, request, Owner("essai"))
    return key, x509.load_pem_x509_certificate(issued.pem.encode())


def to_sign() -> dict[int, str]:
    """An act and a flow that await the maire: their names, by number."""
    mark, found = word(), {}
    acts: tuple[dict[str, Any], ...] = (
        {"login": "passerelle", "objet": f"Acte {mark}"},
        {"login": "karim.lefevre", "objet": f"Bordereau {mark}", "circuit": "pes", "reference": f"parapheur:{mark}",
         "numero": "", "content": flow(mark)},
    )  # fmt: skip # a table
    for fields in acts:
        made = PARAPHEUR.deposit_act(**fields)
        assert made.status == 201, made.data[:300]
        number = int(made.json()["id"])
        if PARAPHEUR.shown(number)["etat"] == "a_viser":
            assert PARAPHEUR.act("paul.renard", number, "viser").status == 200
        assert PARAPHEUR.shown(number)["etat"] == "a_signer"
        found[number] = fields["objet"]
    return found


def judged(waiting: dict[int, str], folder: Path) -> None:
    """Others' word on each signed file."""
    folder.mkdir()
    root, above, database = PROVIDER / "publie/racine.pem", PROVIDER / "publie/emettrice.pem", f"sql:{folder}"
    subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True)
    for name, trust, file in (("racine", "C,C,C", root), ("emettrice", ",,", above)):
        subprocess.run(["certutil", "-A", "-d", database, "-n", name, "-t", trust, "-i", file], check=True)
    for number in waiting:
        file = folder / f"{number}.signe"
        file.write_bytes(PARAPHEUR.file(number))
        if file.read_bytes().startswith(b"%PDF"):
            asked = ["pdfsig", "-nssdir", database, str(file)]
            told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
            assert "Signature is Valid." in told and "Certificate is Trusted." in told and MAYOR in told, told
            continue
        signatures = list(etree.parse(file).getroot().iter("{http://www.w3.org/2000/09/xmldsig#}Signature"))
        assert signatures
        for one in signatures:  # as S²LOW asks it: the element that bears it is known by its name
            parent = one.getparent()
            assert parent is not None
            where = f"//*[local-name()='Signature'][@Id='{one.get('Id')}']"
            subprocess.run(
                ["xmlsec1", "--verify", "--node-xpath", where, "--id-attr:Id", etree.QName(parent).localname,
                 "--trusted-pem", root, "--untrusted-pem", above, file], check=True,
            )  # fmt: skip # one call


def audited(inventory: Path, name: str) -> dict[str, Any]:
    """What an audit of the commune says of a PC."""
    said = command("env", f"CREATIC_INVENTORY={inventory}", "fab", "audit", "--limite", f"commune_{COMMUNE}").stdout
    results = json.loads((runs(HOME / "audits")[-1] / "resultats.json").read_text(encoding="utf-8"))
    found = {one["nom"]: one for one in results["machines"]}
    assert name in found, said
    return dict(found[name]["poste"])


def rolled_out(inventory: Path, name: str) -> dict[str, Any]:
    """What the rollout of the commune proves of a PC, once all of the commune is ready."""
    fab(inventory, "commune.deployer", COMMUNE)
    report = json.loads((runs(HOME / "evidence")[-1] / COMMUNE / "preuve.json").read_text(encoding="utf-8"))
    assert report["prete"], report["manques"]
    [found] = [one for one in report["hotes"] if one["nom"] == name]
    return dict(found)


def this_morning(inventory: Path) -> str:
    """What a morning says, on one line: its table folds, and it fails where something else of the lab is wrong."""
    said = command("env", f"CREATIC_INVENTORY={inventory}", "COLUMNS=400", "fab", "matin").stdout
    return " ".join(said.split())


def _refuses(visit: Callable[[str], str], door: str) -> bool:
    return REFUSED in visit(door)


def revoked(inventory: Path, name: str, serial: str, visit: Callable[[str], str]) -> None:
    """Its certificate is refused by both doors, and whoever watches them sees it.

    Args:
        visit: the page of an address, as this PC is answered.
    """
    fab(inventory, "pki.revoquer", "--motif", "compromission", "--hote", name)
    for door, address in ((TRANSMISSION, TDT), (DOOR, GUICHET)):
        wait_for(functools.partial(_refuses, visit, door), f"le refus de {door}", every=1)
        seen = on_host(address, 'journalctl -t nginx --since -10min | grep "certificat revoque"').stdout
        assert serial in seen, seen


@contextmanager
def gone_after(inventory: Path, name: str) -> Iterator[None]:
    """Leave no certificate of a PC in force: nothing of it is to be waited for by who comes next."""
    try:
        yield
    finally:
        command("env", f"CREATIC_INVENTORY={inventory}", "fab", "pki.revoquer", "--motif", "cessation", "--hote", name)


def number(certificate: x509.Certificate) -> str:
    """A serial, as servers write it."""
    return f"{certificate.serial_number:X}"


def held(pc: Computer) -> tuple[x509.Certificate, list[str]]:
    """The certificate that the agent has, and how curl(1) shows it."""
    folder = "/home/agent/.local/share/creatic/poste/certificats"
    [leaf], [key] = ([one for one in pc.run("ls", folder).split() if one.endswith(end)] for end in (".pem", ".key"))
    found = x509.load_pem_x509_certificate(pc.inside(f"{folder}/{leaf}").read_bytes())
    return found, ["--cert", f"{folder}/{leaf}", "--key", f"{folder}/{key}"]


def shown(pc: Computer, address: str, *identity: str) -> str:
    return pc.run("curl", "-s", "--cacert", pc.shared / "ca.pem", *identity, address)


def token(shared: Path) -> None:
    """What the maire's token has, for `plug_in`."""
    key, leaf = provided()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (shared / "cle.pem").write_bytes(private)
    (shared / "certificat.der").write_bytes(leaf.public_bytes(serialization.Encoding.DER))


def sign(pc: Computer, waiting: dict[int, str]) -> None:
    """The maire chooses them on the page, whose browser opens the program."""
    PARAPHEUR.choose(LOGIN)
    pc.run("sh", "-c", "mkdir -p ~/.pki/nssdb && certutil -N -d sql:$HOME/.pki/nssdb --empty-password")
    for rank, one in enumerate(x509.load_pem_x509_certificates((pc.shared / "ca.pem").read_bytes())):
        file = pc.shared / f"ca{rank}.pem"
        file.write_bytes(one.public_bytes(serialization.Encoding.PEM))
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
        page.get_by_text(f"{len(waiting)} documents signés.").wait_for(timeout=120_000)
        seen.answer(ENTER)


def test_a_pc_is_equipped_signs_renews_and_is_refused_once_revoked(tmp_path: Path) -> None:
    inventory = described(tmp_path, COMPUTER, "debian", ISSUED, SIGNATURE)
    shared = brought(inventory, tmp_path, NAME)
    token(shared)
    for file in shared.iterdir():
        file.chmod(0o644)
    with gone_after(inventory, NAME), computer(COMPUTER, shared, HOSTS) as pc:
        assert "posé" in pc.run("dpkg", "-i", shared / "poste.deb", account="root")
        with lasting(80):
            assert "installé, jusqu'au" in certified(inventory, NAME, pc.command("creatic-poste", "session"))
        first, identity = held(pc)
        # What the servers saw: the door's page of its own, and the TdT's.
        assert HOLDER in shown(pc, DOOR, *identity)
        assert number(first) in shown(pc, TRANSMISSION, *identity)
        assert number(first) not in shown(pc, TRANSMISSION)
        found = rolled_out(inventory, NAME)
        assert found["prouve"] and f"certificat « {HOLDER} » vu à la porte" in found["preuves"][0]["detail"]
        plug_in(pc, "maire", shared / "cle.pem", shared / "certificat.der", PIN)
        waiting = to_sign()
        sign(pc, waiting)
        judged(waiting, tmp_path / "juges")
        assert "installé, jusqu'au" in certified(inventory, NAME, pc.command("creatic-poste", "renouveler"))
        second, identity = held(pc)
        assert second != first and number(second) in shown(pc, TRANSMISSION, *identity)
        assert f"{NAME} certificat « {HOLDER} » renouvelé" in this_morning(inventory)
        assert "Ce PC est prêt" in pc.run("creatic-poste", "verifier")
        assert "sont envoyés au groupement" in pc.run("creatic-poste", "constats")
        assert audited(inventory, NAME)["etat"] == postes.JUDGED
        revoked(inventory, NAME, number(second), lambda address: shown(pc, address, *identity))
        assert "il a été révoqué" in pc.run("creatic-poste", "renouveler")
