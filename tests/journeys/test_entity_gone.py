"""A body that a commune hosts leaves alone: handed over, signed for, closed; its commune and its other body stay."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from creatic.pki.authority import Authority
from testbed.control_node import HOME, REPO, command
from testbed.deliberations import Browser, Site
from testbed.parapheur import Parapheur

from .conftest import on_host, rollout
from .test_life import openssl

pytestmark = pytest.mark.closing

COMMUNE, LOGIN, PERSON = "gondecourt", "zoe.partante", "Zoé Partante"
ENTITY, CONNECTOR, TDT = f"{COMMUNE}-ecoles", "10.59.2.20", ("playbooks/site.yml", "--limit", "tdt_simulator")
BODY: dict[str, Any] = {
    "nom": "ecoles",
    "libelle": "Caisse des écoles de Gondecourt",
    "type": "caisse_des_ecoles",
    "siren": "265902676",
    "president": {"titulaire": "claire.dubois"},
    "services": ["teletransmission", "parapheur", "deliberations", "ged"],
    "comptes": [{"identifiant": LOGIN, "prenom": "Zoé", "nom": "Partante", "courriel": "zoe@gondecourt.test"}],
    "parapheur": {"redacteurs": [LOGIN]},
    "deliberations": {"redacteurs": [LOGIN], "dgs": [LOGIN], "elus": ["Claire Dubois", PERSON]},
}
SITE = Site("10.59.0.42", "deliberations.creatic.test", HOME)
PARAPHEUR = Parapheur("10.59.0.41", "parapheur.creatic.test", HOME)


@pytest.fixture
def inventory(ready: str, tmp_path: Path) -> Iterator[Path]:
    """The lab's inventory with one more body, which is deployed and proved; without it again, whatever happened."""
    folder = Path(shutil.copytree(REPO / "inventories" / "lab", tmp_path / "inventaires" / "lab"))
    file = folder / "communes" / f"{COMMUNE}.yml"
    kept = file.read_text(encoding="utf-8")
    told = yaml.safe_load(kept)
    file.write_text(yaml.safe_dump(told | {"entites": [*told["entites"], BODY]}), encoding="utf-8")
    assert command("ansible-playbook", "-i", str(folder), *TDT).returncode == 0  # its account at the TdT
    fab(folder, "commune.deployer", COMMUNE)
    yield folder
    for serial in in_force():
        command("fab", "pki.revoquer", "--numero", serial, "--motif", "cessation")
    assert command("ansible-playbook", "-i", "inventories/lab", *TDT).returncode == 0


def fab(inventory: Path, *arguments: str, status: int = 0) -> str:
    done = command("env", f"CREATIC_INVENTORY={inventory}", "fab", *arguments)
    assert done.returncode == status, done.stdout
    return done.stdout


def in_force(siren: str = BODY["siren"]) -> list[str]:
    rows = Authority(HOME / "pki").listing()
    return [str(row["serie"]) for row in rows if row["siren"] == siren and row["statut"] in ("valide", "remplace")]


def serves(entity: str) -> int:
    return on_host(CONNECTOR, f"systemctl is-active tdt-connector@{entity}.service").returncode


def test_a_body_leaves_alone(inventory: Path, tmp_path: Path) -> None:
    assert serves(ENTITY) == 0
    PARAPHEUR.choose(LOGIN)
    chosen, given = PARAPHEUR.password(LOGIN), SITE.first_password(LOGIN)
    others = in_force("265902668") + in_force("215902669")
    fab(inventory, "pki.personne", PERSON, "--commune", ENTITY)
    p12 = max((HOME / "personnes").glob("zoe-partante-*.p12"), key=lambda path: path.stat().st_mtime_ns)

    # Taken out of its commune's file alone: nothing is deployed without it.
    lost = fab(REPO / "inventories" / "lab", "commune.deployer", COMMUNE, status=1)
    assert ENTITY in lost and "fab commune.depart" in lost

    target = tmp_path / "disque" / ENTITY
    depart = ("commune.depart", ENTITY, "--vers", str(target))
    fab(inventory, *depart)
    facts = json.loads((target / "remise.json").read_text(encoding="utf-8"))
    assert list(facts["parties"]) == ["ged", "parapheur", "deliberations", "teletransmission"]
    # The test act of its proof is its own, and nothing of its commune's is in the folder.
    journal = (target / "teletransmission" / "journal.json").read_text(encoding="utf-8")
    assert json.loads(journal)["depots"]
    told = [path.read_text(encoding="utf-8", errors="replace") for path in target.rglob("*") if path.suffix == ".xml"]
    assert told and all(BODY["siren"] in one or "215902669" not in one for one in told)
    password = f"file:{p12.with_suffix('.mdp')}"
    openssl("pkcs12", "-in", p12, "-passin", password, "-nodes", "-out", "moi.pem", cwd=tmp_path)
    signed = ("-in", target / "empreintes.sha256", "-out", "recu.p7s")
    openssl("cms", "-sign", "-binary", "-cades", "-outform", "DER", "-signer", "moi.pem", *signed, cwd=tmp_path)
    taken = fab(inventory, *depart, "--recu", str(tmp_path / "recu.p7s"))
    assert f"communes/{COMMUNE}.yml, entites : retirez-en {ENTITY}" in taken

    # The lab's inventory is the one that has it no more.
    lab = REPO / "inventories" / "lab"
    closed = fab(lab, *depart)
    assert "certificats révoqués" in closed and f"fab commune.deployer {COMMUNE}" in closed
    assert in_force() == [] and in_force("265902668") + in_force("215902669") == others
    account = PARAPHEUR.mayan().get_one(f"/creatic/comptes/{LOGIN}/")
    assert (account["ouvert"], account["commune"]) == (False, COMMUNE)
    fields = {"username": LOGIN, "password": chosen}
    assert PARAPHEUR.ask("POST", "/api/v4/auth/token/obtain/", fields=fields).status == 400
    assert Browser(SITE).log_in(LOGIN, given).status != 302
    assert not p12.exists()

    # Its connector forgets it; its commune and its other body are served as before, and nothing is left to change.
    status, output = rollout(COMMUNE)
    assert status == 0, output
    assert serves(ENTITY) != 0 and serves(f"{COMMUNE}-ccas") == 0
    assert on_host(CONNECTOR, f"ls /var/lib/tdt-connector/entites/{ENTITY}").returncode == 0  # what it sent stays
    status, output = rollout(COMMUNE)
    assert status == 0 and {*re.findall(r"tâches, (\d+) changement", output)} == {"0"}, output
    fab(lab, "inventaire.controle")
