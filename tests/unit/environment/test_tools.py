"""Ansible and fab follow one choice, in a repository that has ours but its inventories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from testbed.programs import fabs

REPO = Path(__file__).parents[3]
TOOLS = Path(sys.executable).parent
ACT = """
- hosts: localhost
  connection: local
  gather_facts: false
  become: false
  tasks:
    - name: Authority
      cdg59.creatic.access_ca: {dir: "{{ creatic_home }}/acces", create: true, generate_passphrases: true}
"""

ONLY_LAB = """
- hosts: localhost
  connection: local
  gather_facts: false
  become: false
  tasks:
    - import_tasks: playbooks/lab/tasks/only_lab.yml
"""


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return repository(tmp_path / "depot")


def repository(folder: Path) -> Path:
    folder.mkdir()
    for name in ("ansible.cfg", "fabfile.py"):
        shutil.copy(REPO / name, folder)
    for name in ("apps", "collections", "creatic", "playbooks", "roles"):
        (folder / name).symlink_to(REPO / name)
    shutil.copytree(REPO / "inventories", folder / "inventories")
    (folder / "acte.yml").write_text(ACT)
    return folder


def environment(top: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CREATIC_", "ANSIBLE_"))}
    return kept | {"ANSIBLE_NOCOLOR": "1", "CREATIC_HOME": str(top / "etat"), "COLUMNS": "200"}


def run(top: Path, tool: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOOLS / tool, *arguments],
        cwd=top,
        env=environment(top) | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_choice_nothing_runs(top: Path) -> None:
    said = "Aucun environnement n'est choisi, rien n'est lancé. À faire, une fois : fab environnement DOSSIER"
    for done in (run(top, "ansible", "localhost", "-m", "ping"), run(top, "ansible-playbook", "acte.yml")):
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr.startswith(f"[ERROR]: {said}") and "localhost" not in done.stderr
    done = run(top, "fab", "inventaire.controle")
    assert done.returncode == 2 and done.stderr.startswith(said) and not done.stdout


@pytest.mark.costly
def test_one_choice_is_followed_by_all(top: Path) -> None:
    chosen = run(top, "fab", "environnement", "inventories/example")
    assert chosen.returncode == 0, chosen.stderr
    assert chosen.stderr == "Environnement : example (inventories/example)\n"
    assert "Choisi par    : fab environnement\nCommunes      : 6 (bergues, bourbourg, " in chosen.stdout
    assert "Banc d'essai  : non" in chosen.stdout

    listed = run(top, "ansible-inventory", "--list")
    assert listed.stderr == "Environnement : example (inventories/example)\n"
    variables = json.loads(listed.stdout)["_meta"]["hostvars"]["loos-connecteur"]
    assert variables["creatic_env"] == "example"  # its group_vars are read

    shown = run(top, "ansible", "loos-connecteur", "-c", "local", "-m", "debug", "-a", "var=inventory_dir")
    assert f'"inventory_dir": "{top}/inventories/example"' in shown.stdout  # not by the link

    refused = run(top, "fab", "banc.etat")
    assert refused.returncode == 2 and "celle du banc d'essai" in refused.stderr and not refused.stdout

    lab = run(top, "ansible-inventory", "--host", "tdt", CREATIC_INVENTORY="inventories/lab")
    assert lab.returncode == 0 and lab.stderr == "Environnement : lab (inventories/lab)\n"
    explicit = run(top, "ansible-inventory", "-i", "inventories/lab", "--host", "tdt", CREATIC_INVENTORY="rien")
    assert explicit.returncode == 0 and not explicit.stderr


def test_a_state_is_of_the_environment_that_made_it(top: Path) -> None:
    shutil.copytree(top / "inventories" / "example", top / "inventories" / "production")
    (top / "etat" / "example").mkdir(parents=True)
    made = run(top, "ansible-playbook", "-i", "inventories/example", "acte.yml")
    assert made.returncode == 0, made.stdout + made.stderr
    assert "est désormais l'état de « example » (inventaire example), et de lui seul." in made.stderr
    refused = run(top, "ansible-playbook", "-i", "inventories/production", "acte.yml")
    assert refused.returncode == 2
    assert "et non de « example » (inventaire production) : rien n'est lancé" in refused.stdout + refused.stderr
    for tool, *arguments in (("fab", "acces.registre"), ("ansible", "localhost", "-m", "ping")):
        done = run(top, tool, *arguments, CREATIC_INVENTORY="inventories/production")
        assert done.returncode and not done.stdout
        assert "et non de « example » (inventaire production) : rien n'est lancé" in done.stderr


@pytest.mark.parametrize("path", sorted((REPO / "playbooks" / "lab").glob("*.yml")), ids=lambda path: path.name)
def test_a_playbook_of_the_lab_first_makes_sure_that_it_is_the_lab(path: Path) -> None:
    first = yaml.safe_load(path.read_text(encoding="utf-8"))[0]
    assert first["tasks"][0]["ansible.builtin.import_tasks"] == "tasks/only_lab.yml"


def test_the_lab_and_a_production_refuse_each_other(top: Path) -> None:
    (top / "acte.yml").write_text(ONLY_LAB)
    done = run(top, "ansible-playbook", "acte.yml", CREATIC_INVENTORY="inventories/example")
    assert done.returncode == 2 and "« example » n'est pas le banc d'essai" in done.stdout
    done = run(top, "ansible-playbook", "acte.yml", CREATIC_INVENTORY="inventories/lab")
    assert done.returncode == 0, done.stdout
    secret = {"CREATIC_INVENTORY": "inventories/lab", "CREATIC_PKI_RACINE": "une phrase de production"}
    done = run(top, "ansible-playbook", "playbooks/authority.yml", **secret)
    assert done.returncode == 2 and "cet environnement est le banc d'essai. À faire : choisissez" in done.stdout
    assert "une phrase de production" not in done.stdout + done.stderr
    assert not (top / "etat").exists()


MISTYPED: list[tuple[tuple[str, ...], str]] = [
    (("pki.registre", "--jours", "abc"), "--jours : « abc » n'est pas un nombre entier de jours, comme 30."),
    (
        ("pki.registre", "--statut", "bidon"),
        "--statut : « bidon » n'en est pas un. Attendu : valide, remplace, revoque, expire.",
    ),
    (("pki.personne", "<b>x</b>"), "nom : lettres, espaces, traits d'union et apostrophes seulement"),
    (("pki.personne", "<b>x</b>", "--commune", "bergues-ccas"), "nom : lettres, espaces, traits d'union et"),
    (("pki.personne", "Jeanne Petit", "--commune", "bergues-syndicat"), "Commune inconnue : bergues-syndicat."),
    (("pki.revoquer", "--motif", "bidon", "--hote", "x"), "Révocation refusée : motif « bidon » inconnu"),
    (("historique", "--nombre", "9999999"), "--nombre : « 9999999 » n'est pas un nombre entier de lignes"),
    (("pki.registre", "--command-timeout", "abc"), "« abc » n'est pas un nombre entier, que son option attend."),
    (("pki.revocation",), "La commande « pki.revocation » n'existe pas. Vouliez-vous dire « pki.revocations » ?"),
]
LACKING = {
    "archive.sceaux": "archive_gateway",
    "archive.reprendre": "archive_gateway",
    "archive.convertir": "archive_gateway",
    "parapheur.revocations": "parapheur",
    "sauvegarde.etat": "backup_server",
    "supervision.silences": "supervision",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], subprocess.CompletedProcess[str]]:
    """What fab answers to each command, those of LACKING in an inventory without the profile."""
    top = repository(tmp_path_factory.mktemp("fab") / "depot")
    calls: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (arguments, {"CREATIC_INVENTORY": "inventories/example"}) for arguments, _said in MISTYPED
    ]
    for command, profile in LACKING.items():
        inventory = shutil.copytree(top / "inventories/example", top / "inventories" / command)
        servers = inventory / "servers.yml"
        servers.write_text(servers.read_text().replace(f"    {profile}:\n", f"    autre_{profile}:\n"))
        calls.append(((command,), {"CREATIC_INVENTORY": f"inventories/{command}", "CREATIC_HOME": str(top / command)}))
    return dict(zip((call for call, _ in calls), fabs(calls, top, environment(top)), strict=True))


@pytest.mark.parametrize(("arguments", "said"), MISTYPED)
def test_what_a_person_mistypes_is_told_in_french(
    answers: dict[tuple[str, ...], subprocess.CompletedProcess[str]], arguments: tuple[str, ...], said: str
) -> None:
    done = answers[arguments]
    assert done.returncode and said in done.stderr and "Traceback" not in done.stderr
    assert not done.stdout


_ON_AN_ENTITY = """
import fabfile, invoke, sys
from creatic.cli import archives, common
for name, given in {
    "commune.deployer": {"communes": "bergues-ccas"},
    "serveurs": {"machines": "bergues-ccas"},
    "correctifs": {"machines": "loos,bergues-ccas"},
    "acces.delivrer": {"role": "auditeur", "duree": "1h", "cle": "x.pub", "commune": ["bergues-ccas"]},
    "supervision.taire": {"cible": "bergues-ccas", "duree": "1h", "motif": "x"},
    "pki.revoquer": {"motif": "changement", "commune": "bergues-ccas"},
    "archive.acte": {"commune": "bergues-ccas"},
    "agent.depart": {"commune": "bergues-ccas", "agent": "marie.leclercq"},
}.items():
    told = []
    archives._on_connector = lambda _context, *words: told.append(" ".join(words)) or True
    common.checked = lambda slugs=None: told.append(f"contrôle de {slugs}") or sys.exit()
    try:
        fabfile.namespace[name].body(invoke.Context(), **given)
    except invoke.Exit as error:
        told.append(str(error))
    except SystemExit:
        pass
    print(name, " | ".join(told))
