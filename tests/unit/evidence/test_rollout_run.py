"""The real playbook under the real Ansible, on local connections: made-up profiles and proof commands."""

from __future__ import annotations

import contextlib
import datetime as dt
import getpass
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from creatic.evidence import held
from creatic.evidence.store import (
    operator,
    runs,
    seal_keys,
    verify_all,
)
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.x509 import Settings
from creatic.registry import profiles
from testbed.patience import wait_for

REPO = Path(__file__).parents[3]
PC, CONNECTOR = "gondecourt-pc-secretariat", "gondecourt-connecteur"
SHARED = (
    "rollout.yml",
    ("[/usr/lib/creatic/preuve-navigateur]", '["{{ tools }}/pc"]'),
    ('"{{ creatic_poste.compte }}"', '"{{ me }}"'),
    ("['tdt-connector', 'proof']", "[tools + '/connecteur']"),
    ('required: "{{ creatic_commune', 'user: "{{ me }}"\n        required: "{{ creatic_commune'),
    (
        'cdg59.creatic.place_proof:\n        secrets_dir: "{{ creatic_secrets_dir }}"\n        '
        'besides: "{{ places_sortantes | default([]) }}" # groups of communes that nobody reaches '
        "(fab commune.deployer)",
        "ansible.builtin.debug:\n        var: creatic_proof",  # what it would tell
    ),
)
SERVERS = {
    "parapheur": ["signatures"],
    "deliberations": ["seances"],
    "ged": ["documents"],
    "passerelle": ["relais"],
    "archivage": ["sae1", "sae2", "sae3", "versement"],
}
ALONE = CONNECTOR  # where nothing is asked of the rest: what a machine more takes is half a second of the processor
PLACE = """---
- name: Place | Ensure the server is still there
  ansible.builtin.ping:
  vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
  when: inventory_hostname in lost | default([])
"""
PROFILE = """---
- name: Profile | Ensure the first task is done
  ansible.builtin.raw: "true"
- name: Profile | Ensure the machine is still there
  ansible.builtin.ping:
  vars: {{ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}}
  when: inventory_hostname in lost | default([])
- name: Profile | Ensure the slow part is done
  ansible.builtin.command: "sleep {{{{ slow | default(0) }}}}"
"""

pytestmark = pytest.mark.skipif(
    'VERSION_ID="13"' not in Path("/etc/os-release").read_text(encoding="utf-8"),
    reason="les contrôles préalables demandent Debian 13, et visent ici cette machine",
)


def _proof(name: str, measures: dict[str, str]) -> dict[str, Any]:
    return {"cle": name, "libelle": name, "verdict": "ok", "detail": "vu", "mesures": measures}


