# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A restore drill: one machine's last backup on the inventory's machine of drills, its tests, RPO, RTO, evidence.

That machine is of a profile that stays bare (``nue``). The inventory gives the command that makes it bare again, which
is run before and after; one that holds what no drill brought is left alone (playbooks/journeys/drill_machine.yml).

The control node's is put back in a folder of its own, which its tests open.

Layout, on the control node::

    exercices/2026-11-25T010504Z/        one sealed folder per drill, good or not, see evidence/store
        exercice.json rapport.html ansible.log essais.xml essais.log remise-a-neuf.log
    metriques/exercices.prom             figures of the last one of each machine
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import ip
from ansible_collections.cdg59.creatic.plugins.module_utils.words import duration, now, size

from creatic.evidence import page as evidence_page
from creatic.evidence import store as evidence_store
from creatic.patience import report_progress
from creatic.registry import environment, listing, profiles

MACHINE = "machine-restauree"  # its name in the drill's own inventory, where it has the profile that it is given
RENEWAL = "creatic_exercice_remise_a_neuf"
[BARE] = profiles.marked("nue")
CONTROL = "poste-de-commande"
PROFILES = (*profiles.marked("sauvegarde"), CONTROL)
RESULTS, PAGE = evidence_store.DRILL, "rapport.html"
LOCK, DOING = "exercice-de-restauration", "un exercice de restauration"
# Flows of a restored machine: it must reach nothing that the one it copies works with.
CLOSED = {"firewall_rules": "{{ base_firewall | cdg59.creatic.closed_flows + backup_client_firewall }}"}


class DrillError(CreaticError, cause="exercice"):
    """The drill cannot begin; the message (French) says why and what to do."""


@dataclass(frozen=True)
class Order:
    """What is asked.

    Attributes:
        top: the repository.
        inventory: the real one.
        home: state of the control node.
        profile: whose backup; CONTROL for the control node's own.
        host: which machine's; the first one that is backed up by default.
        archive: which backup; the last one by default.
        passphrase: file with the passphrase, as a holder took it out of its seal; read on the machine by default.
    """

    top: Path
    inventory: Path
    home: Path
    profile: str
    host: str = ""
    archive: str = ""
    passphrase: str = ""


def folder(home: Path) -> Path:
    return home / "exercices"


def saved_hosts(inventory: Mapping[str, Any], home: Path, profile: str) -> list[str]:
    """Machines of a profile that the backup server knows."""
    hosts = [CONTROL] if profile == CONTROL else inventory.get(profile, {}).get("hosts", [])
    return [name for name in sorted(hosts) if (home / "sauvegardes" / name / "inscrit").is_file()]


def saved_profiles(top: Path, inventory: Path, home: Path) -> list[str]:
    """Profiles of which the backup server knows a machine, in the order of their drills.

    Raises:
        DrillError: there is none, or the inventory cannot be read.
    """
    known = read_inventory(top, inventory)
    found = [profile for profile in PROFILES if saved_hosts(known, home, profile)]
    if not found:
        raise DrillError("aucune machine n'est sauvegardée : fab sauvegarde.inscrire")
    return found


def machine_of_drills(inventory: Mapping[str, Any], shown: Path) -> str:
    """Name of the machine on which backups are put back.

    Args:
        inventory: what ``ansible-inventory --list`` says.
        shown: its folder, for the refusal.

    Raises:
        DrillError: the inventory names none, or one that is not for drills alone, or does not say how it is made bare.
    """
    file = shown / "servers.yml"
    hostvars = inventory["_meta"]["hostvars"]
    hosts = sorted(inventory.get(BARE, {}).get("hosts", []))
    if not hosts:
        raise DrillError(
            f"{file} ne nomme aucune machine d'exercice, et une sauvegarde ne se remet que là. À faire : au groupe "
            f"{BARE}, écrivez une machine nue, réservée aux exercices, son adresse (ansible_host) et la commande qui "
            f"la remet à neuf ({RENEWAL}) ; docs/exploitation.md, « La machine d'exercice »."
        )
    name = hosts[0]
    mine = hostvars.get(name, {})
    command, address = mine.get(RENEWAL), mine.get("ansible_host")
    if not address:
        raise DrillError(f"{file}, {name}, ansible_host : champ absent. À faire : écrivez son adresse.")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise DrillError(
            f"{file}, {name}, {RENEWAL} : ce n'est pas une commande, mot par mot. À faire : écrivez celle qui la remet "
            f"à neuf, comme {RENEWAL}: [/usr/local/sbin/exercice-a-neuf]."
        )
    others = [group for group in profiles.load() if group != BARE and name in inventory.get(group, {}).get("hosts", [])]
    here = _plain_address(address)
    others += [
        one
        for one, told in hostvars.items()
        if one != name and here in map(_plain_address, (one, told.get("ansible_host", one)))
    ]
    if here == "localhost" or here.startswith("127.") or here == "::1":
        others.append("le poste de commande lui-même")
    if others:
        raise DrillError(
            f"{file} : {name} est aussi {', '.join(sorted(others))}, et un exercice l'effacerait. À faire : donnez au "
            f"groupe {BARE} une machine et une adresse qui ne soient qu'à lui."
        )
    return name


