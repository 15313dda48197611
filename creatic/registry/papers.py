# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What no machine knows and documents for auditors say: persons, partners (creatic_documents, fab documents).

What is not given is written « à compléter » in the documents, with the name of its field here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from creatic.registry.checked_yaml import Problem

NAME = "creatic_documents"
FILE = "group_vars/all.yml"
FIELDS: Mapping[str, str] = {
    "representant": "nom et qualité de qui représente le groupement",
    "archives_departementales": "direction des Archives départementales qui exerce le contrôle",
    "delegue": "délégué à la protection des données, et comment le joindre",
    "hebergeur": "hébergeur des machines, et où elles sont",
    "tiers_transmission": "tiers de télétransmission",
    "hors_union": "transferts de données hors de l'Union européenne, ou « aucun »",
    "autorite_homologation": "nom et qualité de l'autorité d'homologation",
    "astreinte": "qui prévenir en cas d'incident, et comment",
    "information": "où et comment les personnes concernées sont informées",
    "duree_parapheur": "durée de conservation au parapheur, après la fin d'un circuit",
    "duree_journaux": "durée de conservation des journaux et des sessions enregistrées",
    "moyens_agents": "agents de l'archivage : combien, et quel temps",
    "competences_agents": "compétences des agents de l'archivage, et leur formation",
    "cout_fonctionnement": "coût de fonctionnement de l'archivage, par an",
    "cout_methode": "méthode qui détermine ce coût et le répartit entre les membres",
    "certification_nf461": "certificat NF 461 : numéro et fin, ou « aucun »",
}
"""Each field, with what it is (French)."""
MAX_FIELD_LENGTH = 300
"""Characters of a field."""


def usable_fields(value: Any) -> dict[str, str]:
    """The fields that are usable; see `problems` for the others."""
    if not isinstance(value, Mapping):
        return {}
    return {
        name: text.strip()
        for name, text in value.items()
        if name in FIELDS and not _field_fault(text) and "{{" not in text
    }


def problems(value: Any) -> list[Problem]:
    """What is wrong with the variable; None when the inventory does not give it."""
    if value is None:
        return []
    if not isinstance(value, Mapping):
        return [
            Problem(
                FILE,
                None,
                NAME,
                "ce n'est pas une liste de champs",
                f"écrivez {NAME}: puis un champ par ligne, comme inventories/example",
            )
        ]
    found = []
    for name, text in value.items():
        if name not in FIELDS:
            found.append(Problem(FILE, None, f"{NAME}.{name}", "champ inconnu", f"champs : {', '.join(FIELDS)}"))
        elif why := _field_fault(text):
            found.append(Problem(FILE, None, f"{NAME}.{name}", why, f"écrivez entre guillemets : {FIELDS[name]}"))
    return found


def _field_fault(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        return "un texte est attendu"
    return f"plus de {MAX_FIELD_LENGTH} signes" if len(text) > MAX_FIELD_LENGTH else ""