"""


def test_the_name_of_an_entity_is_understood_or_refused_with_its_commune(top: Path) -> None:
    done = run(top, sys.executable, "-c", _ON_AN_ENTITY, CREATIC_INVENTORY="inventories/example")
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    refused = "« bergues-ccas » est une entité de bergues, sans machine à elle : donnez "
    for name in ("commune.deployer", "serveurs", "correctifs", "acces.delivrer", "supervision.taire"):
        assert told[name] == f"{refused}bergues, dont les machines la servent.", done.stderr
    assert told["pki.revoquer"].startswith(f"{refused}les numéros de ses certificats, un par un (--numero")
    assert told["archive.acte"] == (
        "bergues tdt-connector --entite bergues-ccas verser --tous | "
        "bergues tdt-connector --entite bergues-ccas restituer --dernier"
    )
    assert told["agent.depart"] == "contrôle de ['bergues']"  # an agent of the entity is of its commune's file


def test_a_commune_of_which_nothing_is_deposited_says_why(top: Path) -> None:
    file = top / "inventories/example/communes/haubourdin.yml"
    file.write_text(f"{file.read_text()}acces: sortant\n")
    for commune, said in (
        ("loos", "loos n'a pas le service archivage : il n'y a rien à verser."),
        ("bouvines", "bouvines n'a pas le service archivage"),
        ("haubourdin", "Personne n'entre chez haubourdin (acces: sortant) : son connecteur verse de lui-même."),
    ):
        done = run(top, "fab", "archive.acte", commune, CREATIC_INVENTORY="inventories/example")
        assert done.returncode == 2 and said in done.stderr, done.stderr
    assert "« sudo tdt-connector restituer --dernier », par sa porte (fab flotte.porte)" in done.stderr


def test_an_inventory_without_its_name_is_checked_all_the_same(top: Path) -> None:
    inventory = top / "inventories/example"
    (inventory / "group_vars/all.yml").write_bytes(b"nom: \xe9\n")
    (inventory / "communes/loos.yml").write_text("- rien\n")
    done = run(top, "fab", "inventaire.controle", CREATIC_INVENTORY="inventories/example")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "example : rien n'est changé. 2 défauts :\n  - communes/loos.yml : " in done.stderr
    assert "group_vars/all.yml, ligne 1 : le fichier n'est pas en UTF-8" in done.stderr


@pytest.mark.parametrize(("command", "profile"), LACKING.items())
def test_what_has_no_machine_to_act_on_does_not_end_well(
    answers: dict[tuple[str, ...], subprocess.CompletedProcess[str]], command: str, profile: str
) -> None:
    done = answers[(command,)]
    assert done.returncode == 2
    assert f"aucune machine {profile}" in done.stderr
