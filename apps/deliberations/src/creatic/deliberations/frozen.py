"""What no longer changes, and why, without Plone: from what each object was when it was last kept.

A projet is fixed by its vote, its meeting by the first vote that is entered there, a publication by being published.
Messages are French, for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

VOTES = (
    "pour", "contre", "abstentions",
    "bulletins_pour", "bulletins_contre", "bulletins_blancs", "bulletins_nuls", "tours", "plus_age",
)  # fmt: skip # a list of words
# What of an item is of the meeting that did not vote it: nothing of it goes to the second one.
OF_THE_MEETING = (
    *VOTES, "presents", "pouvoirs", "sortis", "deportes", "president", "huis_clos_par", "huis_clos_pour",
    "secret_demande", "secret_renonce",
)  # fmt: skip # a list of words
POSTPONED = "reportee"
BUDGET = "budget_xml"
"""The XML of a budget that a projet adopts."""
# What happened to one projet, or to one meeting, and to no copy of it: number, vote, follow-up, convocation, presence.
LIVED = {
    "projet": (
        *OF_THE_MEETING, POSTPONED, "avis", "numero", "document", "document_signe", "suivi", "suivi_motif", "id_acte",
        "date_reception",
    ),
    "seance": (
        "president", "secretaire", "presents", "pouvoirs", "seconde_de", "envoyee_le", "affichee_le", "urgence",
        "urgence_pour", "scrutin_le", "convocation", "proces_verbal", "convoquee_le",
    ),
}  # fmt: skip # lists of words
# What a convocation says, which was sent.
CONVENED = ("title", "date", "heure", "lieu", "convoques", "envoyee_le", "urgence", "scrutin_le")
# States of a meeting that is over.
ENDED = ("close", "sans_quorum")
CANCELLED = "annulee"
VOTED = ("adopte", "rejete", "publie")
# States of a publication in which anybody reads it.
PUBLIC = ("published", "archived")
DELIBERATION = "deliberation"
# What is kept of an object beside its fields.
STATE, WAS_PUBLIC, UID = _BESIDE = ("_etat", "_publie", "_uid")
_MAX_SHOWN_LENGTH = 80
_BOOLEAN_LABELS = {"True": "oui", "False": "non"}

Known = Mapping[str, str]
"""Fields by name as text, and STATE, WAS_PUBLIC, UID."""


@dataclass(frozen=True)
class Lock:
    """Why something does not change, and the fields that do all the same."""

    reason: str
    free: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    """The fields that do not change, when the others do."""

    def refused(self, changed: Iterable[str]) -> list[str]:
        """Those of the changed fields that may not."""
        return [name for name in changed if name not in self.free and (not self.only or name in self.only)]


def has_votes(projet: Known) -> bool:
    """Whether somebody's voice is entered."""
    return any(projet.get(name) for name in VOTES)


def is_decided(projet: Known) -> bool:
    """Whether the council has said yes or no."""
    return projet.get(STATE) in VOTED


def of_projet(projet: Known, meeting: Known) -> Lock | None:
    """A projet: all of it once decided or once its meeting is over; its text as soon as a voice is entered, which may
    be corrected till then."""
    if is_decided(projet):
        # The XML of what was voted, sealed, replaces its project until the passerelle took the act.
        return Lock("ce projet a été voté : il ne change plus", () if projet.get("suivi") else (BUDGET,))
    if meeting.get(STATE) in ENDED:
        return Lock("la séance est terminée : ce projet n'y change plus")
    if has_votes(projet):
        return Lock("un vote est saisi : le texte ne change plus. À faire : effacez d'abord les voix", VOTES)
    return None


def kept_subject(projet: Known, changed: Iterable[str]) -> str:
    """Say that an item which was put off to a second meeting keeps its subject: no quorum is asked for it alone; or "".

    Its text, its annexes, its place on the agenda are still the commune's.
    """
    if "title" not in changed or projet.get(POSTPONED) != str(True):
        return ""
    return (
        "ce point est reporté faute de quorum : la seconde convocation porte sur le même objet (L2121-17). À faire : "
        "écrivez un autre projet, qui demandera le quorum"
    )


def of_meeting(meeting: Known, projets: Iterable[Known]) -> Lock | None:
    """A meeting: all of it once closed, or once a voice is entered on one of its projets."""
    if meeting.get(STATE) in ENDED:
        return Lock("la séance est terminée : elle ne change plus")
    if meeting.get(STATE) == CANCELLED:
        return Lock("la séance est annulée : pour la tenir, reprenez son ordre du jour, et convoquez de nouveau")
    if any(is_decided(one) or has_votes(one) for one in projets):
        return Lock("un vote a eu lieu : la date, le président et les présents de la séance ne changent plus")
    if meeting.get(STATE) in ("convoquee", "ouverte"):
        return Lock("la séance est convoquée : ce que dit la convocation ne change plus", only=CONVENED)
    return None


def of_publication(publication: Known, ours: bool) -> Lock | None:
    """A publication: all of it once public. One that a person published may still be withdrawn on a date.

    Args:
        publication: what is known of it.
        ours: whether it is a délibération that the passerelle published.
    """
    if ours:
        return Lock("cette délibération est publiée : seule la passerelle la change")
    if publication.get(WAS_PUBLIC):
        reason = (
            "cet acte a été publié : il ne change plus. À faire : retirez-le et publiez-en un autre qui le remplace"
        )
        return Lock(reason, ("expiration_date",))
    return None


def differences(before: Known, now: Known) -> list[str]:
    """Names of the fields that changed."""
    names = dict.fromkeys((*before, *now))
    return [name for name in names if name not in _BESIDE and before.get(name, "") != now.get(name, "")]


def described(label: str, before: str, now: str) -> str:
    """A change, in words: both values when they are short."""
    if len(before) > _MAX_SHOWN_LENGTH or len(now) > _MAX_SHOWN_LENGTH:
        return f"{label} : {'modifié' if before and now else 'retiré' if before else 'ajouté'}"
    old, new = _BOOLEAN_LABELS.get(before, before), _BOOLEAN_LABELS.get(now, now)
    if not old:
        return f"{label} : {new}"
    return f"{label} : {old} → {new}" if new else f"{label} : n'est plus « {old} »"
