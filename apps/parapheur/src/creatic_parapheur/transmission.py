"""What of the arrêtés goes to the préfecture: who prepares one says its nature and whether it goes, never a rule.

CGCT, L2131-2 tells what is transmitted. A matter alone does not decide: the list below proposes, in the words of that
article as they were read; what it leaves open is asked of the préfecture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from creatic_agent.configuration import Key, Whole

# Natures of the préfecture's nomenclature that an arrêté may have; a décision (D) goes there as 6, « Autres ».
NATURES = {
    "2": "Acte réglementaire",
    "3": "Acte individuel",
    "6": "Autre acte",
    "D": "Décision prise par délégation du conseil (CGCT, L2122-22)",
}
GOES, STAYS = "oui", "non"
CHOICES = {GOES: "À transmettre à la préfecture", STAYS: "Non transmissible (CGCT, L2131-2)"}
_NUMBER = re.compile(r"([A-Z0-9][A-Z0-9_]{0,13})?[A-Z0-9]")  # @ctes, as the connector checks it
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
    elif not _NUMBER.fullmatch(number):
        yield (
            f"numero : « {number[:20]} » ne convient pas à la préfecture ; 15 caractères au plus "
            "parmi A-Z, 0-9 et _, par exemple 2026_112"
        )


@dataclass(frozen=True)
class Threshold:
    """Under which a public contract is not transmitted (CGCT, L2131-2, I, 4°): a setting of the groupement.

    Attributes:
        euros: without tax; 0 when it is not set, and every contract is transmitted.
        source: article that sets it, and since when.
    """

    euros: Whole = 0
    source: Annotated[str, Key("texte")] = "CGCT, L2131-2, I, 4°"

    def __str__(self) -> str:
        return f"{euros(Decimal(self.euros))} ({self.source})"


_AMOUNT = re.compile(r"\d{1,12}([.,]\d{1,2})?")


def amount(text: str) -> Decimal | None:
    """An amount in euros as somebody wrote it, None for nothing. Raises ValueError, in French."""
    plain = re.sub(r"[\s\u202f€]+", "", text.removesuffix("HT"))
    if not plain:
        return None
    if not (plain.isascii() and _AMOUNT.fullmatch(plain)):
        raise ValueError(f"montant : « {text[:40]} » n'est pas un montant ; écrivez par exemple 215999,99")
    return Decimal(plain.replace(",", "."))


def euros(value: Decimal) -> str:
    """An amount, as people read it."""
    whole = f"{value:,.2f}".replace(",", "\u202f").replace(".", ",").removesuffix(",00")
    return f"{whole} € HT"


def contract_goes(matter: str, value: Decimal | None, threshold: Threshold) -> bool:
    """Whether a public contract is transmitted (CGCT, L2131-2, I, 4°): a person says enough for it to be known.

    One with a matter goes, whatever its amount: concessions and loans have no threshold. Raises ValueError, in French:
    nothing can be concluded yet.
    """
    if matter:
        return True
    if value is None:
        raise ValueError(
            f"montant : écrivez celui du marché, en euros hors taxes. À partir de {threshold}, il se transmet"
        )
    if not threshold.euros or value >= threshold.euros:
        since = f"{euros(value)}, à partir de {threshold}," if threshold.euros else "sans seuil réglé, tout contrat"
        raise ValueError(f"matiere : {since} se transmet ; écrivez la matière de la nomenclature, par exemple 1.1")
    return False
