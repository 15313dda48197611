"""What stops a signature or refuses a signed file.

Three words, never one for another: what was altered, what is not read here, what no rule of ours takes.
"""

from __future__ import annotations

from creatic_agent.errors import CreaticError

BROKEN = "la signature est abîmée ou fausse"
ALTERED = f"{BROKEN} : le document a été modifié après la signature, ou pendant l'envoi"
UNREADABLE = "la signature ne se lit pas ici"
UNFIT = "la signature n'est pas admise ici"
_SIGN_AGAIN = (
    "signez de nouveau le document que donne le parapheur, avec « signer-acte », ou demandez à qui l'a signé de le "
    "refaire (PAdES, pour un PDF)"
)


class DocumentRefusedError(CreaticError, cause="refus"):
    """The file, the token or the signature is refused; the message is French and says what to do."""


def unread(name: str, error: Exception, remedy: str = _SIGN_AGAIN) -> DocumentRefusedError:
    """What a parser that gave up comes to: nothing is said of the file but that it cannot be read here."""
    return DocumentRefusedError(
        f"{name} : ce fichier ne se lit pas ici ({type(error).__name__}). À faire : {remedy} ; si cela ne suffit pas, "
        "prévenez le groupement. Cela ne dit rien contre le document"
    )
