"""What an act is to others, and what is said of one that is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from creatic_agent import budget
from creatic_agent.act import GOES, STAYS, Act
from creatic_agent.errors import CreaticError

# Of each circuit of acts: nature and type of document for the préfecture; type and folder in the document store.
NATURES = {
    "deliberation": ("1", "99_DE", "Délibération", ("Assemblées", "Délibérations")),
    "arrete": ("2", "99_AR", "Arrêté", ("Actes réglementaires", "Arrêtés du maire")),
    "marche": ("4", "99_DC", "Marché public", ("Finances", "Marchés publics")),
}
CONTRACT = "marche"
# What the maire decides by delegation of the council (CGCT, L2122-22): for the préfecture it is « Autres », 6.
DECISION = "D"
INDIVIDUAL = "3"
# Natures that an arrêté may have, as who prepares it says: nature and type of document for the préfecture, and words.
ARRETES = {
    "2": ("2", "99_AR", "Acte réglementaire"),
    INDIVIDUAL: ("3", "99_AI", "Acte individuel"),
    "6": ("6", "99_AU", "Autre acte"),
    DECISION: ("6", "99_AU", "Décision prise par délégation du conseil (CGCT, L2122-22)"),
}


def unsaid(act: Act) -> str:
    """Why an act may neither leave nor stay yet, or "": of an arrêté, what it is has to be said by who prepares it."""
    if act.circuit != "arrete" or (act.nature in ARRETES and act.transmission in (GOES, STAYS)):
        return ""
    return (
        "Personne n'a dit la nature de cet arrêté, ni s'il est à transmettre (CGCT, L2131-2) : rien ne part. À faire, "
        "sur la passerelle, avec la commune : passerelle qualifier RÉFÉRENCE --nature 2|3|6|D --transmission oui|non"
    )


def unsigned(act: Act, track: Mapping[str, Any]) -> str:
    """Why an act may not leave for want of a signature, or "".

    What a server of the groupement brought (a délibération that was adopted, a dossier of the parapheur) leaves once
    the parapheur checked its signature and gave it back. What operations deposit by hand came signed from elsewhere.
    """
    if track.get("signe") or not (act.uid or "dossier" in track):
        return ""
    return (
        "Cet acte n'est pas signé : la commune n'a pas de parapheur, et rien ne part à la préfecture sans signature "
        "(CGCT, L2121-23 et L2131-1 ; CRPA, L212-1). À faire : ajoutez « parapheur » aux services de son fichier, "
        "déployez, puis passerelle relancer RÉFÉRENCE"
    )


def nature(act: Act) -> tuple[str, str]:
    """Nature and type of document for the préfecture."""
    if act.budget:
        return budget.NATURE, budget.TYPE
    code, kind, _type, _cabinet = NATURES[act.circuit]
    said = act.nature if act.circuit == "arrete" else ""
    return ARRETES[said][:2] if said in ARRETES else (code, kind)


def words(act: Act) -> str:
    """The nature of an act, as people read it."""
    said, named = act.nature if act.circuit == "arrete" else "", NATURES.get(act.circuit)
    return ARRETES[said][2] if said in ARRETES else named[2] if named else "Flux comptable"


def lowered(text: str) -> str:
    """The same, to be read inside a sentence."""
    return text[:1].lower() + text[1:]


# What the connector says of what ends badly.
FAILED = ("refusee", "en_erreur")


class BadRequest(CreaticError, cause="demande"):
    """What was sent is refused; `status` is HTTP's. The text is French."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
