# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a rollout is busy with, as its progress says it: names of tasks are English, and are for who develops."""

from __future__ import annotations

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
    "Place": "place des communes sur les serveurs",
    "Rollout": "contrôles et preuves des communes",
    "Servers": "contrôles et preuves des serveurs",
    "Updates": "correctifs de Debian",
    "Seals": "certificats qui scellent les preuves",
    "Site": "profil de la machine",
}
"""By what begins the name of a task that is no role's, « Place » of « Place | Take the server's turn »."""

_OTHER = "préparation de la suite"


def phrase(task: str, role: str) -> str:
    """Say in French what a task is part of.

    Args:
        task: its name, as the playbook writes it.
        role: that it belongs to; empty for none.
    """
    return ROLES.get(role, "") or PARTS.get(task.partition(" | ")[0].strip(), _OTHER)