class Project:
    """The lab's inventory on local connections, and the real rollout.yml beside made-up profiles."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.evidence, self.locks = self.home / "evidence", self.home / "verrous"
        shutil.copytree(REPO / "inventories" / "lab" / "communes", folder / "inventory" / "communes")
        # What stands for the machines here proves communes alone: entities are the matter of test_places.py.
        for file in (folder / "inventory" / "communes").glob("*.yml"):
            whole = yaml.safe_load(file.read_text(encoding="utf-8"))
            file.write_text(json.dumps({key: one for key, one in whole.items() if key != "entites"}), encoding="utf-8")
        for name in ("groupement.yml", "servers.yml"):
            shutil.copy(REPO / "inventories" / "lab" / name, folder / "inventory")
        (folder / "inventory" / "group_vars").mkdir()
        variables = {
            "creatic_env": "lab",
            "creatic_home": str(self.home),
            "creatic_pki_dir": str(self.home / "pki"),
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "me": getpass.getuser(),
            "tools": str(folder),
            "creatic_proof": {"preuves": [_proof("gondecourt", {})]},
        }
        (folder / "inventory" / "group_vars" / "all.yml").write_text(json.dumps(variables), encoding="utf-8")
        self._playbooks()
        self._tools()
        authority = Authority(self.home / "pki", Passphrases(self.home / "pki", generate=True))
        authority.ensure(Settings("Groupement d'essai", "essai", "1.3.6.1.4.1.59999.59.1"))

    def _playbooks(self) -> None:
        name, *changes = SHARED
        text = (REPO / "playbooks" / "journeys" / name).read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, f"{name} a changé : {old} n'y est plus"
            text = text.replace(old, new)
        text = text.replace("Groupement Cre@tic", "Groupement d'essai")
        for place in ("journeys", "profiles", "places"):
            (self.folder / "playbooks" / place).mkdir(parents=True)
        (self.folder / "playbooks" / "journeys" / name).write_text(text, encoding="utf-8")
        shared = self.folder / "playbooks" / "journeys" / "tasks"
        if not shared.exists():
            shutil.copytree(REPO / "playbooks" / "journeys" / "tasks", shared)
        for profile in profiles.marked("place"):
            (self.folder / "playbooks" / "places" / f"{profile}.yml").write_text(PLACE, encoding="utf-8")
        for profile in ("commune_pc", "tdt_connector"):
            (self.folder / "playbooks" / "profiles" / f"{profile}.yml").write_text(PROFILE.format(), encoding="utf-8")

    def _tools(self) -> None:
        picture = self.folder / "navigateur.png"
        Image.new("RGB", (1, 1)).save(picture)
        today = dt.datetime.now(dt.UTC).date()
        identifier = f"059-215902669-{today:%Y%m%d}-TEST_1-AU"
        receipt = self.folder / "ARActe.xml"
        receipt.write_text(
            f'<a:ARActe xmlns:a="http://www.interieur.gouv.fr/ACTES#v1.1-20040216" a:IDActe="{identifier}" '
            f'a:DateReception="{today}"><a:ActeRecu a:Date="{today}" a:NumeroInterne="TEST_1"/></a:ARActe>'
        )
        doors = ["passerelle", "archivage"]
        keys = {"pc": ["navigateur"], "connecteur": ["connexion", "rgs", "classification", "acte", *doors]}
        for tool, names in keys.items():
            measures = {"idacte": identifier, "numero": "TEST_1"}
            proofs = [_proof(name, measures) for name in names]
            told = json.dumps({"preuves": proofs, "fichiers": [str(picture if tool == "pc" else receipt)]})
            (self.folder / tool).write_text(f"#!/bin/sh\necho '{told}'\n", encoding="utf-8")
            (self.folder / tool).chmod(0o755)

    def start(self, *arguments: str, limit: str = "", **variables: Any) -> subprocess.Popen[str]:
        """Start a rollout of Gondecourt, with the servers where it has its place, or of some machines."""
        limit = limit or ",".join(["commune_gondecourt", *(name for names in SERVERS.values() for name in names)])
        command = [shutil.which("ansible-playbook") or "ansible-playbook", "-i", str(self.folder / "inventory")]
        command += [str(self.folder / "playbooks" / "journeys" / "rollout.yml"), *arguments]
        command += ["--limit", limit, "-e", json.dumps(variables)]
        environment = os.environ | {
            "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"),
            "ANSIBLE_CACHE_PLUGIN": "memory",
            "ANSIBLE_STDOUT_CALLBACK": "cdg59.creatic.rollout",
            "ANSIBLE_NOCOLOR": "1",
        }
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **variables: Any) -> tuple[int, str]:
        """Run a rollout to its end; gives its status and its output on single-spaced lines."""
        process = self.start(*arguments, **variables)
        output = process.communicate(timeout=900)[0]
        return process.returncode, output

    def report(self) -> dict[str, Any]:
        """Evidence of Gondecourt in the last run."""
        text = (runs(self.evidence)[-1] / "gondecourt" / "preuve.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        return found


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project in a folder of its own."""
    yield Project(tmp_path)


def wait_for_lock(project: Project, process: subprocess.Popen[str]) -> None:
    """Wait until a rollout has the commune's lock."""

    def locked() -> bool:
        assert process.poll() is None, process.communicate()[0]
        return (project.locks / "gondecourt.json").exists()

    try:
        wait_for(locked, "le verrou du déploiement", every=0.1)
    except AssertionError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise


