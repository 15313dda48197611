"""A small commune leaves for good: handed over, signed for, closed on every server; the others stay as they were.

It is one of the test, in a copy of the inventory: the lab's own, which never had it, is the inventory once it left. It
bears the name and the SIREN of a partner of the archive room, which is the account that keeps its archives.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from creatic.pki.authority import Authority
from testbed import sae
from testbed.archive_gateway import AGENCY, SIRENS, Gateway
from testbed.control_node import HOME, REPO, command
from testbed.deliberations import Browser, Site
from testbed.ged import Store
from testbed.parapheur import Parapheur

from .conftest import on_host, ssh
from .test_life import openssl

pytestmark = pytest.mark.closing

COMMUNE, LOGIN, PERSON = "partenaire-essai", "alix.partant", "Alix Partant"
ROLES = {"redacteurs": [LOGIN]}
FILE: dict[str, Any] = {
    "nom": "Partenaire-Essai",
    "siren": SIRENS[COMMUNE],
    "insee": "59998",
    "territoire": "lille",
    "agents": 12,
    "vague": 3,
    "services": ["parapheur", "deliberations", "ged"],
    "postes": [{"nom": "pc-mairie", "adresse": "10.59.9.10", "systeme": "debian"}],  # that nobody switched on
    "comptes": [{"identifiant": LOGIN, "prenom": "Alix", "nom": "Partant", "courriel": "alix@partenaire.test"}],
    "ged": {"services": [{"nom": "Secrétariat", "agents": [LOGIN]}]},
    "parapheur": ROLES | {"maire": {"titulaire": LOGIN}},
    "deliberations": ROLES | {"dgs": [LOGIN], "maire": LOGIN, "elus": [PERSON]},
}
PLACES = REPO / "playbooks" / "journeys" / "tasks" / "place.yml"
GED, PARAPHEUR = Store("10.59.0.40", "ged.creatic.test", HOME), Parapheur("10.59.0.41", "parapheur.creatic.test", HOME)
SITE = Site("10.59.0.42", "deliberations.creatic.test", HOME)
RELAY = ("10.59.0.43", "passerelle.creatic.test")
GATEWAY = Gateway("10.59.0.30", "sae.creatic.test", HOME, ssh("10.59.0.30"))


@pytest.fixture
def inventory(tmp_path: Path) -> Iterator[Path]:
    """The lab's inventory with one more commune, which has its place on the servers that communes share."""
    folder = Path(shutil.copytree(REPO / "inventories" / "lab", tmp_path / "inventaires" / "lab"))
    (folder / "communes" / f"{COMMUNE}.yml").write_text(json.dumps(FILE), encoding="utf-8")
    tasks = [{"ansible.builtin.include_tasks": str(PLACES)}]
    plays = [{"hosts": hosts, "tasks": tasks} for hosts in ("ged:parapheur:deliberations", "passerelle")]
    (tmp_path / "places.yml").write_text(json.dumps(plays), encoding="utf-8")
    done = command("ansible-playbook", "-i", str(folder), str(tmp_path / "places.yml"))
    assert done.returncode == 0, done.stdout
    yield folder
    if in_force():  # it failed on the way: nothing of it is to be waited for by who comes next
        command("fab", "pki.revoquer", "--commune", COMMUNE, "--motif", "cessation")
    if (folder / "communes" / f"{COMMUNE}.yml").exists():
        command("ansible-playbook", "-i", "inventories/lab", str(tmp_path / "places.yml"))


def fab(inventory: Path, *arguments: str, status: int = 0) -> str:
    done = command("env", f"CREATIC_INVENTORY={inventory}", "fab", *arguments)
    assert done.returncode == status, done.stdout
    return done.stdout


def in_force() -> list[str]:
    rows = Authority(HOME / "pki").listing()
    return [row["serie"] for row in rows if row["commune"] == COMMUNE and row["statut"] in ("valide", "remplace")]


def enters(store: Store, password: str) -> int:
    """Status of the answer to somebody who asks for a token."""
    fields = {"username": LOGIN, "password": password}
    return int(store.ask("POST", "/api/v4/auth/token/obtain/", fields=fields).status)


def relay(identity: Path) -> int:
    """Status of the page of the passerelle for who shows this certificate."""
    address, name = RELAY
    pool = urllib3.HTTPSConnectionPool(
        address, 443, server_hostname=name, assert_hostname=name, retries=False, timeout=60,
        ca_certs=str(HOME / "pki" / "publie" / "ca.pem"), cert_file=str(identity), key_file=str(identity),
    )  # fmt: skip # one call by its parts
    return int(pool.request("GET", "/", headers={"Host": name}, redirect=False).status)


