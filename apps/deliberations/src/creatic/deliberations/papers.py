"""The papers of a meeting that its acts are archived with: convocations as they were sent, list, procès-verbal settled.

They are told once the procès-verbal is settled (CGCT, L2121-15), after which none of them changes but the list,
whose last subjects may still be confirmed. The note of synthesis, and who was written to, stay here.
"""

from __future__ import annotations

from typing import Any

from creatic.deliberations import aftermath, convocation, digests
from creatic.deliberations.places import meeting_of
from plone import api
from plone.namedfile.utils import set_headers, stream_data
from Products.Five.browser import BrowserView
from zExceptions import NotFound


def _meeting_papers(meeting: Any) -> dict[str, tuple[str, str, Any]]:
    """By name: what it is, in French; its day or moment (ISO 8601); its file."""
    sendings = enumerate(meeting.dispatches(), 1)
    found = {f"convocation-{rank}": ("Convocation", when, sent) for rank, (when, sent, _note) in sendings}
    known = aftermath.listed(meeting)
    if since := aftermath.on_line(known):
        listed = api.content.get(UID=known["publication"])
        found["liste"] = ("Liste des délibérations", since.isoformat(), listed.file)
    told = aftermath.settled(meeting)
    if told and meeting.proces_verbal:
        found["proces-verbal"] = ("Procès-verbal", told["le"].isoformat(), meeting.proces_verbal)
    return found


def of(projet: Any, site: str) -> dict[str, Any] | None:
    """Papers of the meeting of an act; None until its procès-verbal is settled.

    Args:
        projet: of the act.
        site: address of the site, where each is fetched.
    """
    meeting = meeting_of(projet)
    told = aftermath.settled(meeting)
    if not told:
        return None
    approved = convocation.approval(meeting)
    return {
        "uid": projet.UID(),
        "date": meeting.date.isoformat(),
        "assemblee": meeting.label(),
        "convocation_approuvee": {key: str(approved[key]) for key in ("par", "le") if key in approved},
        "arrete": {"le": told["le"].isoformat()} | {key: str(told[key]) for key in ("president", "secretaire")},
        "pieces": [
            {
                "nom": f"{name}.pdf", "quoi": what, "le": when, "sha256": digests.of(file),
                "url": f"{site}/@@seance-piece?uid={meeting.UID()}&piece={name}",
            }
            for name, (what, when, file) in _meeting_papers(meeting).items()
        ],
    }  # fmt: skip # a table


def told(uids: list[str], site: str) -> list[dict[str, Any]]:
    """The same of several acts; those that are none, or whose meeting has none yet, are left out."""
    found = (api.content.get(UID=uid) for uid in uids)
    known = (of(one, site) for one in found if one is not None and one.portal_type == "projet")
    return [one for one in known if one]


class Paper(BrowserView):
    """A paper of a meeting, for the passerelle: ?uid=…&piece=proces-verbal."""

    def __call__(self) -> Any:
        form = self.request.form
        with api.env.adopt_roles(["Manager"]):
            meeting = api.content.get(UID=str(form.get("uid") or "-"))
            is_one = meeting is not None and meeting.portal_type == "seance" and aftermath.settled(meeting)
            found = _meeting_papers(meeting).get(str(form.get("piece") or "")) if is_one else None
        if found is None:
            raise NotFound("Cette pièce n'existe pas.")
        set_headers(found[2], self.request.response)
        return stream_data(found[2])
