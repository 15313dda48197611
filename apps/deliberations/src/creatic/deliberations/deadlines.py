"""What a commune must put on line after a meeting, and until when, without Plone.

The list of what the council examined within a week (CGCT L2121-25), the procès-verbal settled at the beginning of the
next meeting, then on line within the week that follows that one (L2121-15). Messages are French.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from creatic.deliberations import rules

from creatic_agent import law

LIST, SETTLED, MINUTES, SUBJECTS = "liste", "arret", "proces_verbal", "objets"
_DEADLINE_TEXTS = {
    LIST: ("la liste des délibérations est mise en ligne", "La liste des délibérations n'est pas en ligne", "L2121-25"),
    SETTLED: (
        "le conseil arrête le procès-verbal de cette séance-ci, au commencement de la suivante",
        "Le procès-verbal n'est pas arrêté",
        "L2121-15",
    ),
    MINUTES: ("le procès-verbal est mis en ligne", "Le procès-verbal n'est pas en ligne", "L2121-15"),
    SUBJECTS: (
        "une personne a relu et confirmé chaque objet de la liste",
        "Des objets de la liste ne sont pas confirmés, le public ne les lit pas",
        "L2121-25 ; CRPA, L312-1-2",
    ),
}
# Days after a meeting on which its list goes on line when nobody put it there before: the law's week is not over yet,
# and who prepares it had time to confirm its subjects. One that nobody confirmed is there without its text.
LIST_PUBLICATION_DELAY_DAYS = 5
# Days after a meeting from which its subjects are recalled to who confirms them, before the list goes.
_REMINDER_DELAY_DAYS = 2


@dataclass(frozen=True)
class Deadline:
    """Something that is still to be done."""

    what: str
    """`LIST`, `SETTLED`, `MINUTES` or `SUBJECTS`."""
    last: datetime.date
    """Last day on which it is in time."""
    recalled: datetime.date | None = None
    """First day on which it is told as what is late; the day after the last one, when nothing is said."""

    def late(self, today: datetime.date) -> bool:
        """Whether that day is over."""
        return today > self.last

    def is_told(self, today: datetime.date) -> bool:
        """Whether it is recalled now: it is late, or soon will be."""
        return self.late(today) or (self.recalled is not None and today >= self.recalled)

    def sentence(self, today: datetime.date, closed: bool = True) -> str:
        """What pages say of it.

        Args:
            today: the day on which it is read.
            closed: whether the meeting was closed, before which nothing of it goes on line.
        """
        wanted, missing, article = _DEADLINE_TEXTS[self.what]
        first = "" if closed else " Terminez d'abord la séance : « Clore la séance »."
        if self.late(today):
            return f"{missing} : c'était à faire le {rules.french_date(self.last)} au plus tard ({article}).{first}"
        return f"À faire avant la fin du {rules.french_date(self.last)} : {wanted} ({article}).{first}"


def list_goes_alone(held: datetime.date) -> datetime.date:
    """First day on which the list of a meeting goes on line by itself."""
    return held + datetime.timedelta(LIST_PUBLICATION_DELAY_DAYS)


def waiting(
    held: datetime.date, listed: bool, following: datetime.date | None, settled: datetime.date | None, on_line: bool,
    unread: bool = False, *, body: law.Body,
) -> list[Deadline]:  # fmt: skip # the signature as one
    """Give what is to be done after a meeting that was opened.

    Args:
        held: its day.
        listed: whether its list is on line.
        following: day of the next meeting that was opened, None while there is none.
        settled: day of the meeting that settled its procès-verbal, None while none did.
        on_line: whether the procès-verbal is on line.
        unread: whether nobody confirmed some subject of the list.
        body: whose council met; nothing is waited for where no text asks for it.
    """
    found = []
    if body.listing.value is not None:
        last = held + datetime.timedelta(body.listing.value)
        found += [Deadline(SUBJECTS, last, held + datetime.timedelta(_REMINDER_DELAY_DAYS))] if unread else []
        found += [] if listed else [Deadline(LIST, last)]
    if body.minutes.value is None:
        return found
    if settled is None:
        if following is not None:
            found.append(Deadline(SETTLED, following))
    elif not on_line:
        found.append(Deadline(MINUTES, settled + datetime.timedelta(body.minutes.value)))
    return found
