"""What élus read: whose each account is, what of a meeting each opened (once), and its papers in one file.

The communes' files say whose an account is (`configuration`), and nothing that its holder may write does. What is
opened is kept beside what the relay said of the convocation: who opened it has received it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from Acquisition import aq_base
from BTrees.OOBTree import OOBTree
from creatic.deliberations import dossier, frozen
from creatic.deliberations.places import ON_AGENDA, commune_of
from plone import api
from plone.namedfile.file import NamedBlobFile

_SEATS, _OPENED, _BOUND = "creatic_sieges", "creatic_lectures", "creatic_dossiers"
_NAMES_ATTRIBUTE = "creatic_noms"
_MAX_LABEL_LENGTH = 200  # characters


class Seat(NamedTuple):
    """Where somebody sits: `slug` of the commune, `name` as its council is written."""

    slug: str
    name: str


class Opened(NamedTuple):
    """What an élu opened: which version of the convocation was sent last, who, what in words, when (ISO 8601, UTC)."""

    version: int
    name: str
    what: str
    when: str


def seats(portal: Any) -> dict[str, Seat]:
    """Seats of all the councils, by login."""
    return {login: Seat(*told) for login, told in (getattr(aq_base(portal), _SEATS, None) or {}).items()}


def seat_of(portal: Any, login: str | None) -> Seat | None:
    """Where an account sits; None when it is no élu's."""
    told = (getattr(aq_base(portal), _SEATS, None) or {}).get(login or "")
    return Seat(*told) if told else None


def seat(portal: Any, login: str, where: Seat) -> None:
    """Say where an account sits."""
    if getattr(aq_base(portal), _SEATS, None) is None:
        setattr(portal, _SEATS, OOBTree())
    getattr(portal, _SEATS)[login] = tuple(where)


def unseat(portal: Any, login: str) -> None:
    """An account sits nowhere any more."""
    known = getattr(aq_base(portal), _SEATS, None)
    if known is not None and login in known:
        del known[login]


def known_as(portal: Any, login: str, name: str) -> None:
    """Say what the communes' files call who has an account."""
    if getattr(aq_base(portal), _NAMES_ATTRIBUTE, None) is None:
        setattr(portal, _NAMES_ATTRIBUTE, OOBTree())
    if getattr(portal, _NAMES_ATTRIBUTE).get(login) != name:
        getattr(portal, _NAMES_ATTRIBUTE)[login] = name


def name_of(portal: Any, login: str) -> str:
    """What the communes' files call who has an account; its login when they do not."""
    return str((getattr(aq_base(portal), _NAMES_ATTRIBUTE, None) or {}).get(login) or login)


def space(commune: Any) -> str:
    """Address of the space of a commune's élus; "" when none of them reads here."""
    slug = commune.getId()
    here = any(one.slug == slug for one in seats(api.portal.get()).values())
    return f"{commune.absolute_url()}/@@espace" if here else ""


def own_space() -> str:
    """Address of the space of who is logged in; "" when they are no élu."""
    portal = api.portal.get()
    seat = None if api.user.is_anonymous() else seat_of(portal, api.user.get_current().getId())
    return f"{portal.absolute_url()}/{seat.slug}/@@espace" if seat else ""


def is_convened(meeting: Any, name: str, state: str) -> bool:
    """Whether an élu reads of a meeting: they are called to it, and a convocation left."""
    sent = state in ("convoquee", "ouverte", *frozen.ENDED) or bool(meeting.dispatches())
    return sent and name in (meeting.convoques or [])


def note(meeting: Any, name: str, piece: str, label: str) -> None:
    """Keep that an élu opened something, once for each version of the convocation.

    Two who open at once write each their own line of one tree: the database lets both through.
    """
    known = getattr(aq_base(meeting), _OPENED, None)
    if known is None:
        known = OOBTree()
        setattr(meeting, _OPENED, known)
    key = (len(meeting.dispatches()), name, piece)
    if key not in known:
        known[key] = (datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), label[:_MAX_LABEL_LENGTH])


def opened(meeting: Any) -> list[Opened]:
    """All that was opened of a meeting, oldest first."""
    known: Mapping[tuple[int, str, str], tuple[str, str]] = getattr(aq_base(meeting), _OPENED, None) or {}
    found = [Opened(version, name, what, when) for (version, name, _piece), (when, what) in known.items()]
    return sorted(found, key=lambda one: one.when)


def received(meeting: Any, version: int) -> dict[str, str]:
    """When each élu first opened something of a version of the convocation (ISO 8601, UTC)."""
    found: dict[str, str] = {}
    for one in opened(meeting):
        if one.version == version:
            found.setdefault(one.name, one.when)
    return found


# -- the papers in one file, made when a meeting is convened


def bind(meeting: Any, drafts: Sequence[tuple[str, Any]], undrawn: Sequence[str] = ()) -> None:
    """Keep the papers that are sent in one file, for the élus of a commune whose élus read here.

    Args:
        meeting: just convened.
        drafts: titles and files of the procès-verbaux that it is to settle, which are kept by themselves too.
        undrawn: those that could not be drawn, in French.
    """
    if not space(commune_of(meeting)):
        return
    _when, convocation, note = meeting.dispatches()[-1]
    parts = [_paper_of("Convocation", convocation), _paper_of("Note de synthèse et projets", note)]
    for rank, one in enumerate(meeting.projets(*ON_AGENDA), 1):
        parts += [
            _paper_of(f"Point {rank}, annexe « {annex.title} »", annex.file) for annex in one.annexes() if annex.file
        ]
    parts += [_paper_of(title, draft) for title, draft in drafts]
    kept: dict[str, Any] = {"projets_pv": tuple(drafts)}
    try:
        made, left = dossier.bind(parts)
    except ValueError as error:  # nothing heavy keeps a convocation: its delay runs
        why = f"Le dossier en un seul fichier n'a pas pu être fait : {str(error).partition('. À')[0]}"
        kept["laissees"] = (why, *undrawn)
    else:
        file = NamedBlobFile(data=made, contentType="application/pdf", filename="dossier.pdf")
        kept |= {"fichier": file, "laissees": (*left, *undrawn)}
    setattr(meeting, _BOUND, {**bound(meeting), len(meeting.dispatches()): kept})


def _paper_of(title: str, file: Any) -> dossier.Paper:
    return dossier.Paper(title, file.getSize(), lambda: bytes(file.data))


def bound(meeting: Any) -> dict[int, dict[str, Any]]:
    """Its papers in one file, by version of the convocation: `fichier`, when it could be made, and `laissees`, what is
    not in it.

    And `projets_pv`, the drafts of procès-verbaux that came with it; a version of before has none.
    """
    found: dict[int, dict[str, Any]] = getattr(meeting.aq_base, _BOUND, None) or {}
    return found
