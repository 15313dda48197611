"""What stops a signature or refuses a signed file."""

from __future__ import annotations


class Refusal(Exception):
    """The file, the token or the signature is refused; the message is French and says what to do."""


def unread(name: str, error: Exception) -> Refusal:
    """What a parser that gave up comes to: nothing is said of the file but that it cannot be read here."""
    return Refusal(
        f"{name} : ce fichier ne se lit pas ici ({type(error).__name__}). À faire : signez de nouveau le document que "
        "donne le parapheur, avec « signer-acte » ; si cela ne suffit pas, prévenez le groupement"
    )
