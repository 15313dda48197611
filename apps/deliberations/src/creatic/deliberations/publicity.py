"""What of an institution goes on line, without Plone: by its kind, as the communes' files give it, never by its name.

A council of a commune, or of a syndicat, puts its lists and procès-verbaux on line (CGCT, L2121-15, L2121-25, L5211-1).
Those whose deliberations say who is helped do not: what concerns who asks for aid is under professional secrecy (CASF,
L133-5; code pénal, 226-13; CADA, 20121509), and the articles on lists are not read as theirs. A kind that is not known
is one of them. Messages are French.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from creatic_agent import law

LAW = "CASF, L133-5 ; code pénal, 226-13"
NOTHING_ALONE = (
    f"Ce conseil décide d'aides à des personnes, sous le secret professionnel ({LAW}) : rien n'est mis en ligne de "
    "soi-même, ni liste des délibérations ni procès-verbal"
)
INDIVIDUAL = (
    f"Une décision individuelle (aide, secours, admission…) n'est jamais mise en ligne ({LAW}) : elle se notifie à "
    "la personne. À faire : cochez « aucune personne n'est concernée » si c'est le cas (budget, tarif, règlement…)"
)


def is_open(kind: str | None, helps: bool = True) -> bool:
    """Whether lists and procès-verbaux of an institution go on line.

    Args:
        kind: as the communes' files give it; nothing when it is not known.
        helps: whether its council decides of aid to people; it does unless its file says that it does not.
    """
    known = law.rows(kind or "")
    if not known:
        return False
    said = known[0].open.value
    return said if said is not None else helps is False


def of(chain: Iterable[Any]) -> bool:
    """Whether the lists and procès-verbaux of an object's institution go on line.

    Args:
        chain: the object and what it is in, from it outwards; in no institution, nothing goes.
    """
    found = next((one for one in chain if getattr(one, "portal_type", "") == "Institution"), None)
    own = getattr(found, "aq_base", found)
    return is_open(getattr(own, "creatic_type", None), getattr(own, "creatic_aides", True))


def by_hand(is_public: bool, document: str, state: str) -> str:
    """Say why a publication that a person makes is not put on line, or "".

    Args:
        is_public: see `is_open`.
        document: what sort of act it is said to be.
        state: that it would have; planned, a clock puts it on line.
    """
    if is_public or (state == "published" and document not in ("liste", "proces_verbal")):
        return ""
    return NOTHING_ALONE[0].lower() + NOTHING_ALONE[1:]


def may_go(is_public: bool, collective: bool) -> bool:
    """Whether one act may be put on line, once a person chose it.

    Args:
        is_public: see `is_open`.
        collective: whether that person said that it concerns nobody in particular.
    """
    return is_public or collective is True
