"""A groupement at work, taken from the version before to this one by ``fab version.passer``, while archives come in.

The version before is deployed by its own clone, with its own environment and its own commands, on machines of a network
that is not the lab's. As few as have each kind of database: PostgreSQL (passerelle), SQLite (the archives' door, which
keeps its journal so), Swift (three nodes), borg (the backup server).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID
from tdt_connector.proof import test_pdf as make_pdf

from testbed import sae as sips
from testbed.archive_gateway import AGENCY, SIRENS, Gateway, Reply
from testbed.control_node import REPO
from testbed.outside import Machines
from testbed.patience import allowed, wait_for

pytestmark = pytest.mark.upgrade

# Version 0.9.0, for a clone without tags.
BASE = "2ac0b0f38df2a7dfdff2eadfa8020dde7948d1db"
LAB, NETWORK = "10.59.", "10.78."
HOLDER = "gondecourt"
SERVERS = {  # as the lab's inventory has them
    "sae1": ("0.31", "sae1"),
    "sae2": ("0.32", "sae2"),
    "sae3": ("0.33", "sae3"),
    "versement": ("0.30", "sae"),
    "relais": ("0.43", "passerelle"),
    "sauvegarde": ("0.50", "sauvegarde"),
}
SAVED = ("versement", "relais")
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
DOOR_S = 60.0
"""Longest that the door may answer nobody, seconds: what comes meanwhile is sent again by who deposits."""


def git(*arguments: str) -> str:
    """What git answers here; empty when it refuses."""
    done = subprocess.run(["git", *arguments], cwd=REPO, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def before() -> str:
    """The version to come from: the last tag before this commit, else BASE."""
    return git("rev-list", "-n1", git("describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^") or BASE)


class Groupement:
    """Its machines, its inventory and its state, on which either clone acts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.old, self.inventory = folder, folder / "avant", folder / "inventaire"
        self.state = folder / "etat" / "lab"
        machines = {name: (NETWORK + place, [f"{label}.creatic.test"]) for name, (place, label) in SERVERS.items()}
        self.machines = Machines("creamaj", f"{NETWORK}0.0/16", "creatic", machines, self.state / "ssh")

    def run(self, clone: Path, *command: str, seconds: float = 1800) -> subprocess.CompletedProcess[str]:
        """Run a tool of a clone's environment, outputs together."""
        tools = clone / ".venv/bin" if clone == self.old else Path(sys.executable).parent
        # What notes the tasks that runs reach knows those of this tree alone.
        noted = ("CREATIC_TASKS_REACHED", "ANSIBLE_CALLBACK_PLUGINS") if clone == self.old else ()
        given = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", *noted)}
        given |= {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "CREATIC_HOME": str(self.state.parent),
            "CREATIC_INVENTORY": str(self.inventory),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": "~/.ansible/cp-maj",
        }
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=clone, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, check=False, timeout=allowed(seconds),
        )  # fmt: skip # one call by its parts
        print(f"\n[{time.monotonic() - started:6.1f} s] {clone.name}$ {' '.join(command)}\n{done.stdout}", flush=True)
        return done

    def does(self, clone: Path, *command: str) -> str:
        """Run what must succeed; gives what it said."""
        done = self.run(clone, *command)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def stand(self, base: str) -> None:
        """The machines, and on them the groupement of the version before."""
        git("worktree", "prune")
        done = subprocess.run(
            ["git", "worktree", "add", "--detach", self.old, base],
            cwd=REPO,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self.does(self.old, "scripts/bootstrap", "production")
        self.machines.lab.down()
        self.machines.lab.up()
        self._write_inventory()
        for playbook, *given in (("authority", "-e", "creatic_pki_generate_passphrases=true"), ("lab/titulaires",)):
            self.does(self.old, "ansible-playbook", "-i", str(self.inventory), f"playbooks/{playbook}.yml", *given)
        self.does(self.old, "fab", "serveurs")
        self.does(self.old, "fab", "sauvegarde.faire")

    def _write_inventory(self) -> None:
        """The lab's of the version before, of these machines alone: one commune, of which no machine is there."""
        shutil.copytree(self.old / "inventories/lab", self.inventory)
        for path in (one for one in self.inventory.rglob("*.yml") if one.is_file()):
            path.write_text(path.read_text(encoding="utf-8").replace(LAB, NETWORK), encoding="utf-8")
        servers = yaml.safe_load((self.inventory / "servers.yml").read_text(encoding="utf-8"))
        groups = servers["all"]["children"]
        gone = [name for name, group in groups.items() if not {*group.get("hosts", ())} & {*SERVERS}]
        for name in gone:
            del groups[name]
            (self.inventory / f"group_vars/{name}.yml").unlink(missing_ok=True)
        (self.inventory / "group_vars/control_node.yml").unlink(missing_ok=True)
        (self.inventory / "ged.yml").unlink(missing_ok=True)
        (self.inventory / "servers.yml").write_text(yaml.safe_dump(servers, allow_unicode=True), encoding="utf-8")
        for path in (self.inventory / "communes").iterdir():
            commune = yaml.safe_load(path.read_text(encoding="utf-8"))
            path.unlink()
            if path.stem == HOLDER:
                kept = {key: commune[key] for key in ("nom", "siren", "insee", "code_postal", "territoire", "agents",
                                                      "vague", "connecteur")}  # fmt: skip # a list of words
                kept |= {"services": ["teletransmission", "archivage"], "postes": []}
                path.write_text(yaml.safe_dump(kept, allow_unicode=True), encoding="utf-8")

    def prepare(self) -> None:
        """What the notes ask to be done once before: an inventory of that time does not say whose the authority is."""
        path = self.inventory / "group_vars/all.yml"
        text = path.read_text(encoding="utf-8")
        if "\ncreatic_autorite:" not in text:
            authority = x509.load_pem_x509_certificate((self.state / "pki/publie/ca.pem").read_bytes())
            [named] = authority.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
            written = yaml.safe_dump({"creatic_autorite": {"organisation": named.value}}, allow_unicode=True)
            path.write_text(f"{text}\n{written}", encoding="utf-8")

    def on(self, machine: str, script: str) -> str:
        """Run a script as root on a machine; gives what it printed."""
        return self.machines.run(machine, script).decode().strip()

    def sql(self, query: str) -> str:
        """What the passerelle's database answers."""
        return self.on("relais", f'runuser -u passerelle -- psql -XAtq passerelle -c "{query}"')

    def gateway(self) -> Gateway:
        """The archives' door."""
        known = f"UserKnownHostsFile={self.state / 'ssh' / 'known_hosts'}"
        ssh = ["ssh", "-q", "-i", str(self.state / "ssh/id_ed25519"), "-o", known, "-o", "ControlPath=none"]
        address = NETWORK + SERVERS["versement"][0]
        return Gateway(address, "sae.creatic.test", self.state, [*ssh, f"creatic@{address}"])


def package(message: str) -> bytes:
    """A SIP that no other is like."""
    mark = hashlib.sha256(message.encode()).hexdigest().encode()
    files = {"content/acte.pdf": sips.PDF + b"% " + mark + b"\n", "content/ARActe.xml": sips.ARACTE}
    return sips.sip(files, message=message, agency=AGENCY, sender=SIRENS[HOLDER])


class Depositor:
    """Who deposits all along, as a connector does: the same SIP again until the door takes it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway, self.taken = gateway, dict[str, Reply]()
        self.refused, self.gaps = list[str](), list[float]()

    def one(self, message: str, stop: threading.Event) -> None:
        """Deposit a SIP until it is answered."""
        started, sip = time.monotonic(), package(message)
        reply = None
        while reply is None or reply.status >= 500:
            try:
                reply = self.gateway.deposit(sip, HOLDER)
            except urllib3.exceptions.HTTPError:
                reply = None
            if time.monotonic() - started > allowed(DOOR_S):
                break
            stop.wait(0 if reply and reply.status < 500 else 0.5)
        self.gaps.append(time.monotonic() - started)
        if reply and reply.status == 200 and reply.code == "OK":
            self.taken[message] = reply
        else:
            self.refused.append(
                f"{message} : {reply.data[:300].decode(errors='replace') if reply else 'pas de réponse'}"
            )

    def _work(self, stop: threading.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            self.one(f"PENDANT-{number:04d}-{time.time_ns()}", stop)
            stop.wait(2)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Deposit in the background for as long as the block lasts."""
        stop = threading.Event()
        thread = threading.Thread(target=self._work, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(allowed(DOOR_S) + 60)


@pytest.fixture(scope="module")
def groupement(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Groupement]:
    base = before()
    if not base or base == git("rev-parse", "HEAD"):
        told = f"la version d'avant ({BASE[:8]}, ou un tag) n'est pas dans l'historique de ce clone"
        pytest.skip(told)  # a clone without history has none to begin with
    assert not git("status", "--porcelain", "--untracked-files=no"), "des fichiers sont modifiés : validez-les d'abord"
    made = Groupement(tmp_path_factory.mktemp("upgrade"))
    try:
        made.stand(base)
        yield made
    finally:
        made.machines.lab.down()
        git("worktree", "remove", "--force", str(made.old))


@pytest.fixture(scope="module")
def held(groupement: Groupement) -> Mapping[str, Any]:
    """What the version before was given: archives that it acknowledged, an act that waits in its chain."""
    depositor = Depositor(groupement.gateway())
    for number in range(3):
        depositor.one(f"AVANT-{number}-{time.time_ns()}", threading.Event())
    assert not depositor.refused and len(depositor.taken) == 3
    groupement.does(groupement.old, "fab", "archive.sceaux")
    act = make_pdf("Acte", "MAJ-1")
    groupement.machines.run("relais", "cat > /run/acte.pdf && chmod 0644 /run/acte.pdf", given=act)
    day = time.strftime("%Y-%m-%d")
    said = groupement.on(
        "relais",
        f"passerelle deposer /run/acte.pdf --commune {HOLDER} --numero MAJ-1 --date {day} --matiere 7.5 --objet Avant",
    )
    reference = said.rpartition(" ")[2].rstrip(".")
    assert groupement.sql("SELECT count(*) FROM acte") == "1"
    return {"archives": depositor.taken, "acte": reference}


def test_what_comes_is_shown_and_nothing_is_changed(groupement: Groupement, held: Mapping[str, Any]) -> None:
    groupement.prepare()
    said = groupement.does(REPO, "fab", "version.passer")
    for name in SERVERS:
        assert re.search(rf"^ +\d +{name} +\w+ +{before()[:8]}|^ +\d +{name} +\w+ +v", said, re.MULTILINE), said
    assert "Rien n'est changé. À faire : la même commande avec --oui." in said
    assert not (groupement.state / "versions").exists() and len([*groupement.state.glob("serveurs/2*")]) == 1


def test_servers_pass_and_archives_come_in_all_along(groupement: Groupement, held: Mapping[str, Any]) -> None:
    gateway = groupement.gateway()
    depositor = Depositor(gateway)
    with depositor.at_work():
        wait_for(lambda: depositor.taken, lambda: f"un premier versement, {depositor.refused}", 120)
        said = groupement.does(REPO, "fab", "version.passer", "--oui")
        count = len(depositor.taken)
        wait_for(lambda: len(depositor.taken) > count, lambda: f"un versement d'après, {depositor.refused}", 120)
    print(f"{len(depositor.taken)} versements, le plus long {max(depositor.gaps):.1f} s")
    assert depositor.refused == [] and len(depositor.taken) > 10
    assert max(depositor.gaps) < allowed(DOOR_S)
    assert f"Tous les serveurs sont à la version {git('rev-parse', 'HEAD')[:8]}" in said or "à la version v" in said

    # What was there is there, and what came meanwhile.
    stored = gateway.stored(HOLDER)
    for message, reply in {**held["archives"], **depositor.taken}.items():
        assert f"{reply.aip}.tar" in stored, message
        assert gateway.ask(f"/v1/versements/{message}", HOLDER).aip == reply.aip, message
    groupement.does(REPO, "fab", "archive.sceaux")
    taken = "sae-journal exporter /var/lib/sae/essai >/dev/null && sae-journal verify /var/lib/sae/essai"
    assert "rien n'a été retiré" in groupement.on("versement", f"{taken} --racine /etc/creatic/pki/ca.pem")
    assert groupement.sql("SELECT reference FROM acte") == held["acte"]

    # The checkpoint is what the way back names, and each machine can read its own again.
    for name in SAVED:
        found = re.search(rf"^  {name} : était à \S+, sauvegarde (\S+), changée à partir de \S+$", said, re.MULTILINE)
        assert found, said
        assert found[1] in groupement.on(name, "creatic-sauvegarde liste")
    assert re.search(r"^  poste-de-commande : sauvegarde \S+$", said, re.MULTILINE), said


def test_a_second_run_changes_nothing(groupement: Groupement, held: Mapping[str, Any]) -> None:
    assert "Tous les serveurs sont à la version" in groupement.does(REPO, "fab", "version.passer", "--oui")
    limit = ",".join([*SERVERS, "localhost"])
    said = groupement.does(
        REPO, "ansible-playbook", "-i", str(groupement.inventory), "playbooks/site.yml", "--limit", limit
    )
    assert {host: int(changed) for host, _ok, changed, *_rest in RECAP.findall(said)} == dict.fromkeys(
        [*SERVERS, "localhost"], 0
    )
