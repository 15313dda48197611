# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a rollout is busy with, as its progress says it: names of tasks are English, and are for who develops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ROLES = {
    "access": "accès SSH des exploitants et des auditeurs",
    "archive_gateway": "passerelle d'archives",
    "archive_node": "nœud d'archives",
    "audit_agent": "constats que la machine fait d'elle-même",
    "backup_client": "sauvegarde de la machine",
    "backup_server": "serveur de sauvegarde",
    "base": "système : paquets, heure, journaux",
    "commune_pc": "poste de la commune : certificats, navigateurs",
    "control_node": "poste de commande partagé",
    "encrypted_raid": "disques chiffrés",
    "firewall": "pare-feu",
    "flotte": "agent des machines en accès sortant",
    "guichet": "guichet des machines en accès sortant",
    "hardening": "durcissement",
    "mayan": "application documentaire (Mayan)",
    "nginx_tls": "serveur web et son certificat",
    "parapheur": "parapheur",
    "passerelle": "passerelle entre les applications",
    "pki_client": "certificats de la machine",
    "plone": "délibérations (Plone)",
    "postgresql": "base de données",
    "signature": "service de signature",
    "supervision": "supervision",
    "tdt_connector": "connecteur vers le TdT",
    "tdt_simulator": "simulateur de TdT",
}
"""By role."""

PARTS = {
    "Access revocation": "accès SSH qui sont retirés",
    "Accounts": "comptes que les applications ont entre elles",
    "Agent": "comptes d'un agent",
    "Archive gateway": ROLES["archive_gateway"],
    "Archive node": ROLES["archive_node"],
    "Audit": "constats de l'audit",
    "Authority": "autorités du groupement",
    "Backup client": ROLES["backup_client"],
    "Backup server": ROLES["backup_server"],
    "Checkpoint": "sauvegarde d'avant le passage",
    "Commune PC": ROLES["commune_pc"],
    "Control node": "poste de commande",
    "Conversion": "conversion de formats d'archives",
    "Door": "guichet des machines en accès sortant",
    "Drill": "exercice de restauration",
    "Encrypted disks bench": "banc d'essai des disques chiffrés",
    "Encrypted disks": ROLES["encrypted_raid"],
    "Evidence": "certificats qui scellent les preuves",
    "Fleet": "machines en accès sortant",
    "Flows": "flux du réseau",
    "Formats": "formats des archives",
    "GED": "GED",
    "Hardening bench": "banc d'essai du durcissement",
    "Holders": "titulaires du séquestre",
    "Lab": "banc d'essai",
    "Lists": "listes de révocation",
    "Morning": "état du matin",
    "Parapheur": ROLES["parapheur"],
    "Passerelle": ROLES["passerelle"],
    "Patch": "correctifs de la salle des archives",
    "Person": "certificat d'une personne",
    "Place": "place des communes sur les serveurs",
    "Prepare": "préparation sur le poste de commande",
    "Provider": "certificat du prestataire",
    "Pull": "machine qui s'applique sa version",
    "Recovery": "reprise du poste de commande",
    "Renewal": "renouvellement d'une autorité",
    "Revocation": "révocation d'un certificat",
    "Rollback": "retour d'un dépôt de sauvegarde",
    "Rollout": "contrôles et preuves des communes",
    "Room backup": "sauvegarde de la salle des archives",
    "Rotation": "renouvellement des certificats",
    "Seals": "certificats qui scellent les preuves",
    "Security": "constats que la machine fait d'elle-même",
    "Servers": "contrôles et preuves des serveurs",
    "Site": "profil de la machine",
    "Status": "état des archives",
    "Supervision": ROLES["supervision"],
    "TdT connector": ROLES["tdt_connector"],
    "TdT simulator": ROLES["tdt_simulator"],
    "Trusted lists": "listes de confiance de l'Union européenne",
    "Updates": "correctifs de Debian",
    "Watched": "machines que la supervision connaît",
}
"""By what begins the name of a task that is no role's, « Place » of « Place | Take the server's turn »."""

_UNKNOWN_STEP = "préparation de la suite"
_MAX_LISTED_FILES = 4  # files of one task


def key(task: str, role: str) -> str:
    """Name the step of a rollout that a task is part of, as its record keeps it: the role, or what begins its name.

    Args:
        task: its name, as the playbook writes it.
        role: that it belongs to; empty for none.
    """
    return role or task.partition(" | ")[0].strip()


def phrase(task: str, role: str = "", other: str = _UNKNOWN_STEP) -> str:
    """Say in French what a task is part of.

    Args:
        task: its name, as the playbook writes it, or the key of its step.
        role: that it belongs to; empty for none.
        other: what is said of one that is part of nothing known.
    """
    step = key(task, role)
    return ROLES.get(step, "") or PARTS.get(step, other)


def place(task: str, role: str) -> str:
    """Say where a run stopped: in French what the task is part of, and its name, by which who develops finds it.

    Args:
        task: its name, as the playbook writes it.
        role: that it belongs to; empty for none.
    """
    return f"{phrase(task, role)} : « {task.strip()} »"


def task_names(task: Any) -> tuple[str, str]:
    """The name of one of Ansible's tasks, and its role's; empty for none."""
    return task.get_name(), task._role.get_name() if task._role else ""


def changes(task: Any, result: Mapping[str, Any]) -> str:
    """What one of Ansible's tasks would change, in a line: its files, else what it is part of.

    Args:
        result: the task's.
    """
    told = result.get("changed_paths")  # absent where it is a secret
    paths = [str(path) for path in told] if isinstance(told, list) else []
    if not paths:
        return phrase(*task_names(task))
    more = f" et {len(paths) - _MAX_LISTED_FILES} autres" if len(paths) > _MAX_LISTED_FILES else ""
    return ", ".join(paths[:_MAX_LISTED_FILES]) + more


@dataclass
class Clock:
    """Which step each host is in, since when, and how long each took.

    A thread may ask `at` while Ansible's own calls the rest: each entry is put or read in one operation.

    Attributes:
        last: seconds that each step took the last time, by host.
        spent: seconds of this run, by host and step; a step that others interrupt is one.
    """

    last: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    spent: dict[str, dict[str, float]] = field(default_factory=dict)
    _steps: dict[str, tuple[str, float]] = field(default_factory=dict)

    def start(self, host: str, step: str, now: float) -> None:
        """A task of a step starts on a host, at a time of the monotonic clock."""
        if self._steps.get(host, ("",))[0] != step:
            self._steps[host] = (step, now - self.spent.get(host, {}).get(step, 0.0))

    def end(self, host: str, now: float) -> None:
        """A task of it is over."""
        if found := self._steps.get(host):
            step, since = found
            self.spent.setdefault(host, {})[step] = now - since

    def pause(self) -> None:
        """Nobody is in any step: what comes before the next task is not theirs."""
        self._steps.clear()

    def at(self, host: str) -> tuple[str, float, float]:
        """Give the step of a host, the time from which all that it took here counts, and its seconds of the last time.

        Raises:
            KeyError: it is in none.
        """
        step, since = self._steps[host]
        return step, since, self.last.get(host, {}).get(step, 0.0)