def archived() -> Any:
    """A deposit of the commune's; the gateway's answer."""
    message = f"ESSAI-{time.time_ns()}"
    files = {"content/acte.pdf": sae.PDF + f"% {message}\n".encode(), "content/ARActe.xml": sae.ARACTE}
    return GATEWAY.deposit(sae.sip(files, message=message, agency=AGENCY, sender=FILE["siren"]), COMMUNE)


def test_a_commune_leaves_for_good(inventory: Path, tmp_path: Path) -> None:
    assert archived().code == "OK"
    archives = GATEWAY.stored(COMMUNE)
    document = GED.deposit(LOGIN, f"Partenaire-Essai - Courrier [{SIRENS[COMMUNE]}]", "adieu.pdf", b"%PDF-1.4 adieu")
    PARAPHEUR.choose(LOGIN)
    known = [(store, store.password(LOGIN)) for store in (GED, PARAPHEUR)]
    given = SITE.first_password(LOGIN)
    assert [enters(store, chosen) for store, chosen in known] == [200, 200]
    assert Browser(SITE).log_in(LOGIN, given).status == 302

    fab(inventory, "pki.personne", PERSON, "--commune", COMMUNE)
    p12 = max((HOME / "personnes").glob("alix-partant-*.p12"), key=lambda path: path.stat().st_mtime_ns)
    identity = tmp_path / "moi.pem"
    password = f"file:{p12.with_suffix('.mdp')}"
    openssl("pkcs12", "-in", p12, "-passin", password, "-nodes", "-out", identity, cwd=tmp_path)
    assert relay(identity) == 200

    # Its file alone is gone: nothing closes.
    target = tmp_path / "disque" / COMMUNE
    depart = ("commune.depart", COMMUNE, "--vers", str(target))
    lost = fab(REPO / "inventories" / "lab", "inventaire.controle", status=1)
    assert f"communes/{COMMUNE}.yml : le fichier a disparu, et la commune n'est pas partie" in lost

    fab(inventory, *depart)
    facts = json.loads((target / "remise.json").read_text(encoding="utf-8"))
    assert list(facts["parties"]) == ["archives", "ged", "parapheur", "deliberations"]
    assert [path.read_bytes() for path in target.glob("ged/**/*.pdf")] == [b"%PDF-1.4 adieu"]
    signed = ("-in", target / "empreintes.sha256", "-out", "recu.p7s")
    openssl("cms", "-sign", "-binary", "-cades", "-outform", "DER", "-signer", identity, *signed, cwd=tmp_path)
    taken = fab(inventory, *depart, "--recu", str(tmp_path / "recu.p7s"))
    assert f"communes/{COMMUNE}.yml : sortez ce fichier de l'inventaire" in taken
    assert relay(identity) == 200

    (inventory / "communes" / f"{COMMUNE}.yml").rename(tmp_path / "gardee.yml")
    closed = fab(inventory, *depart)
    assert "certificats révoqués" in closed and "archives laissées dans la salle" in closed
    assert in_force() == []
    for store, chosen in known:
        account = store.mayan().get_one(f"/creatic/comptes/{LOGIN}/")
        assert (account["ouvert"], account["commune"]) == (False, COMMUNE)
        assert enters(store, chosen) == 400
    assert Browser(SITE).log_in(LOGIN, given).status != 302
    assert relay(identity) == 400
    assert COMMUNE not in on_host(RELAY[0], "cat /etc/passerelle/*").stdout
    assert not list((HOME / "secrets").glob(f"*/comptes/{LOGIN}"))
    # What the law keeps: its archives, as they were, until their term; and its documents, out of everybody's sight.
    assert GATEWAY.stored(COMMUNE) >= archives
    assert GED.mayan().get_one(f"/documents/{document}/")["label"] == "adieu.pdf"

    # The lab's inventory is the one without it: nothing is left to change for the others, and nothing is missed.
    fab(REPO / "inventories" / "lab", "inventaire.controle")
    done = command("ansible-playbook", "-i", "inventories/lab", str(tmp_path / "places.yml"))
    assert done.returncode == 0, done.stdout
    recap = done.stdout.rpartition("PLAY RECAP")[2]
    assert recap.count("changed=0") == recap.count("changed=") == 4, done.stdout
    assert "Partie, il n'y a plus rien à faire" in fab(inventory, *depart)
