"""Subjects as the public reads them: what a person of the commune confirmed, one by one; else a line that names nobody.

Kept on the projet: who confirmed which text, when, for which title. Copies do not take it along.
"""

from __future__ import annotations

import datetime
from typing import Any

from creatic.deliberations import naming, watch
from plone import api

MAX_SUBJECT_LENGTH = 500  # characters
_CONFIRMED, _PROPOSED = "creatic_objet", "creatic_objet_propose"


def confirmed(projet: Any) -> dict[str, Any] | None:
    """`texte`, `par` and `le` (ISO 8601, UTC) of its confirmation; None without one, or once its title changed."""
    found: dict[str, Any] | None = getattr(projet.aq_base, _CONFIRMED, None)
    return found if naming.stands(found, projet.title) else None


def public(projet: Any) -> str:
    """Its subject as the public reads it."""
    found = confirmed(projet)
    return found["texte"] if found else naming.UNREAD


def proposed(projet: Any) -> str:
    """What a form shows: what was written last, what was confirmed, else its title."""
    written = getattr(projet.aq_base, _PROPOSED, None)
    known = confirmed(projet)
    return str(written or (known["texte"] if known else projet.title))


def tidy(text: Any) -> str:
    """A subject as it is kept."""
    return " ".join(str(text or "").split())[:MAX_SUBJECT_LENGTH]


def propose(projet: Any, text: str) -> None:
    """Keep a subject that is still to be confirmed."""
    if text and text != proposed(projet):
        setattr(projet, _PROPOSED, text)


def confirm(projet: Any, text: str, seen: str) -> None:
    """Note that a person read this text and found nobody in it whose name may not be published.

    Args:
        projet: that it is the subject of.
        text: as the public will read it.
        seen: digest of the text that their page showed, with what looks like a name in it.

    Raises:
        ValueError: it is empty, or names somebody whom the page did not show.
    """
    label = f"Objet n° {projet.numero}" if projet.numero else "Objet publié"
    if not text:
        raise ValueError(f"{label} : il est vide")
    propose(projet, text)
    if names := naming.unseen(text, seen):
        raise ValueError(
            f"{label} : le texte a changé et semble nommer {naming.quoted(names)}. À faire : relisez-le, puis "
            "confirmez-le de nouveau"
        )
    known = confirmed(projet)
    if known and known["texte"] == text:
        return
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    kept = {"texte": text, "empreinte": naming.digest(projet.title, text), "le": now}
    setattr(projet, _CONFIRMED, kept | {"par": str(api.user.get_current().getId())})
    setattr(projet, _PROPOSED, None)
    watch.note(projet, f"Objet publié confirmé : {text}")
