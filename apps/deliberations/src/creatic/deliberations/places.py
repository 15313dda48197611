"""Where an object is: its meeting, its commune, and what documents call them."""

from __future__ import annotations

from typing import Any

from creatic.deliberations import publicity

from creatic_agent import law
from creatic_agent.writing import of_commune

MEETINGS = "seances"
ON_AGENDA = ("inscrit", "adopte", "rejete", "publie", "ajourne", "retire")


def names(commune: Any) -> dict[str, str]:
    """What documents call a commune, or an entity that one hosts: `organisme`, its `conseil`, `qualite` of its head."""
    return {
        "organisme": getattr(commune, "creatic_organisme", None) or f"Commune {of_commune(commune.title)}",
        "conseil": getattr(commune, "creatic_conseil", None) or "conseil municipal",
        "qualite": getattr(commune, "creatic_qualite", None) or "maire",
    }


def commune_of(context: Any) -> Any:
    """The commune's institution above an object, or None."""
    return next((one for one in context.aq_chain if getattr(one, "portal_type", "") == "Institution"), None)


def law_of(context: Any) -> law.Body:
    """What the law asks of the body that an object is of: by its kind, and by the two populations of its commune."""
    own = commune_of(context)
    people, published = (int(getattr(own, f"creatic_{one}", None) or 0) for one in ("habitants", "habitants_publicite"))
    return law.of(str(getattr(own, "creatic_type", None) or ""), people, published)


def goes_on_line(context: Any) -> bool:
    """Whether the lists and procès-verbaux of an object's institution go on line: not of a CCAS, nor of what nobody
    knows the kind of."""
    return publicity.of(context.aq_chain)


def meeting_of(context: Any) -> Any:
    """The meeting an object is of, or None."""
    return next((one for one in context.aq_chain if getattr(one, "portal_type", "") == "seance"), None)
