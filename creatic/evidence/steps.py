# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a rollout is busy with, as its progress says it: names of tasks are English, and are for who develops."""

from __future__ import annotations

from collections.abc import Mapping
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
    "Security": "contrôles de sécurité",
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

_OTHER = "préparation de la suite"
_SHOWN = 4  # files of one task


def phrase(task: str, role: str) -> str:
    """Say in French what a task is part of.

    Args:
        task: its name, as the playbook writes it.
        role: that it belongs to; empty for none.
    """
    return ROLES.get(role, "") or PARTS.get(task.partition(" | ")[0].strip(), _OTHER)


def place(task: str, role: str) -> str:
    """Say where a run stopped: in French what the task is part of, and its name, by which who develops finds it.

    Args:
        task: its name, as the playbook writes it.
        role: that it belongs to; empty for none.
    """
    return f"{phrase(task, role)} : « {task.strip()} »"


def named(task: Any) -> tuple[str, str]:
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
        return phrase(*named(task))
    more = f" et {len(paths) - _SHOWN} autres" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more