@pytest.mark.costly
def test_a_pc_and_servers_lost_in_the_middle_stop_nobody_else_and_a_second_run_completes(project: Project) -> None:
    """The commune's only PC, and every server of the second step."""
    status, output = project.run(lost=[PC, "documents", "relais", "versement"])
    assert status != 0
    report = project.report()
    states = {host["nom"]: (host["etat"], host["prouve"]) for host in report["hotes"]}
    assert states == {PC: ("injoignable", False), CONNECTOR: ("deploye", True)}
    assert f"✗ {PC} : injoignable" in output
    assert "l'hôte répond mais refuse la connexion SSH" in output
    assert not report["equipee"] and not report["prete"], output
    services = {service["cle"]: service for service in report["services"]}
    assert {name: one["etat"] for name, one in services.items()} == {
        "parapheur": "prouve",
        "deliberations": "prouve",
        "ged": "echec",
        "passerelle": "echec",
        "archivage": "echec",
    }
    assert services["archivage"]["serveurs"] == SERVERS["archivage"]
    told = {gap["objet"]: gap["raison"] for gap in report["manques"]}
    lost = {"GED : serveur documents", "Passerelle : serveur relais", "Archivage : serveur versement"}
    assert lost < {*told}, told
    assert all(told[name].startswith("injoignable pendant « Déploiement » : ") for name in lost)
    assert list(project.locks.glob("*.json")) == []

    status, output = project.run()
    assert status == 0, output
    report = project.report()
    assert report["prete"] and report["environnement"] == "lab", output
    assert {host["taches"]["executees"] for host in report["hotes"]} == {2}
    files = {item["chemin"] for host in report["hotes"] for item in host["fichiers"]}
    assert files == {f"{PC}/navigateur.png", f"{CONNECTOR}/ARActe.xml"}
    assert {service["cle"]: service["etat"] for service in report["services"]} == dict.fromkeys(SERVERS, "prouve")
    results = verify_all(project.evidence, seal_keys(project.home).root)
    assert len(results) == 3
    assert all(result.intact for result in results.values()), results
    assert results[runs(project.evidence)[-1].name].signer
    assert list(project.locks.glob("*.json")) == []


def test_a_service_that_lost_its_machine_is_a_failure_before_anything_changes(project: Project) -> None:
    servers = project.folder / "inventory" / "servers.yml"
    text = servers.read_text(encoding="utf-8")
    servers.write_text(text.replace("    passerelle:\n", "    relais_d_essai:\n"), encoding="utf-8")
    status, output = project.run(limit=ALONE)
    assert status != 0
    flat = " ".join(output.split())
    assert "deliberations, parapheur : l'inventaire n'a aucune machine passerelle" in flat
    assert "retirer le service de communes/gondecourt.yml" in flat
    report = project.report()
    assert not report["prete"]
    assert {host["taches"]["executees"] for host in report["hotes"]} == {0}


def test_servers_alone_are_asked_for_a_commune_that_nobody_reaches(project: Project) -> None:
    file = project.folder / "inventory" / "communes" / "gondecourt.yml"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), "acces": "sortant"}), encoding="utf-8")
    status, output = project.run(limit="signatures,documents", places_sortantes=["commune_gondecourt"])
    assert status == 0 and "Passage" in output and "Équipée" not in output, output  # its table is elsewhere
    report = project.report()
    shown = {one["cle"]: one["etat"] for one in report["services"]}
    assert (shown["parapheur"], shown["ged"], shown["deliberations"]) == ("prouve", "prouve", "non_verifie")
    assert {host["etat"] for host in report["hotes"]} == {"non_vise"} and not report["prete"]
    assert {*held.known_places(project.home)["gondecourt"]} == {"parapheur", "ged"}
    # Nothing of it is taken for granted where nothing was asked.
    (lost, told) = project.run(limit="documents", places_sortantes=["commune_gondecourt"], lost=["documents"])
    assert lost != 0 and "injoignable" in told
    known = held.known_places(project.home)["gondecourt"]
    assert known["parapheur"]["prouve"] and not known["ged"]["prouve"]
    assert all(one.intact for one in verify_all(project.evidence, seal_keys(project.home).root).values())


