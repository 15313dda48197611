"""What of the arrêtés goes to the préfecture: who prepares one says its nature and whether it goes, never a rule.

CGCT, L2131-2 tells what is transmitted. A matter alone does not decide: the list below proposes, in the words of that
article as they were read; what it leaves open is asked of the préfecture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Natures of the préfecture's nomenclature that an arrêté may have; a décision (D) goes there as 6, « Autres ».
NATURES = {
    "2": "Acte réglementaire",
    "3": "Acte individuel",
    "6": "Autre acte",
    "D": "Décision prise par délégation du conseil (CGCT, L2122-22)",
}
GOES, STAYS = "oui", "non"
CHOICES = {GOES: "À transmettre à la préfecture", STAYS: "Non transmissible (CGCT, L2131-2)"}
_ACT_NUMBER_PATTERN = re.compile(r"([A-Z0-9][A-Z0-9_]{0,13})?[A-Z0-9]")  # @ctes, as the connector checks it
# L2131-2, I, 2°: what stays of the maire's police.
_POLICE_THAT_STAYS = "circulation et stationnement, débits de boissons d'associations lors de leurs manifestations"
# Beginning of the matter, what it is about, what goes, what does not.
PROPOSALS = (
    ("2", "urbanisme", "permis et autres autorisations d'utilisation du sol", ""),
    ("3", "domaine", "règlements", "permissions de voirie et droits de stationnement"),
    ("4", "fonction publique", "nomination, recrutement, licenciement", "avancement, congés, besoin saisonnier"),
    ("5.4", "délégations de fonctions", "toutes", ""),
    ("5.5", "délégations de signature", "toutes", ""),
    ("6.1", "police municipale", "toute autre mesure de police", _POLICE_THAT_STAYS),
    ("6", "pouvoirs de police", "mesures de police", _POLICE_THAT_STAYS),
    ("7", "finances locales", "régies, tarifs", ""),
)
_OTHERWISE = ("", "autres matières", "actes réglementaires", "actes individuels que l'article ne cite pas")


def proposal(matter: str) -> str:
    """What is proposed for a matter, in a sentence."""
    _start, name, goes, stays = next(
        (one for one in PROPOSALS if matter == one[0] or matter.startswith(f"{one[0]}.")), _OTHERWISE
    )
    return f"{name} : à transmettre, {goes}" + (f" ; non transmissible, {stays}" if stays else "")


def problems(nature: str, transmission: str, matter: str) -> Iterator[str]:
    """What is wrong with what was said of an arrêté, in French."""
    if nature not in NATURES:
        known = ", ".join(f"{code} ({name[:1].lower()}{name[1:]})" for code, name in NATURES.items())
        yield f"nature : « {nature[:20]} » n'est pas celle d'un arrêté ; choisissez parmi {known}"
    if transmission not in CHOICES:
        yield (
            f"transmission : dites si cet arrêté part à la préfecture ({GOES} ou {STAYS} ; CGCT, L2131-2). "
            f"Proposition, {proposal(matter)}"
        )


def number_problems(circuit: str, transmission: str, number: str) -> Iterator[str]:
    """What is wrong with the number of an act, in French: of an arrêté that stays, any that the register gives it."""
    if circuit == "arrete" and transmission == STAYS:
        if not number.strip():
            yield "numero : champ obligatoire absent ; écrivez celui du registre des arrêtés (CGCT, R2122-7)"
    elif not _ACT_NUMBER_PATTERN.fullmatch(number):
        yield (
            f"numero : « {number[:20]} » ne convient pas à la préfecture ; 15 caractères au plus "
            "parmi A-Z, 0-9 et _, par exemple 2026_112"
        )
