"""Three communes behind a router: nobody reaches their machines, which become ready, wave after wave, by themselves.

One has a clerk's PC beside its connector and a place in the GED: it is ready as a commune that one reaches is.

They are of the test, in a copy of the inventory (outgoing/*.yml). They are prepared at the workshop, as the guide says,
then carried behind the router; their console is what somebody on the spot would use.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import BEHIND, Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.lab import Lab

from creatic.evidence import store
from testbed.control_node import HOME, REPO, command
from testbed.ged import Store
from testbed.patience import wait_for

from .conftest import on_host

pytestmark = pytest.mark.fleet_pull

FILES = {path.stem: path for path in sorted((REPO / "tests/journeys/outgoing").glob("*.yml"))}
CONNECTORS = {
    f"{slug}-connecteur": yaml.safe_load(path.read_text(encoding="utf-8"))["connecteur"]["adresse"]
    for slug, path in FILES.items()
}
PC = "bouvines-pc-mairie"  # of the canary's commune, which is ready with it
ADDRESSES = CONNECTORS | {PC: "10.59.96.10"}
CANARY, SECOND, LAST = "bouvines-connecteur", "bourbourg-connecteur", "wannehain-connecteur"
DOOR, ROUTER, TDT = "10.59.0.44", "10.59.0.60", ("playbooks/site.yml", "--limit", "tdt_simulator")
CONFIG = "/etc/tdt-connector/config.yml"
GED = Store("10.59.0.40", "ged.creatic.test", HOME)
# Whoever holds the door: the row of a machine, given back as it was, or with a manifest of theirs.
ROW = """
import json, sqlite3, sys
db = sqlite3.connect("/var/lib/guichet/guichet.db")
names = ("version", "code", "donnees", "manifeste", "signature")
if len(sys.argv) > 2:
    db.execute("UPDATE machines SET " + ", ".join(f"{one} = ?" for one in names) + " WHERE nom = ?",
               (*json.loads(sys.argv[2]), sys.argv[1]))
    db.commit()
