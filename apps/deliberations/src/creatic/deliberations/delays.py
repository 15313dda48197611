"""How long before a meeting its convocation leaves, without Plone: clear days, as `creatic_agent.law` says of its body.

Messages are French.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from creatic.deliberations import rules

from creatic_agent import law

_OWN_RULES = "ses statuts ou son règlement intérieur"
_FRIDAY, _SUNDAY = 5, 7  # days after a poll, from which to which the new council first meets


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
    return f"article {number} du {law.CODES.get(code, code)}"


def urgency(body: law.Body, own: int = 0) -> str:
    """Article that lets the delay be shortened in an emergency; "" where no text does.

    A council does not shorten the longer delay that its own rules of procedure promise.
    """
    allowed = body.urgency.value is not None and _own_clear_days(body, own) <= body.notice.value
    return body.urgency.article if allowed else ""


def _own_clear_days(body: law.Body, own: int) -> int:
    """Clear days that its own rules ask for; a commune's file has no such field."""
    return 0 if body.kind == law.COMMUNE else own


def renewal_problem(polled: datetime.date, held: datetime.date, body: law.Body) -> str:
    """Say that a meeting is not the first one after a general renewal, or "".

    Args:
        polled: day of the round that elected the council.
        held: day of the meeting.
        body: whose council meets.
    """
    first, last = (polled + datetime.timedelta(days) for days in (_FRIDAY, _SUNDAY))
    what = "« Tour de scrutin du » ne se remplit que pour la première réunion après un renouvellement général"
    if body.renewal.value is None:
        return f"{what} du conseil municipal ({law.of(law.COMMUNE).renewal.article}) : effacez-le"
    if polled.weekday() != _SUNDAY - 1:
        return f"{what} : ce jour n'est pas un dimanche (code électoral, L55)"
    if not first <= held <= last:
        return (
            f"{what} : elle se tient du {rules.french_date(first, weekday=True)} au "
            f"{rules.french_date(last, weekday=True)} ({body.renewal.article})"
        )
    return ""


def delay(body: law.Body, urgent: bool = False, second: bool = False, own: int = 0, renewed: bool = False) -> Delay:
    """Give the delay of a meeting.

    Args:
        body: whose council meets.
        urgent: whether who presides shortens it, which the council approves when the meeting opens; nothing where no
            text lets them (`urgency`).
        second: whether it is a second convocation, after a quorum that was not reached.
        own: clear days that the entity's own rules ask for; 0 when they say nothing.
        renewed: whether it is the first meeting after a general renewal.
    """
    if second:
        return Delay(body.second.value, body.second.article)
    if renewed and body.renewal.value is not None:
        return Delay(body.renewal.value, body.renewal.article)
    if urgent and body.urgency.value is not None and (article := urgency(body, own)):
        return Delay(body.urgency.value, f"{article}, urgence")
    asked = _own_clear_days(body, own) or body.notice.value
    return Delay(asked, body.notice.article if asked == body.notice.value else _OWN_RULES)
