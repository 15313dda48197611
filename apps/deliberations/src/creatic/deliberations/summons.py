"""Whether each member was convened, without Plone: what was sent to whom, handed over by whom, in time.

A council that was not convened does not deliberate: each member in office has theirs, in time (CGCT, L2121-10 to
L2121-12; Conseil d'État, 9 March 2007, n° 290687). Messages are French.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from creatic.deliberations import delays, rules
from creatic.deliberations.mailing import ACCEPTED, HANDED, PAPER, REFUSED, UNSURE

from creatic_agent import law


@dataclass(frozen=True)
class Sending:
    """What became of one member's convocation."""

    name: str
    address: str
    """A mail address, or `PAPER`."""
    state: str
    """One of `mailing.STATES`, "" as long as nothing is known."""
    day: datetime.date | None = None
    """When it was taken by the relay, or handed over."""
    opened: datetime.date | None = None
    """When the member first opened it in their space."""

    @property
    def received(self) -> datetime.date | None:
        """When it left for them, as far as that is proven; None when it is not.

        Who opened what was sent without a word of the relay has received it; who has it on paper gets paper.
        """
        if self.state in (ACCEPTED, HANDED):
            return self.day
        return self.opened if self.state == UNSURE and self.address != PAPER else None

    @property
    def to_review(self) -> bool:
        """Whether a person has to see to it: as long as the meeting does not open for want of it."""
        return self.state in (REFUSED, UNSURE) and self.received is None


def problems(sendings: Iterable[Sending], delay: delays.Delay, held: datetime.date, body: law.Body) -> list[str]:
    """Say who was not convened, or too late, in French; empty when everybody was.

    Args:
        sendings: one for each member in office.
        delay: what the law asks of this meeting.
        held: its day.
        body: whose council meets.
    """
    known, article = list(sendings), body.sending.article
    paper = [one.name for one in known if one.received is None and one.address == PAPER]
    mail = [one.name for one in known if one.received is None and one.address != PAPER]
    late = [
        f"{one.name} (le {rules.french_date(one.received)})"
        for one in known
        if one.received is not None and delay.problem(one.received, held)
    ]
    found = [] if known else [f"aucune convocation n'est partie ({article})"]
    if paper:
        found.append(
            f"convocation dont la remise sur papier n'est pas notée : {', '.join(paper)} ({article}). À faire : sur "
            "« Envois de la convocation », notez le jour où elle leur a été remise"
        )
    if mail:
        found.append(
            f"convocation que le relais de courriel n'a pas prise : {', '.join(mail)} ({article}). À faire : sur "
            "« Envois de la convocation », renvoyez-la, ou notez sa remise sur papier"
        )
    if late:
        found.append(
            f"convocation partie trop tard : {', '.join(late)} ({delay.article}). À faire : reprenez l'ordre du jour, "
            "et convoquez pour un autre jour"
        )
    return found


def approval_problem(head: str, kept: str, now: str, article: str) -> str:
    """Say that whose name it bears has not approved a convocation as it is, or "".

    Args:
        head: what the head of the council is called: maire, président.
        kept: digest of what they approved; nothing when they did not.
        now: digest of what would leave.
        article: by which they convene.
    """
    if kept and kept == now:
        return ""
    changed = "a changé depuis que" if kept else "part au nom de qui préside le conseil :"
    said = f"le {head} l'a approuvée" if kept else f"le {head} ne l'a pas approuvée"
    return f"la convocation {changed} {said} ({article}). À faire : sur la page de la séance, le {head} l'approuve"
