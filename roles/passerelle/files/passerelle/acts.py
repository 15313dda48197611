"""What an act is to others, and what is said of one that is refused."""

from __future__ import annotations

# Of each circuit of acts: nature and type of document for the préfecture; type and folder in the document store.
NATURES = {
    "deliberation": ("1", "99_DE", "Délibération", ("Assemblées", "Délibérations")),
    "arrete": ("2", "99_AR", "Arrêté", ("Actes réglementaires", "Arrêtés du maire")),
    "marche": ("4", "99_DC", "Marché public", ("Finances", "Marchés publics")),
}
# What the connector says of what ends badly.
FAILED = ("refusee", "en_erreur")


class BadRequest(Exception):
    """What was sent is refused; `status` is HTTP's. The text is French."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
