"""Where what élus write is kept: pouvoirs (the rules: `proxies`), and whether they come; and the gestures of who keeps
the attendance.

Pouvoirs are a plain value of the meeting, replaced whole: of two élus who choose the same colleague at once, the
database lets one through, and Zope does the other again, which is then refused. An answer is of the convocation that it
was given to, is changed until the meeting opens, and is no presence.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from creatic.deliberations import frozen, presence, proxies, rules, watch
from creatic.deliberations.proxies import Written
from plone import api
from Products.Five.browser import BrowserView

_PROXIES_TIMEZONE = ZoneInfo("Europe/Paris")
_KEPT, _ANSWERS = "creatic_pouvoirs_ecrits", "creatic_reponses"
_ANSWERABLE_STATES = ("convoquee", "ouverte")


def written(meeting: Any) -> dict[str, Written]:
    """Pouvoirs that were written for a meeting, by giver; those that were taken back too."""
    known = getattr(meeting.aq_base, _KEPT, None) or {}
    return {giver: Written(*one) for giver, one in known.items()}


def _save_proxy(meeting: Any, giver: str, one: Written) -> None:
    setattr(meeting, _KEPT, {**(getattr(meeting.aq_base, _KEPT, None) or {}), giver: dataclasses.astuple(one)})


def may_write(meeting: Any) -> bool:
    """Whether a pouvoir may be given or taken back: the council is convened, and the meeting is not over."""
    return api.content.get_state(meeting) in _ANSWERABLE_STATES


def standing(meeting: Any) -> dict[str, str]:
    """Pouvoirs that were written and not taken back: giver and holder."""
    return {giver: one.holder for giver, one in written(meeting).items() if not one.revoked}


def answers(meeting: Any) -> dict[str, tuple[str, str]]:
    """What élus answered to the convocation that was sent last, and when (ISO 8601, UTC); none of those before."""
    known = getattr(meeting.aq_base, _ANSWERS, None) or {}
    last = len(meeting.dispatches())
    return {name: (what, when) for name, (version, what, when) in known.items() if version == last}


def announced(meeting: Any) -> Mapping[str, tuple[str, str]]:
    """What each member announced (`presence.announced`)."""
    said = {name: what for name, (what, _when) in answers(meeting).items()}
    return presence.announced(meeting.convoques or [], said, standing(meeting))


def may_answer(meeting: Any) -> bool:
    """Whether members may say if they come: the council is convened, and has not met."""
    return bool(api.content.get_state(meeting) == "convoquee")


def answer(meeting: Any, name: str, what: str) -> str:
    """Keep what a member answers, in the place of what they answered before; their pouvoir is taken back with it.

    Returns:
        What is said of it, in French.

    Raises:
        ValueError: the reason, in French.
    """
    if not may_answer(meeting):
        raise ValueError("La séance n'attend plus de réponse : dites à la mairie si vous venez.")
    if what not in presence.ANSWERS:
        raise ValueError("Dites si vous serez présent(e) ou absent(e).")
    if name in standing(meeting):
        revoke(meeting, name)
    known = getattr(meeting.aq_base, _ANSWERS, None) or {}
    setattr(meeting, _ANSWERS, {**known, name: (len(meeting.dispatches()), what, _utc_now())})
    said = presence.ANSWERS[what]
    watch.note(meeting, f"Réponse dans l'espace des élus : {name}, {said}")
    if name in meeting.attendance().given():
        return f"Réponse notée : {said}. Un pouvoir de vous est noté par la mairie : prévenez-la s'il ne vaut plus."
    return f"Réponse notée : {said}."


def choices(meeting: Any, giver: str) -> list[str]:
    """To whom a member may give theirs."""
    known, noted = written(meeting), meeting.attendance().given()
    others = [name for name in meeting.convoques or [] if name != giver]
    return [name for name in others if proxies.borne(name, known, noted) in ("", giver)]


def _previous_proxies(meeting: Any) -> list[dict[str, str]]:
    """Pouvoirs noted at the meetings that were held before, latest first."""
    held = [
        one
        for one in meeting.aq_parent.objectValues()
        if getattr(one, "portal_type", "") == "seance" and one.date and api.content.get_state(one) in frozen.ENDED
    ]
    earlier = sorted((one for one in held if one.moment() < meeting.moment()), key=lambda one: one.moment())
    return [one.attendance().given() for one in earlier[: -proxies.MAX_CONSECUTIVE_PROXIES - 1 : -1]]


def give(meeting: Any, giver: str, holder: str, ill: bool) -> None:
    """Keep a pouvoir. Raises ValueError: the reason, in French."""
    if not may_write(meeting):
        raise ValueError("La séance n'est pas convoquée, ou elle est terminée : aucun pouvoir ne s'y donne.")
    noted = meeting.attendance().given()
    if giver in noted:
        raise ValueError("Votre pouvoir est déjà noté par la mairie. Pour en changer, révoquez-le, puis prévenez-la.")
    wrong = proxies.problem(
        giver, holder, ill, list(meeting.convoques or []), written(meeting), noted, _previous_proxies(meeting)
    )
    if wrong:
        raise ValueError(wrong)
    _save_proxy(meeting, giver, Written(holder, _utc_now(), ill))
    known = getattr(meeting.aq_base, _ANSWERS, None) or {}
    setattr(meeting, _ANSWERS, {name: one for name, one in known.items() if name != giver})
    watch.note(meeting, f"Pouvoir écrit dans l'espace des élus : {giver} à {holder}{', maladie' * ill}")


def revoke(meeting: Any, giver: str) -> None:
    """Take a pouvoir back: it is revocable at any time. Raises ValueError."""
    known = written(meeting).get(giver)
    if known is None or known.revoked or not may_write(meeting):
        raise ValueError("Vous n'avez écrit ici aucun pouvoir que vous puissiez révoquer.")
    _save_proxy(meeting, giver, dataclasses.replace(known, revoked=_utc_now()))
    watch.note(meeting, f"Pouvoir révoqué dans l'espace des élus : {giver} à {known.holder}")


def _utc_now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def moment(when: str) -> str:
    """A moment, in words."""
    return datetime.datetime.fromisoformat(when).astimezone(_PROXIES_TIMEZONE).strftime("%d/%m/%Y à %H:%M")


def rows(meeting: Any, may_note: bool) -> list[dict[str, Any]]:
    """What the meeting's page shows of them: `elu`, `texte`, `ton`, and `geste` where something is to be done."""
    found, given = [], meeting.attendance().given()
    # The attendance is noted first: whoever bears a pouvoir is in the room.
    lock = watch.lock(meeting)
    open_ = may_note and may_write(meeting) and bool(meeting.presents) and not (lock and lock.refused(["pouvoirs"]))
    for giver, one in written(meeting).items():
        noted = given.get(giver) == one.holder
        said = f"{giver} à {one.holder}, écrit le {moment(one.when)}" + ", pour maladie : justificatif à voir" * one.ill
        if one.revoked:
            said += f", révoqué le {moment(one.revoked)}"
        tone, gesture = ("warning", "retirer") if one.revoked and noted else ("success", "") if noted else ("info", "")
        if not noted and not one.revoked:
            gesture = "retenir"
        if noted:
            said += ". Noté" + " : à retirer" * bool(one.revoked)
        found.append({"elu": giver, "texte": f"{said}.", "ton": tone, "geste": gesture if open_ else ""})
    return found


