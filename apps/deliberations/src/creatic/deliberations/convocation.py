"""What is kept of a meeting's convocation: what left, to whom, what became of each, who approved it.

A meeting asks it what keeps it from opening; what makes a convocation leave, and its pages, is `convening`.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from creatic.deliberations import diary, frozen, naming, reading, summons, watch
from creatic.deliberations.mailing import PAPER
from creatic.deliberations.places import ON_AGENDA, commune_of, names
from plone import api

_CONVOCATION_TIMEZONE = ZoneInfo("Europe/Paris")
HEAD = "Maire"
APPROVED = "creatic_approbation"


def mails(meeting: Any) -> tuple[dict[str, Any], ...]:
    """What left by mail each time it was convened, oldest first."""
    found: tuple[dict[str, Any], ...] = getattr(meeting.aq_base, "creatic_courriers", ())
    return found


def current(meeting: Any) -> dict[str, Any] | None:
    """What left of the convocation as it was sent last; None before one was. On paper for everybody, when nothing left
    from here: each hand-over is still to be noted."""
    sent = meeting.dispatches() if meeting.convoquee_le else ()
    if not sent:
        return None
    known = [one for one in mails(meeting) if one["version"] == len(sent)]
    return known[0] if known else letter(meeting, dict.fromkeys(meeting.convoques or [], PAPER), "", (), {}, 0)


def receipts(meeting: Any) -> dict[tuple[int, str], dict[str, Any]]:
    """What became of each, by version and élu: `etat`, `le`, `detail`, `essai` (how many times it was to leave)."""
    found: dict[tuple[int, str], dict[str, Any]] = getattr(meeting.aq_base, "creatic_recus", None) or {}
    return found


def letter(
    meeting: Any,
    to: Mapping[str, str],
    text: str,
    pieces: Sequence[dict[str, Any]],
    left: Mapping[str, int],
    alone: int,
) -> dict[str, Any]:
    """What leaves of the last convocation: to whom, in which words, with what."""
    sent = meeting.dispatches()
    when = datetime.datetime.fromisoformat(sent[-1][0]).isoformat(timespec="seconds")
    return {
        "version": len(sent), "le": when, "a": dict(to), "objet": "", "texte": text, "pieces": tuple(pieces),
        "laissees": dict(left), "sans_note": alone, "approbation": approval(meeting),
    }  # fmt: skip # a table


def for_diaries(meeting: Any) -> bytes:
    """The file of a meeting that was convened, for people's calendars."""
    sent, state = meeting.dispatches(), api.content.get_state(meeting)
    stamp = datetime.datetime.fromisoformat(sent[-1][0])
    if state in (diary.CANCELLED, diary.TAKEN_BACK):
        stamp = api.portal.get_tool("portal_workflow").getInfoFor(meeting, "time").asdatetime()
    second = " (seconde convocation)" if meeting.seconde_de else ""
    entry = diary.Entry(
        uid=meeting.UID(),
        title=f"{meeting.title}{second}",
        place=meeting.lieu,
        start=meeting.moment(),
        version=len(sent),
        state=state,
        stamp=stamp,
        space=reading.space(commune_of(meeting)),
    )
    return diary.file(entry)


def sendings(meeting: Any) -> list[summons.Sending]:
    """What became of each member's convocation."""
    mail = current(meeting)
    if mail is None:
        return []
    read = reading.received(meeting, mail["version"])
    found = []
    for name in meeting.convoques or []:
        known = receipts(meeting).get((mail["version"], name), {})
        days = [_paris_day(when) if when else None for when in (known.get("le"), read.get(name))]
        found.append(summons.Sending(name, mail["a"].get(name, PAPER), known.get("etat") or "", *days))
    return found


def problems(meeting: Any) -> list[str]:
    """Say who was not convened, or too late (L2121-10 to L2121-12)."""
    return summons.problems(sendings(meeting), meeting.delay(), meeting.date, meeting.its_law())


def _paris_day(when: str) -> datetime.date:
    return datetime.datetime.fromisoformat(when).astimezone(_CONVOCATION_TIMEZONE).date()


def substance(meeting: Any) -> str:
    """Digest of what a convocation says, and of the papers that leave with it."""
    told = [str(getattr(meeting, name)) for name in frozen.CONVENED]
    for one in meeting.projets(*ON_AGENDA):
        told += [one.UID(), *_readable_texts(one)]
    return naming.digest(*told)


def _readable_texts(projet: Any) -> list[str]:
    """What people read of a projet."""
    texts = [text.raw if text else "" for text in (projet.expose, projet.dispositif)]
    files = [f"{annex.title} {watch.file_of(annex)}" for annex in projet.annexes()]
    return [projet.title, projet.rapporteur or "", projet.matiere, *texts, *files, *(projet.avis or ())]


def shown(thing: Any) -> str:
    """What stands for a meeting or a projet as a page shows it: who takes a step takes it on that, all of its fields
    (whether it is transmitted, its vote), and who sits."""
    fields = [text for field in sorted(watch.known(thing).items()) for text in field]
    if thing.portal_type == "seance":
        return naming.digest(substance(thing), *fields)
    return naming.digest(*_readable_texts(thing), *fields, repr(thing.attendance()), thing.presided_by())


def approval(meeting: Any) -> dict[str, Any]:
    """Who approved the convocation, as it was then: `par`, `le` (ISO 8601, UTC), `empreinte`."""
    found: dict[str, Any] = getattr(meeting.aq_base, APPROVED, None) or {}
    return found


def approval_problems(meeting: Any) -> list[str]:
    """Say that whose name the convocation bears has not approved it; they do so by sending it themselves."""
    if HEAD in api.user.get_roles(obj=meeting):
        return []
    head, kept = names(commune_of(meeting))["qualite"], approval(meeting).get("empreinte", "")
    said = summons.approval_problem(head, kept, substance(meeting), meeting.its_law().sending.article)
    return [said] if said else []