def _plain_address(text: object) -> str:
    """A host's address, or its name, written in one way."""
    try:
        return str(ip.address(str(text)))
    except ValueError:
        return str(text).casefold().rstrip(".")


def read_inventory(top: Path, inventory: Path) -> dict[str, Any]:
    """What ``ansible-inventory --list`` says.

    Raises:
        DrillError: it cannot be read.
    """
    done = subprocess.run(
        ["ansible-inventory", "-i", str(inventory), "--list"],
        cwd=top,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DrillError(f"inventaire illisible : {done.stderr.strip()[-300:]}")
    return listing.read(done.stdout)


def tests(report: Path) -> dict[str, Any]:
    """What pytest found, from its JUnit report: how many passed, and the names of those that did not."""
    if not report.is_file():
        return {"reussis": 0, "echoues": ["les essais n'ont pas eu lieu"]}
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # noqa: S314 - written by our own pytest
    bad = [
        str(case.get("name")) for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"reussis": len(cases) - len(bad) - skipped, "echoues": bad}


class Drill:
    """One drill, from the machine's creation to its end."""

    def __init__(self, order: Order, operator: str) -> None:
        self.order = order
        inventory = read_inventory(order.top, order.inventory)
        known = saved_hosts(inventory, order.home, order.profile)
        if order.host and order.host not in known:
            raise DrillError(f"{order.host} n'est pas sauvegardée, ou n'est pas du profil {order.profile}")
        if not known:
            raise DrillError(f"aucune machine du profil {order.profile} n'est sauvegardée : fab sauvegarde.inscrire")
        self.host = order.host or known[0]
        self.hostvars: dict[str, dict[str, Any]] = inventory["_meta"]["hostvars"]
        self.machine = self._find_machine(inventory)
        try:
            evidence_store.lock_commune(order.home / "verrous", LOCK, os.getpid(), operator, DOING)
        except evidence_store.AlreadyLockedError as error:
            raise DrillError(f"{error}. Attendez sa fin, puis relancez.") from None
        try:
            self.id, self.folder = evidence_store.open_run(folder(order.home), operator)
        except evidence_store.EvidenceError as error:
            raise DrillError(str(error)) from None
        self.scratch = self.folder / "poste"  # inventory, authority and keys of the drill: not kept
        self.record: dict[str, Any] = {
            "version": 1,
            "passage": self.id,
            "debut": now().isoformat(timespec="seconds"),
            "operateur": operator,
            "environnement": environment.of_state(order.home),
            "profil": order.profile,
            "machine": self.host,
            "sur": self.machine,
            "cle": "séquestre" if order.passphrase else "machine sauvegardée",
        }

    def _find_machine(self, inventory: Mapping[str, Any]) -> str:
        return machine_of_drills(inventory, self.order.inventory)

    def _write_inventory(self) -> Path:
        """The real inventory, and the drill's machine with the variables of the one it stands for.

        They have templates of group_vars, which a file of machines may not have, and texts of a commune's file, which
        stay texts.
        """
        target = self.scratch / "inventaire"
        own = target / "host_vars"
        own.mkdir(parents=True)
        for path in self.order.inventory.iterdir():
            for one, place in [(inner, own) for inner in path.iterdir()] if path.name == own.name else [(path, target)]:
                (place / one.name).symlink_to(one.resolve())
        given = ("ansible_", "creatic_communes", "creatic_profil")  # by its group
        told = self.hostvars[self.host].items()
        mine = {name: value for name, value in told if not name.startswith(given)}
        # How it is reached, alone, is its own.
        mine |= {name: value for name, value in self.hostvars[self.machine].items() if name.startswith("ansible_")}
        mine |= {"creatic_supervision": [], "creatic_journaux": []}  # nobody looks at it, nor keeps what it says
        mine |= {"backup_client_name": self.host, "backup_client_account": "sauvegarde-lecture"}
        content: dict[str, Any] = {"all": {"children": {self.order.profile: {"hosts": {MACHINE: {}}}}}}
        (target / "zz_exercice.yml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        (own / f"{MACHINE}.json").write_text(listing.written(mine), encoding="utf-8")
        return target

    def _restore_machine(self, inventory: Path) -> bool:
        mine = CLOSED | {"creatic_pki_dir": str(self.scratch / "pki"), "drill_profile": self.order.profile}
        return self._run_playbook(inventory, "restore_drill.yml", mine)

    def _run_playbook(self, inventory: Path, playbook: str, mine: dict[str, str], journal: str = "ansible.log") -> bool:
        asked = {
            "drill_host": self.host,
            "drill_machine": self.machine,
            "drill_inventory": str(self.order.inventory),
            "drill_archive": self.order.archive,
            "drill_passphrase_file": self.order.passphrase,
            "drill_folder": str(self.folder),
        }
        extra = {name: listing.Text(value) for name, value in asked.items()} | mine  # templates of ours
        command = ["ansible-playbook", "-i", str(inventory), f"playbooks/journeys/{playbook}"]
        # The machine of the drill before had the same address and another key: no connection of that time is taken up.
        with (
            tempfile.TemporaryDirectory(prefix="creatic-") as sockets,
            (self.folder / journal).open("w", encoding="utf-8") as log,
        ):
            done = subprocess.run(
                [*command, "-e", listing.written(extra)],
                cwd=self.order.top,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets},
                check=False,
            )
        return done.returncode == 0

    def _test_machine(self, inventory: Path) -> None:
        own = [f"tests/profiles/{self.order.profile}", f"tests/profiles/restauration/test_{self.order.profile}.py"]
        places = ["tests/profiles/restauration/test_machine.py", *own]
        self._run_pytest(
            *(one for one in places if (self.order.top / one).exists()), "--profile", self.order.profile,
            "--environment", str(inventory), "--limit", MACHINE, "-m", "not exterieur and not leaves_traces",
        )  # fmt: skip # one call by its parts

    def _run_pytest(self, *arguments: str) -> None:
        with (self.folder / "essais.log").open("w", encoding="utf-8") as log:
            subprocess.run(
                [sys.executable, "-m", "pytest", "-q", *arguments, "-p", "no:cacheprovider",
                 f"--junitxml={self.folder / 'essais.xml'}"],
                cwd=self.order.top, stdout=log, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip # one call by its parts

    def perform(self) -> tuple[dict[str, Any], Path, str]:
        """Restore, test, have the machine made bare again, seal.

        Returns:
            The record, the sealed folder, and why it is not signed (French; empty when it is).
        """
        started = time.monotonic()
        inventory = self._write_inventory()
        try:
            with report_progress(f"restauration de {self.host} (journal : {self.folder / 'ansible.log'})"):
                done = self._restore_machine(inventory)
            if done:
                with report_progress(f"essais de la machine restaurée (journal : {self.folder / 'essais.log'})"):
                    self._test_machine(inventory)
            self.record["rto_s"] = round(time.monotonic() - started)
        finally:
            left = self._reset_machine(inventory)
        self._judge_drill(done, left)
        return self._seal_drill()

    def _reset_machine(self, inventory: Path) -> str:
        """Leave nothing of what was restored; gives why something is left (French)."""
        bare = True
        if (self.scratch / "prise").exists():  # the playbook says so once the machine is the drill's
            with report_progress(f"remise à neuf de {self.machine}"):
                bare = self._run_playbook(
                    inventory, "drill_machine.yml", {"drill_moment": "apres"}, "remise-a-neuf.log"
                )
        shutil.rmtree(self.scratch, ignore_errors=True)
        if bare:
            return ""
        return (
            f"{self.machine} n'a pas été remise à neuf et tient encore les données de {self.host} : éteignez-la, puis "
            f"remettez-la à neuf vous-même ({_failure_reason(self.folder / 'remise-a-neuf.log')})"
        )

    def _judge_drill(self, restored: bool, left: str) -> None:
        found = evidence_store.read_json(self.folder / "constats.json") or {}
        checked = tests(self.folder / "essais.xml")
        why = "" if restored else _failure_reason(self.folder / "ansible.log")
        self.record |= {
            "restauration": found.get("restauration", {}),
            "serveur": found.get("serveur", {}),
            "essais": checked,
            "raison": ". ".join(filter(None, (why, left))),
            "reussi": restored and not left and not checked["echoues"] and checked["reussis"] > 0,
            "fin": now().isoformat(timespec="seconds"),
        }
        if date := self.record["restauration"].get("date"):
            began = datetime.fromisoformat(self.record["debut"]).astimezone(UTC)
            self.record["rpo_s"] = max(0, round((began - datetime.fromisoformat(date)).total_seconds()))

    def _seal_drill(self) -> tuple[dict[str, Any], Path, str]:
        (self.folder / "constats.json").unlink(missing_ok=True)
        keys = evidence_store.seal_keys(self.order.home)
        with evidence_store.closing(folder(self.order.home)) as finished:
            target, unsealed = evidence_store.publish(self.folder, finished, RESULTS, self.record, {PAGE: page}, keys)
        _publish_metrics(self.order.home)
        return self.record, target, unsealed


class ControlDrill(Drill):
    """The control node's: its state in a folder apart, opened there, and destroyed."""

    def _find_machine(self, inventory: Mapping[str, Any]) -> str:
        return CONTROL

    def _write_inventory(self) -> Path:
        (self.scratch / "etat").mkdir(parents=True, mode=0o700)
        return self.order.inventory

    def _restore_machine(self, inventory: Path) -> bool:
        return self._run_playbook(inventory, "restore_control_node.yml", {"drill_home": str(self.scratch / "etat")})

    def _test_machine(self, inventory: Path) -> None:
        self._run_pytest(
            "tests/profiles/restauration/test_poste_de_commande.py",
            "--environment",
            str(inventory),
            "--restored",
            str(self.scratch / "etat"),
            "--home",
            str(self.order.home),
        )


def prepare(order: Order, operator: str) -> Drill:
    """The drill that was asked for.

    Raises:
        DrillError: it cannot begin.
    """
    return (ControlDrill if order.profile == CONTROL else Drill)(order, operator)


def _failure_reason(log: Path) -> str:
    """What Ansible said of the failure, in short."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    found = re.findall(r"creatic-(?:sauvegarde|depots) : ([^\"\\\n]+)", text) or re.findall(r'"msg": "([^"]+)', text)
    return found[-1][:300] if found else "la restauration n'a pas abouti : voir ansible.log"


def last(home: Path) -> dict[str, dict[str, Any]]:
    """The last drill of each machine."""
    found: dict[str, dict[str, Any]] = {}
    for one in evidence_store.runs(folder(home)):
        if record := evidence_store.read_json(one / RESULTS):
            found[str(record["machine"])] = record
    return found


def _publish_metrics(home: Path) -> None:
    """Figures of the last drills, for the textfile collector: ``metriques/exercices.prom``."""
    records = sorted(last(home).items())
    lines: list[str] = []
    for name, text, value in (
        (
            "timestamp_seconds",
            "When the last restore drill began.",
            lambda one: datetime.fromisoformat(one["debut"]).timestamp(),
        ),
        ("good", "1 when it succeeded.", lambda one: one["reussi"]),
        ("rto_seconds", "Time it took, from nothing to the proven machine.", lambda one: one.get("rto_s", -1)),
        ("rpo_seconds", "Age of the backup that it put back, -1 for none.", lambda one: one.get("rpo_s", -1)),
    ):
        lines += [f"# HELP creatic_drill_{name} {text}", f"# TYPE creatic_drill_{name} gauge"]
        lines += [f'creatic_drill_{name}{{client="{client}"}} {float(value(one)):.10g}' for client, one in records]
    (home / "metriques").mkdir(exist_ok=True)
    evidence_store.write_text(home / "metriques" / "exercices.prom", "\n".join(lines) + "\n")


def lines(record: Mapping[str, Any]) -> list[str]:
    """The drill in a few French lines."""
    told = [f"{record['machine']} ({record['profil']}) : {'restaurée' if record['reussi'] else 'ÉCHEC'}"]
    if record["raison"]:
        told.append(f"raison : {record['raison']}")
    if restored := record["restauration"]:
        told.append(
            f"sauvegarde {restored['archive']} : {restored['fichiers']} fichiers, {size(restored['octets'])}, "
            f"remis en {restored['secondes']} s"
        )
        told += map(_plain_text, restored.get("refuses", {}).get("dits", []))
        told += [f"datée du futur, laissée de côté : {name}" for name in restored["du_futur"]]
    told.append(f"essais : {record['essais']['reussis']} réussis, {len(record['essais']['echoues'])} échoués")
    told += [f"  échec : {name}" for name in record["essais"]["echoues"]]
    if "rpo_s" in record:
        told.append(f"perte au plus (RPO) {duration(record['rpo_s'])}, retour en (RTO) {duration(record['rto_s'])}")
    return told


def _plain_text(text: object) -> str:
    """A line of a machine that nobody vouches for, as a terminal may show it."""
    return "".join(one if one.isprintable() else "?" for one in str(text))[:400]


def page(record: Mapping[str, Any]) -> str:
    """The evidence, for a reader."""
    return evidence_page.ENVIRONMENT.get_template("exercice.html.j2").render(record=record, started=record["debut"])
