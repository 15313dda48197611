"""How long before a meeting its convocation leaves, without Plone: clear days, by the commune's size.

CGCT L2121-11 (under 3,500 inhabitants), L2121-12 (from 3,500 on), L2121-17 (second convocation), L2121-7 (first meeting
after a renewal). The council of an entity that a commune hosts has a rule of its own kind: see `ENTITIES`. Messages are
French.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from creatic.deliberations import rules
from creatic.deliberations.publicity import COMMUNE

LARGE = 3500
_SMALL_DAYS, _LARGE_DAYS, _URGENT_DAYS = 3, 5, 1
ENTITIES = {"ccas": (3, "R123-16 du CASF"), "syndicat": (_LARGE_DAYS, "L5211-1")}
"""Clear days of each kind of entity, and the article. R123-16 says three days at least: they are taken as clear ones.

L5211-1 sends to L2121-12. No text tells of the others (caisse des écoles): five, unless their own rules, in the file of
the commune, say otherwise.
"""
_OWN_RULES = "ses statuts ou son règlement intérieur"
_RENEWAL_DAYS, _RENEWAL = 3, "L2121-7"
_FRIDAY, _SUNDAY = 5, 7  # days after a poll, from which to which the new council first meets


def is_large(people: int) -> bool:
    """Whether the rules of 3,500 inhabitants and more hold: they do where the number is not known (0)."""
    return people == 0 or people >= LARGE


@dataclass(frozen=True)
class Delay:
    """Clear days between a convocation and its meeting, and the article that asks for them."""

    days: int
    article: str

    @property
    def law(self) -> str:
        """The article, in full."""
        return full(self.article.partition(",")[0])

    def earliest(self, sent: datetime.date) -> datetime.date:
        """First day on which a meeting may be held, that is convened on this one."""
        return sent + datetime.timedelta(self.days + 1)

    def problem(self, sent: datetime.date, held: datetime.date) -> str:
        """Say that a meeting is too early, and from when on it may be held; "" when it may."""
        first = self.earliest(sent)
        if held >= first:
            return ""
        days = f"{self.days} jours francs" if self.days > 1 else "un jour franc"
        return (
            f"il faut {days} entre la convocation du {rules.french_date(sent)} et la séance ({self.article}) : elle "
            f"peut se tenir à partir du {rules.french_date(first, weekday=True)}"
        )


def full(article: str) -> str:
    """An article with the whole name of its code; the rules of an entity's own as they are."""
    number, _du, code = article.partition(" du ")
    if not any(one.isdecimal() for one in number):
        return number
    names = {"": "code général des collectivités territoriales", "CASF": "code de l'action sociale et des familles"}
    return f"article {number} du {names[code]}"


def note_article(kind: str) -> str:
    """Article that asks for the note of synthesis: the rapport explicatif of a CCAS.

    Args:
        kind: of an entity; empty for a commune.
    """
    return "R123-16 du CASF" if kind == "ccas" else "L2121-12"


def _usual(people: int, kind: str) -> tuple[int, str]:
    """Clear days that the law asks for, and its article."""
    if kind not in ("", COMMUNE):
        return ENTITIES.get(kind, (_LARGE_DAYS, "L2121-12"))
    return (_LARGE_DAYS, "L2121-12") if is_large(people) else (_SMALL_DAYS, "L2121-11")


def urgency(people: int, kind: str = "", own: int = 0) -> str:
    """Article that lets the delay be shortened in an emergency; "" where no text does.

    R123-16 of the CASF knows none, nor does any text for the other entities; and a council does not shorten the longer
    delay that its own rules of procedure promise.
    """
    days, article = _usual(people, kind)
    if kind in ("", COMMUNE) or (kind == "syndicat" and own <= days):
        return article
    return ""


def renewal_problem(polled: datetime.date, held: datetime.date, kind: str = "") -> str:
    """Say that a meeting is not the first one after a general renewal (L2121-7), or "".

    Args:
        polled: day of the round that elected the council.
        held: day of the meeting.
        kind: of the entity whose council meets.
    """
    first, last = (polled + datetime.timedelta(days) for days in (_FRIDAY, _SUNDAY))
    what = "« Tour de scrutin du » ne se remplit que pour la première réunion après un renouvellement général"
    if kind not in ("", COMMUNE):
        return f"{what} du conseil municipal ({_RENEWAL}) : effacez-le"
    if polled.weekday() != _SUNDAY - 1:
        return f"{what} : ce jour n'est pas un dimanche (code électoral, L55)"
    if not first <= held <= last:
        return (
            f"{what} : elle se tient du {rules.french_date(first, weekday=True)} au "
            f"{rules.french_date(last, weekday=True)} ({_RENEWAL})"
        )
    return ""


def delay(
    people: int, urgent: bool, second: bool, kind: str = "", own: int = 0, renewed: bool = False
) -> Delay:  # fmt: skip # the signature as one
    """Give the delay of a meeting.

    Args:
        people: inhabitants of the commune, 0 when they are not known.
        urgent: whether the maire shortens it, which the council approves when the meeting opens; nothing where no text
            lets them (`urgency`).
        second: whether it is a second convocation, after a quorum that was not reached.
        kind: of the entity whose council meets; empty for a commune.
        own: clear days that the entity's own rules ask for; 0 when they say nothing.
        renewed: whether it is the first meeting after a general renewal.
    """
    if second:
        return Delay(rules.SECOND_DAYS, "L2121-17")
    if renewed and kind in ("", COMMUNE):
        return Delay(_RENEWAL_DAYS, _RENEWAL)
    if urgent and (article := urgency(people, kind, own)):
        return Delay(_URGENT_DAYS, f"{article}, urgence")
    days, article = _usual(people, kind)
    if kind not in ("", COMMUNE) and own:
        days, article = own, article if own == days else _OWN_RULES
    return Delay(days, article)
