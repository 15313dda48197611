"""The nomenclature of ACTES, without Plone: two levels for the whole country, in words; a préfecture may add more.

A matter is chosen by its label. One of a third level or beyond is taken where its first two are known: the préfecture's
own list, which the connector checks before anything leaves, says whether it is there.
"""

from __future__ import annotations

from creatic.deliberations import rules

LABELS = {
    "1.1": "Marchés publics",
    "1.2": "Délégations de service public",
    "1.3": "Conventions de mandat",
    "1.4": "Autres types de contrats",
    "1.5": "Transactions, protocoles d'accord transactionnel",
    "1.6": "Actes relatifs à la maîtrise d'œuvre",
    "1.7": "Actes spéciaux et divers",
    "2.1": "Documents d'urbanisme",
    "2.2": "Actes relatifs au droit d'occupation ou d'utilisation des sols",
    "2.3": "Droit de préemption urbain",
    "3.1": "Acquisitions",
    "3.2": "Aliénations",
    "3.3": "Locations",
    "3.4": "Limites territoriales",
    "3.5": "Autres actes de gestion du domaine public",
    "3.6": "Autres actes de gestion du domaine privé",
    "4.1": "Personnels titulaires et stagiaires de la fonction publique territoriale",
    "4.2": "Personnels contractuels",
    "4.3": "Fonction publique hospitalière",
    "4.4": "Autres catégories de personnels",
    "4.5": "Régime indemnitaire",
    "5.1": "Élection de l'exécutif",
    "5.2": "Fonctionnement des assemblées",
    "5.3": "Désignation de représentants",
    "5.4": "Délégations de fonctions",
    "5.5": "Délégations de signature",
    "5.6": "Exercice des mandats locaux",
    "5.7": "Intercommunalité",
    "5.8": "Décisions d'ester en justice",
    "6.1": "Police municipale",
    "6.2": "Pouvoirs du président du conseil départemental",
    "6.3": "Pouvoirs du président du conseil régional",
    "6.4": "Autres actes réglementaires",
    "6.5": "Actes pris au nom de l'État et soumis au contrôle hiérarchique",
    "7.1": "Décisions budgétaires",
    "7.2": "Fiscalité",
    "7.3": "Emprunts",
    "7.4": "Interventions économiques",
    "7.5": "Subventions",
    "7.6": "Contributions budgétaires",
    "7.7": "Avances",
    "7.8": "Fonds de concours",
    "7.9": "Prises de participation",
    "7.10": "Divers",
    "8.1": "Enseignement",
    "8.2": "Aide sociale",
    "8.3": "Voirie",
    "8.4": "Aménagement du territoire",
    "8.5": "Politique de la ville, habitat, logement",
    "8.6": "Emploi, formation professionnelle",
    "8.7": "Transports",
    "8.8": "Environnement",
    "8.9": "Culture",
    "9.1": "Autres domaines de compétences des communes",
    "9.2": "Autres domaines de compétences des départements",
    "9.3": "Autres domaines de compétences des régions",
    "9.4": "Vœux et motions",
}
_DEPTH = 2
USUAL = "9.1"


def is_known(code: str) -> bool:
    """Whether a code is one of the nomenclature, or below one."""
    return bool(rules.MATTER.fullmatch(code)) and above(code) in LABELS


def above(code: str) -> str:
    """The first two levels of a code: those that the whole country has."""
    return ".".join(code.split(".")[:_DEPTH])


def title(code: str) -> str:
    """A matter in words: 7.5 – Finances locales : Subventions; the code alone of what is not known."""
    if not is_known(code):
        return code
    return f"{code} – {rules.MATTERS[code[0]]} : {LABELS[above(code)]}"


def listed(present: str = "") -> dict[str, str]:
    """All that is chosen from, in order, with what an act has at present when it is a finer one."""
    codes = [*LABELS, *([present] if present and present not in LABELS else [])]
    codes.sort(key=lambda code: [int(part) for part in code.split(".") if part.isdecimal()])
    return {code: title(code) for code in codes}