class Noting(BrowserView):
    """Who keeps the attendance notes a pouvoir that was written, or takes off one that was revoked."""

    def __call__(self) -> str:
        if self.request.method == "POST":
            try:
                said = self._note_proxy(str(self.request.form.get("elu") or ""))
            except ValueError as error:
                api.portal.show_message(str(error), self.request, type="error")
            else:
                api.portal.show_message(said, self.request)
        self.request.response.redirect(self.context.absolute_url())
        return ""

    def _note_proxy(self, giver: str) -> str:
        meeting = self.context
        [row] = [one for one in rows(meeting, True) if one["elu"] == giver] or [{"geste": ""}]
        if not row["geste"]:
            raise ValueError("Ce pouvoir ne se note pas maintenant : notez d'abord les présents, avant tout vote.")
        holder = written(meeting)[giver].holder
        line = f"{giver} : {holder}"
        known = [(read[0], one) for one in meeting.pouvoirs or [] if (read := rules.proxy(one))]
        if row["geste"] == "retirer":
            meeting.pouvoirs = [one for who, one in known if who != giver]
            return f"Pouvoir retiré : {line}."
        kept = [one for _who, one in known]
        sitting = rules.Attendance(
            meeting.convoques or [], meeting.presents or [], [*kept, line], body=meeting.its_law()
        )
        wrong = sitting.problems()
        if wrong:
            raise ValueError(f"Notez d'abord les présents, puis ce pouvoir : {' ; '.join(wrong)}.")
        meeting.pouvoirs = [*kept, line]
        return f"Pouvoir noté : {line}."
