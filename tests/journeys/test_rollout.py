"""The rollout on the lab: to the proof, through the loss of a host, and again without a change."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from lxml import etree, html

from creatic.evidence.store import runs
from testbed.control_node import HOME, command

from .conftest import cut_off, followed, on_host, rollout, wait_for_return

EVIDENCE = HOME / "evidence"
PC, PC_ADDRESS = "gondecourt-pc-secretariat", "10.59.2.10"
MEETINGS = "10.59.0.42"  # server of the délibérations


def last_run() -> Path:
    """Folder of the last run."""
    return runs(EVIDENCE)[-1]


def run_of(output: str) -> Path:
    """Folder of the run which gave this output."""
    found = re.search(r"\(passage (\S+)\)", output)
    assert found, output
    return EVIDENCE / found[1]


def reports(run: Path) -> dict[str, dict[str, Any]]:
    """Evidence of a run, by commune."""
    return {path.parent.name: json.loads(path.read_text("utf-8")) for path in sorted(run.glob("*/preuve.json"))}


def test_every_commune_of_the_lab_is_ready(ready: str) -> None:
    found = reports(run_of(ready))
    assert all(report["prete"] for report in found.values())
    assert set(found) == {"avesnes-les-aubert", "gondecourt", "la-madeleine"}
    # Its PCs and its connector, its place on the servers of five kinds, and ready.
    for name, count in (("Avesnes-les-Aubert", 2), ("Gondecourt", 7), ("La Madeleine", 7)):
        assert any(name in line and line.count("oui") == count for line in ready.splitlines()), ready
    for slug in ("gondecourt", "la-madeleine"):
        services = {service["cle"]: service["detail"] for service in found[slug]["services"]}
        assert [*services] == ["parapheur", "deliberations", "ged", "passerelle", "archivage"]
        assert f"ouvre à ce connecteur le compte « {slug} »" in services["archivage"]
    assert found["avesnes-les-aubert"]["services"] == []


def test_the_evidence_is_true(ready: str) -> None:
    """The page's identifier of act is the one of the préfecture's ARActe, for this commune's SIREN."""
    run = run_of(ready)
    for slug, report in reports(run).items():
        folder = run / slug
        act = next(proof for host in report["hotes"] for proof in host["preuves"] if proof["cle"] == "acte")
        received = etree.parse(next(folder.glob("*/ARActe.xml"))).getroot()
        names = {str(name).rpartition("}")[2]: str(value) for name, value in received.attrib.items()}
        assert names["IDActe"] == act["mesures"]["idacte"]
        assert names["IDActe"].split("-")[1] == report["commune"]["siren"]
        page = html.fromstring((folder / "preuve.html").read_text(encoding="utf-8"))
        assert names["IDActe"] in "".join(str(text) for text in page.itertext())
        picture = next(folder.glob("*/navigateur.png")).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 5000


def test_the_evidence_verifies(ready: str) -> None:
    done = command("fab", "preuves.verifier")
    assert done.returncode == 0, done.stdout
    # Patches and drills are named after their folder.
    rollouts = [line for line in done.stdout.splitlines() if "intact" in line and "/" not in line]
    assert len(rollouts) == len(runs(EVIDENCE)) + 1


@pytest.mark.lost
def test_a_host_lost_in_the_middle_is_reported_the_others_finish_and_a_second_run_completes(ready: str) -> None:
    assert on_host(MEETINGS, "systemctl stop nginx").returncode == 0  # a server's site too
    try:
        status, output = followed(
            "fab",
            "commune.deployer",
            "gondecourt,avesnes-les-aubert",
            on_line=lambda line: cut_off(PC_ADDRESS) if line.startswith("Déploiement") else None,
        )
    finally:
        assert on_host(MEETINGS, "systemctl start nginx").returncode == 0
    assert status != 0, output

    report = reports(last_run())["gondecourt"]
    states = {host["nom"]: (host["etat"], host["prouve"]) for host in report["hotes"]}
    assert states == {PC: ("injoignable", False), "gondecourt-connecteur": ("deploye", True)}, output
    assert any(PC in gap["objet"] and "injoignable" in gap["raison"] for gap in report["manques"])
    places = {service["cle"]: service["etat"] for service in report["services"]}
    assert places == dict.fromkeys(places, "prouve") | {"deliberations": "echec"}, output
    assert any(gap["objet"] == "Délibérations : serveur seances" for gap in report["manques"])
    assert reports(last_run())["avesnes-les-aubert"]["prete"], output
    assert f"{PC} : injoignable" in " ".join(output.split())

    wait_for_return(PC_ADDRESS)
    status, output = rollout("gondecourt")
    assert status == 0, output
    report = reports(last_run())["gondecourt"]
    assert report["prete"]
    tasks = {host["nom"]: host["taches"] for host in report["hotes"]}
    assert tasks["gondecourt-connecteur"]["changees"] == 0, output  # it was rolled out to the end the first time
    assert all(0 < one["executees"] < 60 for one in tasks.values())


def test_a_server_is_deployed_until_the_proof_that_it_serves(ready: str) -> None:
    status, output = followed("fab", "serveurs", "ged")
    assert status == 0, output
    assert "Serveurs prêts : 1 sur 1." in output
    folder = sorted((HOME / "serveurs").glob("2*"))[-1]
    [machine] = json.loads((folder / "serveurs.json").read_text())["machines"]
    assert (machine["nom"], machine["profil"], machine["pret"]) == ("documents", "ged", True)
    assert {proof["cle"]: proof["verdict"] for proof in machine["preuves"]} == {
        "services": "ok",
        "site-ged.creatic.test": "ok",
    }
    assert "documents" in (folder / "rapport.html").read_text()
    assert command("fab", "preuves.verifier", "--dossier", str(folder)).returncode == 0
