"""The nomenclature that the lab's préfecture gives out: our own, small, in the form of the real ones."""

from __future__ import annotations

from datetime import date

from lxml import etree

from . import messages

NATURES = {
    1: "Délibérations",
    2: "Actes réglementaires",
    3: "Actes individuels",
    4: "Contrats, conventions et avenants",
    5: "Documents budgétaires et financiers",
    6: "Autres",
}
ABBREVIATIONS = {1: "DE", 2: "AR", 3: "AI", 4: "CC", 5: "BF", 6: "AU"}

# nature  code   label; the first type of a nature is the act itself
_DOCUMENT_TYPES = """
1 99_DE Délibération
1 21_RP Rapport de présentation
1 22_NE Note explicative de synthèse
1 70_DB Délibération budgétaire
2 99_AR Acte réglementaire
2 21_RP Rapport de présentation
2 61_PL Plan de situation
3 99_AI Acte individuel
3 41_NC Notification de création ou de vacance de poste
3 42_AT Attestation
4 99_DC Contrat ou convention
4 11_AV Avenant
4 11_CC Cahier des charges
5 99_BU Document budgétaire
5 70_MA Maquette budgétaire
5 70_NB Note brève de présentation
* 99_AU Autre document
* 99_SE Fichier de signature électronique
"""

_MATTERS = """
1 Commande publique
1.1 Marchés publics
1.1.1 Délibérations et décisions
1.1.2 Pièces constitutives du marché
1.2 Délégations de service public
1.4 Autres contrats
2 Urbanisme
2.1 Documents d'urbanisme
2.1.1 Élaboration et révision
2.1.2 Modification
2.2 Droit d'occupation et d'utilisation des sols
2.3 Droit de préemption urbain
3 Domaine et patrimoine
3.1 Acquisitions
3.2 Aliénations
3.3 Locations
3.5 Autres actes de gestion du domaine
4 Fonction publique
4.1 Personnel titulaire
4.2 Personnel contractuel
4.5 Régime indemnitaire
5 Institutions et vie politique
5.1 Élection de l'exécutif
5.2 Fonctionnement des assemblées
5.2.1 Règlement intérieur
5.2.2 Procès-verbaux
5.3 Désignation de représentants
5.4 Délégations de fonctions et de signature
5.7 Intercommunalité
5.7.1 Statuts
5.7.2 Conventions de coopération
6 Libertés publiques et pouvoirs de police
6.1 Police municipale
6.1.1 Circulation et stationnement
6.1.2 Manifestations
6.4 Autres actes réglementaires
7 Finances locales
7.1 Décisions budgétaires
7.1.1 Budgets et comptes
7.1.2 Délibérations relatives au budget
7.2 Fiscalité
7.3 Emprunts
7.5 Subventions
7.10 Divers
8 Domaines de compétences par thèmes
8.1 Enseignement
8.2 Aide sociale
8.5 Politique de la ville, habitat, logement
8.8 Environnement
8.9 Culture
9 Autres domaines de compétences
9.1 Communes
9.4 Vœux et motions
"""

OUTDATED = date(2019, 3, 1)
"""Date of the former version, which lacks the matter 8.8."""


def in_force(today: date) -> date:
    """Return the date of the version that the préfecture accepts: the first of January."""
    return date(today.year, 1, 1)


def matters(version: date) -> dict[str, str]:
    """Return the labels of a version by dotted code (« 7.1 »), parents before children."""
    listed = dict(line.split(" ", 1) for line in _MATTERS.strip().splitlines())
    if version <= OUTDATED:
        del listed["8.8"]
    return listed


def document_types(nature: int) -> dict[str, str]:
    """Return the labels of the documents that a nature accepts, by code."""
    lines = [line.split(" ", 2) for line in _DOCUMENT_TYPES.strip().splitlines()]
    return {code: label for owner, code, label in lines if owner in (str(nature), "*")}


def xml(version: date) -> bytes:
    """Return a version as a RetourClassification message, in ISO-8859-1."""
    root = messages.element("RetourClassification")
    messages.sub(root, "DateClassification", version.isoformat())
    natures = messages.sub(root, "NaturesActes")
    for code, label in NATURES.items():
        nature = messages.sub(natures, "NatureActe", CodeNatureActe=code, Libelle=label, TypeAbrege=ABBREVIATIONS[code])
        for type_code, type_label in document_types(code).items():
            messages.sub(nature, "TypePJNatureActe", CodeTypePJ=type_code, Libelle=type_label)
    parents: dict[str, etree._Element] = {"": messages.sub(root, "Matieres")}
    for dotted, label in matters(version).items():
        above, _, last = dotted.rpartition(".")
        level = dotted.count(".") + 1
        parents[dotted] = messages.sub(parents[above], f"Matiere{level}", CodeMatiere=last, Libelle=label)
    return messages.serialize(root)