print(json.dumps(db.execute("SELECT " + ", ".join(names) + " FROM machines WHERE nom = ?", sys.argv[1:2]).fetchone()))
"""


class Fleet:
    """The control node of an inventory with these communes, and the consoles of their machines."""

    def __init__(self, inventory: Path) -> None:
        self.inventory = inventory

    def playbook(self, name: str, *arguments: str) -> str:
        """Run a playbook; gives its output."""
        done = command("ansible-playbook", "-i", str(self.inventory), name, *arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def cables(self, where: str) -> None:
        """Have the machines, their cables leading there."""
        wanted = {"lab_only": sorted(ADDRESSES), "lab_cable": where}
        self.playbook("playbooks/lab/create.yml", "-e", json.dumps(wanted))

    def fab(self, *arguments: str, status: int = 0) -> str:
        """Run fab; gives its output."""
        done = command("env", f"CREATIC_INVENTORY={self.inventory}", "fab", *arguments)
        assert done.returncode == status, done.stdout
        return done.stdout

    def publishes(self) -> int:
        """Publish a version, to the canary; gives its number."""
        said = self.fab("flotte.publier", "--canari", "bouvines")
        found = re.search(r"^v(\d+) est prête pour 4 machines, en 3 vagues\.$", said, re.MULTILINE)
        assert found and "vague « canari » ouverte : 2 machines." in said, said
        return int(found[1])

    def set(self, **variables: Any) -> None:
        """Give the connectors variables of the test, and no other ones."""
        text = (REPO / "inventories/lab/group_vars/tdt_connector.yml").read_text(encoding="utf-8")
        told = yaml.safe_load(text) | variables
        (self.inventory / "group_vars/tdt_connector.yml").write_text(yaml.safe_dump(told), encoding="utf-8")

    @staticmethod
    def console(machine: str, *words: str, status: int = 0) -> str:
        """Type a command at a machine's console; gives what it said."""
        done = subprocess.run(
            [*Ground().podman_command(), "exec", f"creatic-{machine}", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
        log = f"{done.stdout}{done.stderr}"
        assert done.returncode == status, log
        return log

    def passes(self, machine: str, status: int = 0) -> str:
        """Have a machine pass now; gives where it says that it is."""
        self.console(machine, "systemctl", "start", "creatic-flotte.service", status=status)
        return self.console(machine, "creatic-flotte", "etat")

    def state(self, machine: str) -> dict[str, Any]:
        """What a machine knows of its versions."""
        found: dict[str, Any] = json.loads(self.console(machine, "cat", "/var/lib/creatic-flotte/etat.json"))
        return found


def row(machine: str, *change: str) -> str:
    """The row of a machine at the door, changed when a change is given."""
    done = subprocess.run(
        [
            *Ground().podman_command(),
            "exec",
            "--interactive",
            "--user",
            "guichet",
            "creatic-guichet1",
            "python3",
            "-",
            machine,
            *change,
        ],
        input=ROW,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The communes, prepared at the workshop as the guide says, then behind the router."""
    folder = tmp_path_factory.mktemp("inventaires") / "lab"
    shutil.copytree(REPO / "inventories" / "lab", folder)
    for path in FILES.values():
        shutil.copy(path, folder / "communes")
    made = Fleet(folder)
    try:
        made.cables("atelier")
        made.playbook(*TDT)
        command("env", f"CREATIC_INVENTORY={folder}", "fab", "flotte.arreter", "--motif", "essai interrompu")
        said = made.fab("flotte.publier", "--canari", "bouvines")  # makes the key of the fleet
        assert f"Sans certificat, elles n'ont rien reçu : {CANARY}, {PC}" in said
        made.playbook("playbooks/site.yml", "--limit", ",".join([*CONNECTORS, PC]))
        made.cables("routeur")
        yield made
    finally:
        hosts = [Host(name, address, line=BEHIND) for name, address in ADDRESSES.items()]
        Lab("10.59.0.0/16", hosts, "creatic", HOME / "ssh").remove()
        for slug in FILES:  # nothing of them is to be waited for by who comes next
            command("fab", "pki.revoquer", "--commune", slug, "--motif", "cessation")
        # The lab's inventory never had them. While the last rollout knows of them no server takes a list of communes:
        # one machine is rolled out without them, then the TdT and the GED take their places back.
        last = ("playbooks/journeys/rollout.yml", "--limit", "avesnes-les-aubert-connecteur")
        places = folder.parent / "places.yml"
        tasks = [{"ansible.builtin.include_tasks": str(REPO / "playbooks/journeys/tasks/place.yml")}]
        places.write_text(json.dumps([{"hosts": "ged", "tasks": tasks}]), encoding="utf-8")
        for asked in (last, TDT, (str(places),)):
            done = command("ansible-playbook", "-i", "inventories/lab", *asked)
            assert done.returncode == 0, done.stdout


def test_nobody_reaches_them(fleet: Fleet) -> None:
    for machine, address in ADDRESSES.items():
        assert fleet.console(machine, "systemctl", "is-active", "ssh.service").strip() == "active"
        with pytest.raises(OSError):
            socket.create_connection((address, 22), 5)
    # Not by the router either, for who would send it what is for them.
    way = ("10.59.96.0/22", "via", ROUTER)
    subprocess.run(["ip", "route", "add", *way], check=True)
    try:
        for address in ADDRESSES.values():
            with pytest.raises(OSError):
                socket.create_connection((address, 22), 5)
    finally:
        subprocess.run(["ip", "route", "delete", *way], check=True)
    with pytest.raises(OSError):
        socket.create_connection((ROUTER, 22), 5)
    assert command("ansible", CANARY, "-i", str(fleet.inventory), "-m", "ping", "-T", "5").returncode != 0
    said = fleet.fab("commune.deployer", "wannehain", status=1)  # what it proved is asked of the door
    assert "Rien n'est déployé d'ici chez elles" in said and "rien reçu" in said


def test_they_become_ready_wave_after_wave(fleet: Fleet) -> None:
    waiting = fleet.fab("flotte.avancer", status=1)  # gives the canary what it lacked
    assert "n'ont pas rendu compte (2)" in waiting and CANARY in waiting and PC in waiting
    for machine in (SECOND, LAST):
        assert "le guichet n'a encore rien pour cette machine" in fleet.passes(machine)
    assert "(en place)" in fleet.passes(PC)
    for machine, opened in ((CANARY, "territoire dunkerquois"), (SECOND, "territoire lille"), (LAST, "")):
        said = fleet.passes(machine)
        assert "(en place)" in said, said
        advanced = fleet.fab("flotte.avancer")
        assert f"vague « {opened} » ouverte : 1 machine." in advanced if opened else "ont rendu compte" in advanced
    assert "Machines : 4 à jour" in fleet.fab("flotte.etat")
    told = json.loads(on_host(DOOR, "runuser -u guichet -- creatic-guichet comptes-rendus").stdout)
    for machine in ADDRESSES:
        [proof] = next(one for one in told if one["machine"] == machine and one["genre"] == "bon")["preuves"]
        verdicts = {one["cle"]: one["verdict"] for one in proof["preuves"]}
        wanted = {"navigateur"} if machine == PC else {"connexion", "rgs", "classification", "acte"}
        assert wanted <= verdicts.keys() and "echec" not in verdicts.values()
        assert machine == PC or proof["ar_acte"], "the préfecture's own word came with the report"
    ready = fleet.fab("commune.deployer", "bouvines")
    assert re.search(r"Bouvines +│ oui +│ oui +│ oui ", ready), ready  # équipée, GED, prête
    assert f"v{fleet.state(CANARY)['version']}, prouvée il y a" in ready
    # The same command made its place in the GED, and proved it; its agent uses it.
    run = store.runs(HOME / "evidence")[-1]
    [ged] = json.loads((run / "bouvines" / "preuve.json").read_text(encoding="utf-8"))["services"]
    assert (ged["cle"], ged["etat"]) == ("ged", "prouve"), ged
    assert store.verify_one(run, store.seal_keys(HOME).root).intact
    document = GED.deposit("lucie.caron", "Bouvines - Courrier [215901067]", "lettre.pdf", b"%PDF-1.4 lettre")
    assert GED.api("lucie.caron", "GET", f"/documents/{document}/").json()["label"] == "lettre.pdf"


def test_somebody_enters_by_the_emergency_door(fleet: Fleet) -> None:
    """Where no connection comes in, one that the machine opens leads to its own sshd, until it is revoked."""
    said = fleet.fab("flotte.porte", CANARY, "--duree", "1h", "--motif", "essai de la porte")
    found = re.search(rf"^{CANARY} : porte de secours n° (\d+) ordonnée", said, re.MULTILINE)
    assert found, said
    number, enter = found[1], str(HOME / "flotte" / f"entrer-{CANARY}")
    assert command(enter, "hostname").returncode != 0  # it has not passed yet
    assert f"porte de secours n° {number} ouverte jusqu'au" in fleet.passes(CANARY)
    own = fleet.console(CANARY, "hostname").strip()
    wait_for(lambda: command(enter, "hostname").stdout.strip().endswith(own), "l'entrée par la porte", 120, every=2)
    assert f"n° {number} de {CANARY}" in (told := fleet.fab("flotte.etat", status=1)) and "tunnel est ouvert" in told
    assert "porte de secours" in fleet.fab("acces.registre")
    # Nobody else of the door's machine goes through.
    goes = f"nc -w 5 127.0.0.1 {json.loads((HOME / 'flotte/portes.json').read_text())[CANARY]['port']} </dev/null"
    assert "SSH-2.0" in on_host(DOOR, f"runuser -u creatic -- {goes}").stdout
    assert "SSH-2.0" not in on_host(DOOR, f"runuser -u www-data -- {goes}").stdout

    assert "le guichet a coupé son tunnel" in fleet.fab("acces.revoquer", number, "--motif", "fini")
    wait_for(lambda: command(enter, "true").returncode != 0, "la fin du tunnel", 60, every=2)
    assert f"porte de secours n° {number} fermée" in fleet.passes(CANARY)
    fleet.console(CANARY, "systemctl", "is-active", "creatic-porte.service", status=3)
    assert "Machines : 4 à jour" in fleet.fab("flotte.etat")


def test_the_door_carries_what_their_agents_sign(fleet: Fleet) -> None:
    fleet.console(CANARY, "systemctl", "start", "creatic-releve.service")
    assert "(en place)" in fleet.passes(CANARY)
    done = command("env", f"CREATIC_INVENTORY={fleet.inventory}", "fab", "audit", "--limite", f"{CANARY}:{LAST}")
    [one, other] = json.loads((store.runs(HOME / "audits")[-1] / "resultats.json").read_text())["machines"]
    judged = {each["nom"]: each for each in (one, other)}
    assert judged[CANARY]["etat"] == "auditee" and judged[CANARY]["releve"]["age_s"] < 3600, done.stdout
    assert "le guichet n'a encore aucun relevé d'elle" in judged[LAST]["incident"]["raison"], done.stdout


def test_a_second_version_goes_through_the_canary_and_a_bad_one_stops_there(fleet: Fleet) -> None:
    first = {machine: fleet.state(machine)["version"] for machine in ADDRESSES}
    old = row(LAST)
    fleet.set(tdt_connector_delays={"reception": 20})
    second = fleet.publishes()
    assert second > max(first.values())
    for machine in (LAST, CANARY, PC):
        fleet.passes(machine)
    assert [fleet.state(one)["version"] for one in (CANARY, LAST)] == [second, first[LAST]]
    assert "reception: 20" in fleet.console(CANARY, "cat", CONFIG)
    for machine in (SECOND, LAST):
        fleet.fab("flotte.avancer")
        fleet.passes(machine)
    assert "ont rendu compte" in fleet.fab("flotte.avancer")

    fleet.set(creatic_tdt_url="https://nulle-part.creatic.test")
    bad = fleet.publishes()
    assert f"version {bad} : " in fleet.passes(CANARY, status=1)
    stopped = fleet.fab("flotte.avancer", status=1)
    assert f"v{bad} est arrêtée" in stopped and CANARY in stopped
    fleet.passes(LAST)
    assert fleet.state(LAST)["version"] == second
    assert f"reprend le contenu de v{second}" in fleet.fab("flotte.revenir", "--motif", "TdT introuvable")
    for machine in (CANARY, PC):
        assert "(en place)" in fleet.passes(machine)
    assert "nulle-part" not in fleet.console(CANARY, "cat", CONFIG)
    assert "Machines : 4 à jour" in fleet.fab("flotte.etat")

    # Who holds the door gives an old version again, or a manifest of their own: what was in place stays.
    good = row(LAST)
    kept = fleet.state(LAST)["version"]
    row(LAST, old)
    assert "retour en arrière refusé" in fleet.passes(LAST, status=1)
    version, code, data, manifest, signature = json.loads(good)
    forged = json.dumps(
        [version + 9, code, data, manifest.replace(f'"version": {version}', f'"version": {version + 9}'), signature]
    )
    row(LAST, forged)
    assert "manifeste modifié après sa signature" in fleet.passes(LAST, status=1)
    assert fleet.state(LAST)["version"] == kept and fleet.state(LAST)["posee"]
    row(LAST, old)  # a door that comes back from a backup: the next command gives it what it lost
    fleet.fab("flotte.avancer")
    assert "en place" in fleet.passes(LAST)
    assert "Machines : 4 à jour" in fleet.fab("flotte.etat")
