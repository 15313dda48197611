"""Somebody leaves a commune: shown, refused while the file names them, then closed everywhere and proved; a commune
takes away what is its own, and signs for it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from testbed.control_node import HOME, command
from testbed.parapheur import Parapheur

pytestmark = pytest.mark.life

LOGIN, NAME, COMMUNE = "alix.essai", "Alix Essai", "gondecourt"
PARAPHEUR = ("10.59.0.41", "parapheur.creatic.test")


def test_an_agent_leaves(ready: str) -> None:
    named = command("fab", "agent.depart", COMMUNE, "claire.dubois", "--oui")
    assert named.returncode == 1, named.stdout
    assert "communes/gondecourt.yml, parapheur.maire.titulaire : mettez l'identifiant" in named.stdout
    assert "rien n'est changé : corrigez d'abord le fichier de la commune" in named.stdout

    # Somebody whom the file names no more: what was given to them stays.
    mayan = Parapheur(*PARAPHEUR, HOME).mayan()
    given = {"username": LOGIN, "first_name": "Alix", "last_name": "Essai", "email": "a@gondecourt.test"}
    mayan.post("/creatic/comptes/", given | {"commune": COMMUNE, "password": "Remis-en-main-7"})
    assert command("fab", "pki.personne", NAME, "--commune", COMMUNE).returncode == 0

    done = command("fab", "agent.depart", COMMUNE, LOGIN, "--oui")
    assert done.returncode == 0, done.stdout
    for words in (f"{NAME} ({LOGIN})", "parapheur : compte ouvert (a@gondecourt.test)", "certificat n° "):
        assert words in done.stdout
    account = mayan.get_one(f"/creatic/comptes/{LOGIN}/")
    assert (account["ouvert"], account["commune"]) == (False, COMMUNE)
    record = json.loads(max((HOME / "departs").glob("2*/depart.json")).read_text(encoding="utf-8"))
    assert record["agent"] == {"identifiant": LOGIN, "nom": NAME, "commune": COMMUNE}
    assert "parapheur : compte fermé" in record["fait"] and any("révoqué" in line for line in record["fait"])
    assert "plus rien à faire" in command("fab", "agent.depart", COMMUNE, LOGIN, "--oui").stdout


def openssl(*arguments: str | Path, cwd: Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_commune_takes_all_that_is_its_own_and_signs_for_it(ready: str, tmp_path: Path) -> None:
    target = tmp_path / "disque" / COMMUNE
    depart = ("fab", "commune.depart", COMMUNE, "--vers", str(target))
    done = command(*depart)
    assert done.returncode == 0, done.stdout
    assert "À faire : la commune vérifie, signe le reçu" in done.stdout
    facts = json.loads((target / "remise.json").read_text(encoding="utf-8"))
    kinds = ["archives", "ged", "parapheur", "deliberations", "teletransmission"]
    assert list(facts["parties"]) == [*kinds, *(f"entites/{COMMUNE}-ccas/{kind}" for kind in kinds)]
    # The test act of the rollout, as the préfecture acknowledged it.
    assert list(target.glob("teletransmission/acquittes/*/*.xml")) and list(target.glob("archives/archives/*/*/*/*"))
    assert json.loads((target / "teletransmission" / "journal.json").read_text(encoding="utf-8"))["depots"]
    assert json.loads((target / "deliberations" / "contenus.json").read_text(encoding="utf-8"))["contenus"] > 1
    for part in ("ged", "parapheur"):
        assert json.loads((target / part / "documents.json").read_text(encoding="utf-8"))["defauts"] == []
    check = ["sha256sum", "--check", "--strict", "--quiet", "empreintes.sha256"]
    assert subprocess.run(check, cwd=target, check=False).returncode == 0

    assert command("fab", "pki.personne", "Camille Reçu", "--commune", COMMUNE).returncode == 0
    [p12] = (HOME / "personnes").glob("camille-recu-*.p12")
    password = f"file:{p12.with_suffix('.mdp')}"
    openssl("pkcs12", "-in", p12, "-passin", password, "-nodes", "-out", "moi.pem", cwd=tmp_path)
    signed = ("-in", target / "empreintes.sha256", "-out", "recu.p7s")
    openssl("cms", "-sign", "-binary", "-cades", "-outform", "DER", "-signer", "moi.pem", *signed, cwd=tmp_path)
    shutil.copyfile(target / "LISEZMOI.txt", tmp_path / "faux.p7s")
    refused = command(*depart, "--recu", str(tmp_path / "faux.p7s"))
    assert refused.returncode == 1 and "reçu refusé, ce n'est pas une signature CMS" in refused.stdout
    taken = command(*depart, "--recu", str(tmp_path / "recu.p7s"))
    assert taken.returncode == 0, taken.stdout
    assert "Reçu signé par CN=Camille Reçu" in taken.stdout
    assert "communes/gondecourt.yml : sortez ce fichier de l'inventaire" in taken.stdout
