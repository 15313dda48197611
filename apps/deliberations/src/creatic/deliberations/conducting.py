"""The evening of a council on one page: who is there, who comes and goes, and each item with its own vote.

Whatever is noted here is noted as on the pages of each item: by the same fields, with the same rules, by who has the
right to. What one item refuses changes nothing of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import transaction
from creatic.deliberations import (
    aftermath,
    ballots,
    content,
    convocation,
    frozen,
    gestures,
    naming,
    pages,
    presence,
    reading,
    watch,
    written,
)
from creatic.deliberations.places import ON_AGENDA, commune_of
from plone import api
from Products.Five.browser import BrowserView
from z3c.form.validator import Data
from zExceptions import NotFound, Unauthorized
from zope.event import notify
from zope.interface import Invalid
from zope.lifecycleevent import Attributes, ObjectModifiedEvent
from zope.schema import getFields

_MEETING_TIMEZONE = ZoneInfo("Europe/Paris")
_FOR, _AGAINST, _ABSTAINS, _SILENT = "pour", "contre", "abstentions", "aucune"
VOICES = {_FOR: "Pour", _AGAINST: "Contre", _ABSTAINS: "Abstention", _SILENT: "Ne vote pas"}
_COUNTS = ("bulletins_pour", "bulletins_contre", "bulletins_blancs", "bulletins_nuls")
_NUMBER_FIELDS = ("secret_renonce", "secret_demande", "huis_clos_pour", "urgence_pour", *_COUNTS)
_OFFICER_FIELDS = ("president", "secretaire")
_LISTS = ("sortis", "deportes")
_VOTING_FIELDS = ("scrutin", "nomination", "president", "sortis", "deportes", "huis_clos_par", "huis_clos_pour",
        "secret_renonce", "secret_demande")  # fmt: skip # a list of words
_MAX_SHOWN_CHANGES = 8  # of what changed
_VOICES = 1000
"""Voices, one by one, of all items together: four thousand buttons are a page of two megabytes. Of a meeting with more,
the next item has them, and the one that is asked for."""


# -- what is entered, as the forms of Plone enter it


def _parse_field(form: Mapping[str, Any], name: str, members: list[str]) -> Any:
    """What a form holds in a field: a number, names by their rank in the council, lines, a word."""
    given = form.get(name)
    if name in _LISTS:
        ranks = [given] if isinstance(given, str) else list(given or ())
        return [_member_at_rank(str(rank), members) for rank in ranks if rank]
    text = str(given or "").strip()
    if name == "tours":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if not text:
        return None
    if name in _OFFICER_FIELDS:
        return _member_at_rank(text, members)
    if name in _NUMBER_FIELDS:
        if not (text.isdecimal() and len(text) < 5):
            raise ValueError(f"« {text} » n'est pas un nombre : écrivez-le en chiffres")
        return int(text)
    return text


def _member_at_rank(rank: str, members: list[str]) -> str:
    if not (rank.isdecimal() and int(rank[:4]) < len(members)):
        raise ValueError("Un nom n'est plus celui d'un membre du conseil. À faire : rechargez la page")
    return members[int(rank[:4])]


def enter(thing: Any, schema: Any, values: Mapping[str, Any]) -> None:
    """Note values in the fields of a meeting or a projet, under the rules of their schema.

    Raises:
        ValueError: what is refused, in French; nothing is noted.
    """
    fields = getFields(schema)
    for name, value in values.items():
        try:
            fields[name].bind(thing).validate(value)
        except Invalid as error:
            raise ValueError(f"« {fields[name].title} » : {error.doc()}") from None
    wrong: list[Invalid] = []
    try:
        schema.validateInvariants(Data(schema, dict(values), thing), wrong)
    except Invalid:
        raise ValueError(" ".join(str(one.args[0]) for one in wrong)) from None
    changed = {name: value for name, value in values.items() if getattr(thing, name) != value}
    found = watch.lock(thing)
    if found and found.refused(changed):
        raise ValueError(found.reason)
    for name, value in changed.items():
        setattr(thing, name, value)
    if changed:
        notify(ObjectModifiedEvent(thing, Attributes(schema, *changed)))


def _parse_vote(projet: Any, form: Mapping[str, Any], members: list[str]) -> dict[str, Any]:
    """The voices that a form holds, as the mode of voting has them."""
    if projet.scrutin == ballots.ELECTION:
        return {name: _parse_field(form, name, members) for name in ("tours", "plus_age")}
    if projet.scrutin != ballots.PUBLIC:
        return {name: _parse_field(form, name, members) for name in _COUNTS}
    voters = projet.attendance().voters()
    said = {name: str(form.get(f"voix_{members.index(name)}") or _FOR) for name in voters}
    return {side: [name for name in voters if said[name] == side] for side in (_FOR, _AGAINST, _ABSTAINS)}


_EMPTY_VOTE: dict[str, Any] = {
    name: [] if name in (_FOR, _AGAINST, _ABSTAINS, "tours") else None for name in frozen.VOTES
}


# -- two people at once


def _page_marks(*things: Any) -> str:
    return ".".join(str(len(watch.trace(one))) for one in things)


def _changes_since(told: str, *things: Any) -> list[str]:
    """What happened to things since a page was drawn, in words, latest last."""
    counts = [int(one) if one.isdecimal() else 0 for one in told.split(".")]
    found = [entry for one, count in zip(things, counts, strict=False) for entry in watch.trace(one)[count:]]
    portal = api.portal.get()
    return [
        (
            f"{one.when.astimezone(_MEETING_TIMEZONE).strftime('%H:%M')}, "
            f"{reading.name_of(portal, one.who) or 'le site'} : {one.what}"
        )
        for one in sorted(found, key=lambda one: one.when)
    ][-_MAX_SHOWN_CHANGES:]


class Conducting(BrowserView):
    """The page of the evening."""

    def __call__(self) -> str:
        if api.content.get_state(self.context) not in ("convoquee", "ouverte", "close"):
            raise NotFound("conduire")
        if self.request.method != "POST":
            return str(self.index())
        place = str(self.request.form.get("point") or "")
        anchor = f"#point-{place}" if place.isalnum() else ""
        return gestures.answer(self.request, self._apply_gesture, f"{self.context.absolute_url()}/@@conduire{anchor}")

    def _apply_gesture(self) -> str:
        """Do what is asked, whole or not at all."""
        before = transaction.savepoint()
        try:
            return self._dispatch_gesture()
        except ValueError:
            before.rollback()
            raise

    def _dispatch_gesture(self) -> str:
        asked, _colon, about = str(self.request.form.get("faire") or "").partition(":")
        whole: dict[str, Callable[[], str]] = {
            "presence": self._save_attendance,
            "ouvrir": self._open_meeting,
            "clore": self._close_meeting,
        }
        if asked in whole:
            return whole[asked]()
        if asked in ("part", "arrive"):
            return self._record_movement(asked, about)
        projet = self._requested_item()
        rank = self._agenda_items().index(projet) + 1
        try:
            return f"Point {rank} : {self._on(projet, asked)}"
        except ValueError as error:
            raise ValueError(f"Point {rank} : {error}") from None

    # -- who is there

    def _council_members(self) -> list[str]:
        return list(self.context.convoques or [])

    def may_write(self) -> bool:
        """Whether this person keeps the attendance and the votes."""
        return bool(api.user.has_permission("Modify portal content", obj=self.context))

    def _check_writer(self) -> None:
        if not self.may_write():
            raise Unauthorized("Le DGS tient la présence et les votes.")

    def _save_attendance(self) -> str:
        self._check_writer()
        if api.content.get_state(self.context) != "convoquee":
            raise ValueError("La séance est ouverte : notez qui arrive et qui part")
        self._check_seen(self.context, self.seen())
        form, members = self.request.form, self._council_members()
        if form.get("propose") and not form.get("verifie"):
            raise ValueError(
                "rien n'est noté : la présence proposée est celle que les élus ont annoncée. À faire : corrigez-la "
                "d'après la salle, puis cochez « J'ai vérifié qui est dans la salle »"
            )
        there = [name for rank, name in enumerate(members) if form.get(f"la_{rank}")]
        given = []
        for rank, name in enumerate(members):
            holder = str(form.get(f"pouvoir_{rank}") or "")
            if holder and name not in there:
                given.append(f"{name} : {_member_at_rank(holder, members)}")
        values = {"presents": there, "pouvoirs": given} | {
            name: _parse_field(form, name, members) for name in _OFFICER_FIELDS
        }
        if self.context.urgence:
            values["urgence_pour"] = _parse_field(form, "urgence_pour", members)
        enter(self.context, content.ISeance, values)
        return f"Présence notée : {self.context.attendance().count()}."

    def _open_meeting(self) -> str:
        said = self._save_attendance() if self.may_write() else ""
        return f"{said} {pages.take(self.context, 'ouvrir')}".strip()

    def _close_meeting(self) -> str:
        self._check_seen(self.context, self.seen())
        return pages.take(self.context, "clore")

    def _record_movement(self, asked: str, about: str) -> str:
        """Somebody comes or goes, from a point on."""
        self._check_writer()
        if api.content.get_state(self.context) != "ouverte":
            raise ValueError("La séance n'est pas ouverte")
        members, form = self._council_members(), self.request.form
        name = _member_at_rank(about, members)
        start = next((one for one in self._open_points() if one.UID() == form.get("des")), None)
        if start is None:
            raise ValueError("Ce point est déjà voté, ou n'est plus à l'ordre du jour. À faire : rechargez la page")
        sitting = start.attendance()
        holder = _member_at_rank(str(form["pouvoir"]), members) if asked == "part" and form.get("pouvoir") else ""
        there, given = presence.leaves(sitting, name, holder) if asked == "part" else presence.arrives(sitting, name)
        enter(start, content.IProjet, {"presents": there, "pouvoirs": given})
        rank = self._agenda_items().index(start) + 1
        said = f"{name} {'part' if asked == 'part' else 'arrive'} au point {rank}"
        said += f", pouvoir à {holder}" if holder else ""
        watch.note(self.context, said)
        known = [one for one in presence.lapsed(sitting.proxies, given) if not holder or name not in one]
        return " ; ".join([said, *known, start.attendance().count()]) + "."

    def _agenda_items(self) -> list[Any]:
        return list(self.context.projets(*ON_AGENDA))

    def _open_points(self) -> list[Any]:
        return [one for one in self.context.projets("inscrit") if not one.vote().cast]

    # -- an item

    def _requested_item(self) -> Any:
        uid = self.request.form.get("point")
        found = next((one for one in self._agenda_items() if one.UID() == uid), None)
        if found is None:
            raise ValueError("Ce point n'est plus à l'ordre du jour. À faire : rechargez la page")
        return found

    def seen(self, projet: Any = None) -> str:
        """What stands for a meeting, or one of its items, as this page shows it."""
        thing = self.context if projet is None else projet
        return f"{convocation.shown(thing)}:{_page_marks(*self._traced(projet))}"

    def _traced(self, projet: Any) -> list[Any]:
        return [self.context] if projet is None else [projet, self.context]

    def _check_seen(self, thing: Any, now: str) -> None:
        told, _colon, marks = str(self.request.form.get("vu") or "").partition(":")
        if told == now.partition(":")[0]:
            return
        found = _changes_since(marks, *self._traced(None if thing is self.context else thing))
        said = f" ({' ; '.join(found)})" if found else ""
        raise ValueError(
            f"rien n'est noté : ce que cette page montrait a changé depuis{said}. À faire : relisez, puis recommencez"
        )

    def _on(self, projet: Any, asked: str) -> str:
        if asked == "dit":
            return self._save_discussion(projet)
        steps = ("ajourner", "retirer", "revenir")
        if asked not in (*steps, "noter", "voix", "unanimite", "adopter_unanimite", "adopter", "rejeter", "effacer"):
            raise NotFound("conduire")
        self._check_seen(projet, self.seen(projet))
        if asked in steps:
            return pages.take(projet, asked)
        if api.content.get_state(self.context) != "ouverte" or api.content.get_state(projet) != "inscrit":
            raise ValueError("aucune voix ne s'y note : la séance n'est pas ouverte, ou ce point est décidé")
        if not projet.asks_a_vote():
            raise ValueError("ce point n'est pas soumis au vote")
        if not api.user.has_permission("Modify portal content", obj=projet):
            raise Unauthorized("Le DGS tient les votes.")
        if asked == "effacer":
            enter(projet, content.IProjet, _EMPTY_VOTE)
            return "les voix sont effacées."
        self._record_vote(projet, asked)
        if asked == "noter":
            return "noté."
        if asked in ("voix", "unanimite"):
            return f"vote noté, {projet.vote().sentence()}."
        return pages.take(projet, "rejeter" if asked == "rejeter" else "adopter")

    def _record_vote(self, projet: Any, asked: str) -> None:
        """Note how an item is voted, then the voices: who goes out has none."""
        form, members = self.request.form, self._council_members()
        shown = str(form.get("champs") or "").split()
        enter(
            projet,
            content.IProjet,
            {name: _parse_field(form, name, members) for name in _VOTING_FIELDS if name in shown},
        )
        if asked == "noter":
            return
        if asked in ("unanimite", "adopter_unanimite"):
            if projet.scrutin != ballots.PUBLIC:
                raise ValueError("scrutin secret : écrivez les bulletins, personne n'y est nommé (L2121-21)")
            voices = {_FOR: projet.attendance().voters(), _AGAINST: [], _ABSTAINS: []}
        else:
            voices = _parse_vote(projet, form, members)
        if closed := projet.closed_to_votes():
            raise ValueError(" ; ".join(closed))
        enter(projet, content.IProjet, voices)
        if asked == "voix" and (left := content.uncounted(projet)):
            raise ValueError(" ; ".join(left.values()))

    def _save_discussion(self, projet: Any) -> str:
        """Note what was said on an item."""
        if not aftermath.may_say(self.context):
            raise Unauthorized("Le procès-verbal est arrêté, ou vous ne l'écrivez pas.")
        form, kept = self.request.form, aftermath.talks(self.context).get(projet.UID(), "")
        if str(form.get("avant") or "") != naming.digest(kept):
            raise ValueError("rien n'est noté : cette discussion a été écrite ailleurs. À faire : rechargez la page")
        aftermath.say(self.context, {projet.UID(): str(form.get("debats") or "")})
        return "discussion notée."

    # -- what the page shows

    def state(self) -> str:
        """Of the meeting."""
        return str(api.content.get_state(self.context))

    def badge(self, thing: Any) -> dict[str, str]:
        """State of an object, and the colour of its badge."""
        state = api.content.get_state(thing)
        return {"title": pages.STATES[state], "tone": pages.TONES.get(state, "secondary")}

    def step(self, name: str) -> dict[str, Any] | None:
        """A step of the meeting that is this person's, with what lacks."""
        return next((one for one in pages.steps_of(self.context) if one["name"] == name), None)

    def opening(self) -> dict[str, Any]:
        """Who presides and who keeps the minutes, as the form shows them."""
        members, maire = self._council_members(), getattr(commune_of(self.context), "creatic_maire", "")
        president = self.context.president or (maire if maire in members else "")
        return {"president": president, "secretaire": self.context.secretaire or "", "membres": members}

    def is_proposed(self) -> bool:
        """Whether the presence that the page shows is what members announced, for nobody noted it yet."""
        if self.state() != "convoquee" or self.context.presents:
            return False
        return any(what == presence.COMES for what, _said in written.announced(self.context).values())

    def people(self) -> list[dict[str, Any]]:
        """The council, with who is there now, from when on, and whose pouvoir counts."""
        start = next(iter(self._open_points()), None)
        sitting = (start or self.context).attendance() if self.state() == "ouverte" else self.context.attendance()
        points = [
            (rank, one.presents or self.context.presents or [])
            for rank, one in enumerate(self._agenda_items(), 1)
            if self.state() != "convoquee"
        ]
        moved = presence.movements(self.context.presents or [], points)
        given, asked = sitting.given(), written.standing(self.context)
        told = written.announced(self.context) if self.state() == "convoquee" else {}
        proposed, found = self.is_proposed(), []
        for rank, name in enumerate(self._council_members()):
            wished = "" if self.context.presents else asked.get(name, "")
            what, said = told.get(name, ("", ""))
            there = name in sitting.present or (proposed and what == presence.COMES)
            found.append(
                {"rang": rank, "nom": name, "la": there, "annonce": said * bool(what),
                 "pouvoir": given.get(name) or wished, "ecrit": wished, "mouvements": ", ".join(moved.get(name, []))}
            )  # fmt: skip # one call by its parts
        return found

    def sitting(self) -> str:
        """What is counted for the quorum now, in words."""
        start = next(iter(self._open_points()), None)
        return (start or self.context).attendance().count()

    def starts(self) -> list[dict[str, Any]]:
        """The items from which on somebody may come or go."""
        agenda = self._agenda_items()
        return [{"uid": one.UID(), "rang": agenda.index(one) + 1} for one in self._open_points()]

    def gone(self) -> str:
        """Say that who keeps the minutes left."""
        start = next(iter(self._open_points()), None)
        name = self.context.secretaire
        if self.state() != "ouverte" or start is None or not name or name in start.attendance().present:
            return ""
        return (
            f"{name}, secrétaire de séance, n'est plus dans la salle : un autre tient le procès-verbal (L2121-15). "
            "Écrivez-le dans les discussions de ce point."
        )

    def points(self) -> list[dict[str, Any]]:
        """The agenda, item after item."""
        agenda = self._agenda_items()
        named = self._items_with_names(agenda)
        return [self._item_row(rank, one, one.UID() in named) for rank, one in enumerate(agenda, 1)]

    def asked(self) -> str:
        """The item whose voices somebody asks for, of the agenda; "" for none."""
        uid = str(self.request.form.get("point") or "")
        return uid if any(one.UID() == uid for one in self._agenda_items()) else ""

    def _items_with_names(self, agenda: list[Any]) -> set[str]:
        """Items whose voices this page shows one by one."""
        waiting = [one for one in agenda if api.content.get_state(one) == "inscrit" and one.asks_a_vote()]
        if len(waiting) * len(self._council_members()) <= _VOICES:
            return {one.UID() for one in waiting}
        following = next((one.UID() for one in waiting if not one.vote().cast), "")
        return {following, self.asked()}

    def _item_row(self, rank: int, projet: Any, named: bool) -> dict[str, Any]:
        state, said = api.content.get_state(projet), aftermath.talks(self.context).get(projet.UID(), "")
        steps = {one["name"] for one in pages.steps_of(projet) if not one["obstacles"]}
        own = {
            "rang": rank, "uid": projet.UID(), "titre": projet.title, "url": projet.absolute_url(),
            "numero": projet.numero or "", "sorte": projet.kind_label(), "etat": state, "badge": self.badge(projet),
            "vu": self.seen(projet), "dit": said, "avant": naming.digest(said), "steps": steps,
            "dire": aftermath.may_say(self.context), "vote": False, "lignes": [], "compte": bool(projet.compte),
            "outcome": projet.outcome(), "rapporteur": projet.rapporteur or "", "item": projet, "par_nom": named,
        }  # fmt: skip # a table
        if state in frozen.VOTED:
            own["lignes"] = [("Vote", projet.vote().sentence())]
        elif projet.asks_a_vote() and state == "inscrit":
            own |= self._ballot_fields(projet, named)
        return own

    def _ballot_fields(self, projet: Any, named: bool) -> dict[str, Any]:
        """What of an item's vote is to be entered: the fields of its mode alone."""
        members, vote, sitting = self._council_members(), projet.vote(), projet.attendance()
        represented = sitting.represented()
        cast = {name: side for side in (_FOR, _AGAINST, _ABSTAINS) for name in getattr(projet, side) or []}
        usual = _SILENT if cast else _FOR
        carried = vote.cast and not vote.missing() and vote.is_carried(projet.presided_by())
        lacking = [
            one
            for one in projet.obstacles("adopter")
            if one not in (vote.missing(), "le vote n'est pas favorable", "la séance n'est pas ouverte")
        ]
        may = self.state() == "ouverte" and bool(api.user.has_permission("Modify portal content", obj=projet))
        return {
            "vote": may, "mode": projet.scrutin, "modes": ballots.MODES, "saisi": vote.cast, "favorable": carried,
            "lignes": vote.lines() if vote.cast else [], "manque": lacking, "quorum": projet.quorum(),
            "alerte": projet.accounts_said(), "nomination": projet.is_nomination(), "presents": list(sitting.present),
            "tours": "\n".join(projet.tours or []), "plus_age": projet.plus_age or "",
            "bulletins": [(name, getattr(projet, name)) for name in _COUNTS],
            "votants": [
                {"rang": members.index(name), "nom": name, "par": represented.get(name, ""),
                 "voix": cast.get(name, usual)}
                for name in (sitting.voters() if named else ())
            ],
        }  # fmt: skip # a table

    def voices(self) -> dict[str, str]:
        """How somebody votes, by its word."""
        return VOICES

    def askers(self) -> dict[str, str]:
        """Who asks for a closed session."""
        return content.ASKERS

    def rank_of(self, name: str) -> int:
        """Rank of a member in the council."""
        return self._council_members().index(name)

    def label(self, name: str) -> str:
        """What the field of an item is called."""
        return str(getFields(content.IProjet)[name].title)

    def left(self) -> int:
        """How many items are still to be decided."""
        return sum(one.asks_a_vote() for one in self.context.projets("inscrit"))
