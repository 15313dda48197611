"""What an act is to others, and what is said of one that is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of each circuit of acts: nature and type of document for the préfecture; type and folder in the document store.
NATURES = {
    "deliberation": ("1", "99_DE", "Délibération", ("Assemblées", "Délibérations")),
    "arrete": ("2", "99_AR", "Arrêté", ("Actes réglementaires", "Arrêtés du maire")),
    "marche": ("4", "99_DC", "Marché public", ("Finances", "Marchés publics")),
}
# Natures that an arrêté may have, as who prepares it says: type of document for the préfecture, and words.
ARRETES = {"2": ("99_AR", "Acte réglementaire"), "3": ("99_AI", "Acte individuel"), "6": ("99_AU", "Autre acte")}
STAYS = "non"


def goes(data: Mapping[str, Any]) -> bool:
    """Whether an act is for the préfecture (CGCT, L2131-2)."""
    return data.get("transmission") != STAYS


def unsaid(data: Mapping[str, Any]) -> str:
    """Why an act may neither leave nor stay yet, or "": of an arrêté, what it is has to be said by who prepares it."""
    if data.get("circuit") != "arrete":
        return ""
    if data.get("nature") in ARRETES and data.get("transmission") in ("oui", STAYS):
        return ""
    return (
        "Personne n'a dit la nature de cet arrêté, ni s'il est à transmettre (CGCT, L2131-2) : rien ne part. À faire, "
        "sur la passerelle, avec la commune : passerelle qualifier RÉFÉRENCE --nature 2|3|6 --transmission oui|non"
    )


def nature(data: Mapping[str, Any]) -> tuple[str, str]:
    """Nature and type of document for the préfecture."""
    code, kind, _type, _cabinet = NATURES[data["circuit"]]
    said = str(data.get("nature") or "") if data["circuit"] == "arrete" else ""
    return (said, ARRETES[said][0]) if said in ARRETES else (code, kind)


# What the connector says of what ends badly.
FAILED = ("refusee", "en_erreur")


class BadRequest(Exception):
    """What was sent is refused; `status` is HTTP's. The text is French."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
