# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What ssh, PSRP and Ansible say of a machine, in French, for the person in front of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean

# Words of a host that ssh reached → (reason, fix), in French, for the person in front of the commune's PC.
_OF_THE_HOST: tuple[tuple[str, str, str], ...] = (
    (
        r"missing sudo password|a password is required|incorrect sudo password",
        "le compte d'administration n'a pas les droits sudo",
        "Rétablir le droit sudo sans mot de passe du compte d'administration.",
    ),
    (
        r"no such file or directory.*python|python.*(?:not found|no such file)|interpreter.*not found",
        "Python 3 est absent de l'hôte",
        "Installer python3 sur l'hôte (Debian 13 standard).",
    ),
    (
        r"failed to create temporary directory",
        "le compte d'administration n'a pas où écrire : disque plein, ou aucun dossier personnel",
        "Vérifier sur l'hôte la place qui reste (df -h) et le dossier personnel de ce compte.",
    ),
    # Of the control node, before the host is asked.
    (
        r"unable to access the file '([^']+)': file not found",
        r"le fichier \1 est introuvable sur le poste de commande",
        "Y mettre ce fichier, ou corriger son chemin ; fab inventaire.controle dit tout ce qui manque.",
    ),
    (
        r"'(\w+)' is undefined",
        r"la variable « \1 » n'a pas de valeur",
        "La donner dans l'inventaire (docs/variables.md) ; fab inventaire.controle dit tout ce qui manque.",
    ),
)


# What PSRP and Windows say, whether the PC was reached or not: no other host speaks so.
_OF_WINDOWS: tuple[tuple[str, str, str], ...] = (
    (
        r"failed to authenticate the user (\S+) with (\w+)",
        r"le poste Windows refuse le compte d'administration « \1 » (\2)",
        "Vérifier son mot de passe, ou le certificat associé à ce compte (group_vars/systeme_windows.yml) ; il doit "
        "être administrateur du poste.",
    ),
    (
        r"via PSRP: .*certificate verify failed: ([^(]+?) ?\.? \(_ssl",
        r"le certificat HTTPS du poste Windows est refusé (\1)",
        "Vérifier que l'adresse est celle du poste, que son certificat porte ce nom et n'est pas expiré, et que "
        "ansible_psrp_ca_cert est l'autorité qui l'a émis.",
    ),
    (
        r"via PSRP: .*connection refused",
        "le poste Windows répond, mais rien n'y écoute PowerShell à distance",
        "Vérifier sur le poste que le service WinRM est démarré, en HTTPS sur le port 5986 ; à défaut, l'équiper par "
        "creatic-poste.",
    ),
    (
        r"could not find (?:the|a suitable) TLS .*invalid path: (\S+)",
        r"le fichier \1 est introuvable sur le poste de commande",
        "Y mettre ce fichier, ou corriger son chemin (group_vars/systeme_windows.yml).",
    ),
    (
        r"failed to become user '([^']+)'.*(?:password is incorrect|1326)",
        r"Windows refuse le mot de passe du compte « \1 »",
        "Corriger commune_pc_windows_password dans le coffre ; Windows peut bloquer le compte après plusieurs essais.",
    ),
    (
        r"network password is not correct",
        "Windows refuse le mot de passe du fichier .p12",
        "Si le poste de commande l'ouvre, le fichier est chiffré d'une façon que ce Windows ne lit pas : le demander "
        "de nouveau au prestataire.",
    ),
    (
        r"CRYPT_E_NOT_FOUND",
        "le compte de l'agent n'a pas la clé de ce certificat",
        "Supprimer sur le poste le fichier .csr de ce certificat dans C:\\ProgramData\\Creatic, puis relancer : une "
        "autre clé sera faite.",
    ),
    (
        r"requires elevation|Access is denied|Accès refusé",
        "le compte d'administration n'a pas tous les droits sur ce poste Windows",
        "Vérifier qu'il est du groupe Administrateurs ; compte local : que LocalAccountTokenFilterPolicy vaut 1.",
    ),
)


# The same, of ssh and Ansible.
_EXPLANATIONS: tuple[tuple[str, str, str], ...] = (
    (
        r"permission denied",
        "l'hôte refuse la clé SSH du groupement",
        "Déposer la clé publique du groupement pour le compte d'administration de l'hôte.",
    ),
    (
        r"host key verification failed|remote host identification has changed",
        "la clé d'hôte SSH n'est pas celle qui est connue",
        "Vérifier que la machine est bien la bonne (réinstallation ?), puis mettre à jour known_hosts.",
    ),
    (
        r"could not resolve|name or service not known",
        "le nom de l'hôte est introuvable",
        "Corriger l'adresse de l'hôte dans le fichier de la commune.",
    ),
    (
        r"connection refused",
        "l'hôte répond mais refuse la connexion SSH",
        "Vérifier que le service SSH est démarré sur l'hôte.",
    ),
    (
        r"timed out|timeout|no route to host|network is unreachable|not responding|banner exchange",
        "l'hôte ne répond pas",
        "Vérifier que la machine est allumée et reliée au réseau de la commune.",
    ),
    (
        r"broken pipe|connection (?:reset|closed)|closed by remote|shared connection",
        "la connexion à l'hôte a été coupée",
        "Vérifier que la machine est allumée et que son lien réseau est stable.",
    ),
    *_OF_THE_HOST,
)


# What ssh, or who waits for it after a restart, says of a host that had answered before.
_SSH = r"\bssh\b|shared connection|privilege escalation|transfer file|timed out waiting for"


def explain(message: str, *, reached: bool = False) -> tuple[str, str]:
    """Say a failure of SSH or Ansible in French.

    Args:
        reached: the host answered. What a task of it says of another machine (a Debian mirror, a site that is away) is
            then not taken for what ssh says of the host.

    Returns:
        (reason, fix); a message that is not known is given as it is.
    """
    of_ssh = not reached or re.search(_SSH, message, re.IGNORECASE)
    for pattern, reason, remedy in (*_OF_WINDOWS, *(_EXPLANATIONS if of_ssh else _OF_THE_HOST)):
        if found := re.search(pattern, message, re.DOTALL | re.IGNORECASE):
            return clean(found.expand(reason)), remedy
    return clean(" ".join(message.split()))[:1000] or "échec sans message", "Corriger la cause indiquée, puis relancer."


def failure_message(result: Mapping[str, Any]) -> str:
    """The most telling message of a failed result."""
    items = result.get("results")
    for item in items if isinstance(items, list) else ():
        # ansible-core 2.21 leaves « failed » out of what callbacks are told of an item.
        if isinstance(item, Mapping) and (item.get("failed") or item.get("unreachable") or "exception" in item):
            return failure_message(item)
    if "censored" in result:
        return "détail masqué, car il contient un secret"
    message = str(result.get("msg") or "")
    if not message or "non-zero return code" in message or message.startswith("MODULE FAILURE"):
        said = str(result.get("stderr") or result.get("module_stderr") or result.get("stdout") or "")
        message = f"{message} {said[-400:]}".strip()
    for prefix in ("Task failed: ", "Action failed: ", "Module failed: "):
        message = message.removeprefix(prefix)
    return message
