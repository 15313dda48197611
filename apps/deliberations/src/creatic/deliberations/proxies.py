"""Pouvoirs that élus write in their own space (CGCT, L2121-20), without Plone.

A member who cannot come gives a colleague, in writing, the power to vote for them; a member bears one alone; it can be
taken back at any time; it holds for three meetings in a row at most, but for an illness that was duly established. Here
each is written for one meeting, under its giver's own login; it counts once who keeps the attendance noted it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_CONSECUTIVE_PROXIES = 3


@dataclass(frozen=True)
class Written:
    """A pouvoir: to whom, when (ISO 8601, UTC), whether its giver says to be ill, when it was taken back, or ""."""

    holder: str
    when: str
    ill: bool = False
    revoked: str = ""


def borne(holder: str, written: Mapping[str, Written], noted: Mapping[str, str]) -> str:
    """Whose pouvoir a member bears already; "" for nobody's.

    Args:
        holder: the member.
        written: what is written on the site, by giver.
        noted: what is noted in the meeting: giver and holder.
    """
    live = {giver: one.holder for giver, one in written.items() if not one.revoked}
    return next((giver for giver, to in (live | dict(noted)).items() if to == holder), "")


def problem(
    giver: str,
    holder: str,
    ill: bool,
    council: Sequence[str],
    written: Mapping[str, Written],
    noted: Mapping[str, str],
    before: Sequence[Mapping[str, str]],
) -> str:
    """Why a pouvoir cannot be given, in French; "" when it can.

    Args:
        giver: who cannot come.
        holder: to whom.
        ill: whether the giver says to be ill.
        council: who is convened.
        written: as `borne`.
        noted: as `borne`.
        before: pouvoirs of the meetings before this one, latest first: giver and holder.
    """
    if holder == giver or holder not in council:
        return "Choisissez un autre membre du conseil, convoqué à cette séance."
    other = borne(
        holder,
        {name: one for name, one in written.items() if name != giver},
        {name: to for name, to in noted.items() if name != giver},
    )
    if other:
        return f"{holder} a déjà le pouvoir de {other} : un élu n'en porte qu'un (L2121-20). Choisissez-en un autre."
    row = before[:MAX_CONSECUTIVE_PROXIES]
    if not ill and len(row) == MAX_CONSECUTIVE_PROXIES and all(giver in one for one in row):
        return (
            "Vous étiez représenté aux trois séances précédentes : un pouvoir ne vaut pas pour plus de trois séances "
            "de suite, sauf maladie dûment constatée (L2121-20). Si c'est le cas, cochez-le, et donnez le justificatif "
            "à la mairie."
        )
    return ""