def test_a_second_rollout_at_once_is_refused_then_an_interruption_leaves_nothing(project: Project) -> None:
    first = project.start(limit=ALONE, slow=1800)  # the second one runs meanwhile
    try:
        wait_for_lock(project, first)
        status, output = project.run(limit=ALONE)
        assert status != 0
        flat = " ".join(output.split())
        assert f"déjà en cours, lancé par {operator()} " in flat
        assert f"(processus {first.pid} sur" in flat
        assert runs(project.evidence) == []
    finally:
        first.send_signal(signal.SIGINT)
        interrupted = first.communicate(timeout=300)[0]
    assert "Déploiement interrompu : aucune preuve n'est écrite" in interrupted
    assert [path.name for path in project.evidence.iterdir()] == [".verrou"]
    assert list(project.locks.glob("*.json")) == []


@pytest.mark.parametrize("lost", [[CONNECTOR], []], ids=["lost", "proved"])
def test_a_commune_is_for_others_while_the_run_goes_on_elsewhere(project: Project, lost: list[str]) -> None:
    """Whichever comes to its proof first ends; the other one's never does."""
    other = "avesnes-les-aubert"
    tool = project.folder / "connecteur"
    waiting = f"#!/bin/sh\nmkdir {project.folder}/first || sleep 1800\n"
    tool.write_text(tool.read_text(encoding="utf-8").replace("#!/bin/sh\n", waiting), encoding="utf-8")
    if lost:
        (project.folder / "first").mkdir()
    run = project.start(limit=f"{CONNECTOR},{other}-connecteur", lost=lost)

    def one_is_left() -> bool:
        assert run.poll() is None, run.communicate()[0]
        left = {path.stem for path in project.locks.glob("*.json")}
        seen.add(frozenset(left))
        return frozenset({"gondecourt", other}) in seen and len(left) == 1

    seen = set[frozenset[str]]()
    try:
        wait_for(one_is_left, "le verrou de la commune finie", every=0.1)
        [left] = project.locks.glob("*.json")
        assert not lost or left.stem == other
    finally:
        run.send_signal(signal.SIGINT)
        told = run.communicate(timeout=300)[0]
    assert "Menées à leur fin, échecs compris : 1 machine sur 2." in told
    left_as_is = f"{left.stem}-connecteur"
    assert f"Déjà commencées, elles restent comme elles sont : {left_as_is}." in told
    assert list(project.locks.glob("*.json")) == []


def test_a_killed_rollout_is_taken_over_by_the_next(project: Project) -> None:
    first = project.start(limit=ALONE, slow=60)
    wait_for_lock(project, first)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert list(project.evidence.glob(".en-cours-*"))
    status, output = project.run(limit=ALONE)
    assert status == 0, output
    assert list(project.evidence.glob(".en-cours-*")) == []


def test_a_simulation_says_what_would_change_and_leaves_nothing(project: Project) -> None:
    made = [project.folder / "posé" / name for name in "abcdef"]
    files = [{"path": str(one), "content": "x"} for one in made]
    task = {"name": "Profile | Ensure files are there", "cdg59.creatic.file_set": {"files": files}}
    (project.folder / "playbooks" / "profiles" / "tdt_connector.yml").write_text(json.dumps([task]), encoding="utf-8")
    status, output = project.run("--check", limit="commune_gondecourt,relais")
    assert status == 0, output
    shown = ", ".join(map(str, made[:4]))
    assert re.search(rf"^   ~ gondecourt-connecteur +{re.escape(shown)} et 2 autres$", output, re.MULTILINE), output
    assert not made[0].exists()
    assert "aucune preuve n'est écrite" in output
    assert not project.evidence.exists()
    assert not project.locks.exists()
