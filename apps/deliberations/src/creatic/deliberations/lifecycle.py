"""What happens when a meeting or a projet changes state."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from typing import Any

from Acquisition import aq_base
from creatic.deliberations import aftermath, ballots, convening, documents, frozen, matters, reading, rules, watch
from creatic.deliberations.content import COUNCIL
from creatic.deliberations.places import ON_AGENDA, commune_of, law_of, meeting_of, names
from persistent.mapping import PersistentMapping
from plone import api
from plone.namedfile.file import NamedBlobFile

from creatic_agent import budget


def stored(data: bytes, name: str) -> NamedBlobFile:
    """A PDF as Plone keeps it."""
    return NamedBlobFile(data=data, contentType="application/pdf", filename=name)


def _draw_or_refuse(thing: Any, draw: Callable[[], bytes]) -> bytes:
    """Draw what a change of state needs; where it cannot be, nothing changes."""
    try:
        return draw()
    except documents.RenderingError as error:
        watch.undo(thing, str(error))


def meeting_document(meeting: Any, kind: str, draft: bool = True) -> bytes:
    """Draw the convocation of a meeting, or its note of synthesis."""
    commune = commune_of(meeting)
    return documents.draw(
        kind,
        commune=commune.title,
        **names(commune),
        maire=getattr(commune, "creatic_maire", ""),
        suppleant=_stand_in(meeting, getattr(commune, "creatic_maire", "")),
        seance=meeting,
        projets=list(meeting.projets(*ON_AGENDA)),
        draft=draft,
    )


def _stand_in(meeting: Any, head: str) -> str:
    """Who convenes in the place of the maire (L2122-17): nothing leaves in somebody's name that they did not approve.

    Whoever the communes' files do not name is not told: an account of before, until the next rollout.
    """
    login = convening.author(meeting)
    name = reading.name_of(api.portal.get(), login) if login else head
    return "" if name in (head, login) else name


def meeting_added(meeting: Any, _event: Any) -> None:
    """A new meeting is of the commune's council, as its file names it; or of that of a CCAS, a syndicat."""
    council = names(commune_of(meeting))["conseil"]
    if meeting.title == COUNCIL and council != COUNCIL.lower():
        meeting.title = f"{council[:1].upper()}{council[1:]}"
        meeting.reindexObject()
    if not meeting.convoques:
        meeting.convoques = list(getattr(commune_of(meeting), "creatic_elus", ()))


def meeting_moved(meeting: Any, event: Any) -> None:
    """Keep the convocation once it is sent; what follows the meeting begins once it is opened."""
    name = event.transition.id if event.transition else ""
    if name == "convoquer":
        meeting.convoquee_le = meeting.sent()
        drawn = {
            kind: _draw_or_refuse(meeting, functools.partial(meeting_document, meeting, kind, draft=False))
            for kind in ("convocation", "note")
        }
        meeting.convocation = stored(drawn["convocation"], "convocation.pdf")
        sent = [stored(data, f"{kind}.pdf") for kind, data in drawn.items()]  # kept apart: each goes its own way
        meeting.creatic_envois = (*meeting.dispatches(), (datetime.datetime.now(datetime.UTC).isoformat(), *sent))
        watch.note(meeting, f"Convocation, version {len(meeting.dispatches())}")
        convening.prepare(meeting)
        reading.bind(meeting, *aftermath.drafts(meeting))
    elif name == "reprendre":
        convening.forget(meeting)
        convening.disapprove(meeting)
        # What is sent next leaves on its own day, on which its delay depends.
        meeting.convoquee_le = meeting.convocation = meeting.envoyee_le = meeting.affichee_le = None
    elif name == "annuler":
        convening.forget(meeting)
    elif name == "ouvrir":
        convening.forget(meeting)
        aftermath.begin(meeting)
    elif name == "clore":
        aftermath.begin(meeting)  # one that was opened before this was watched from there
        if left := meeting.returned():
            watch.note(meeting, f"Numéros repris avec leur vote, non attribués : {', '.join(left)}")
    elif name == "constater":
        convening.forget(meeting)
        meeting.proces_verbal = stored(
            _draw_or_refuse(meeting, lambda: aftermath.minutes(meeting)), "proces-verbal.pdf"
        )
    watch.keep(meeting)


def projet_added(projet: Any, _event: Any) -> None:
    """A nomination is secret as long as the council did not decide otherwise (L2121-21)."""
    if projet.is_nomination() and projet.scrutin == ballots.PUBLIC:
        projet.scrutin = ballots.NOMINATION
        article = law_of(projet).secret.article
        watch.note(projet, f"Scrutin secret, d'après l'objet : nomination ou présentation ({article})")
    _propose_budget(projet)


def _propose_budget(projet: Any) -> None:
    """A budget is of one matter (nomenclature of ACTES), and its accounts are voted without their maire; a person may
    still say otherwise."""
    found = budget.of(projet.title)
    if found is None or not projet.asks_a_vote():
        return
    if projet.matiere == matters.USUAL:
        projet.matiere = budget.MATTER
        watch.note(projet, f"Matière, d'après l'objet : {matters.title(budget.MATTER)}")
    if found.kind.accounts and not projet.compte:
        projet.compte = True
        watch.note(projet, "Compte, d'après l'objet : le maire se retire au vote (L2121-14)")


def projet_moved(projet: Any, event: Any) -> None:
    """Give a projet that is adopted or rejected its number and its document; neither changes once its meeting is closed
    (L2121-25), and both are taken back with a vote that is taken again before."""
    name = event.transition.id if event.transition else ""
    if name in ("adopter", "rejeter"):
        meeting = meeting_of(projet)
        number(projet, meeting)
        own = commune_of(projet)
        given = {"commune": own.title, **names(own), "seance": meeting, "projet": projet}
        drawn = _draw_or_refuse(projet, lambda: documents.draw("deliberation", **given))
        projet.document = stored(drawn, f"{projet.numero}.pdf")
        projet.reindexObject()
    elif name == "revenir":
        give_back(projet, meeting_of(projet))
    if event.transition:
        # What a meeting may do depends on its items, and the other way round: of two at once the database lets one
        # through, Zope does the other again.
        meeting_of(projet)._p_changed = True
        watch.keep(projet)


def copied(thing: Any, _event: Any) -> None:
    """A copy begins its own life: under the follow-up of what it was made of, it would never leave once adopted."""
    for name in frozen.LIVED[thing.portal_type]:
        setattr(thing, name, None)
    base = aq_base(thing)
    for name in [one for one in vars(base) if one.startswith("creatic_")]:
        delattr(base, name)
    thing.reindexObject()


def presence_noted(projet: Any, event: Any) -> None:
    """Who is there at an item stays for the next ones that nobody has voted yet, until somebody comes or goes."""
    named = {name.rpartition(".")[2] for one in event.descriptions for name in getattr(one, "attributes", ())}
    if not (named & {"presents", "pouvoirs"} and projet.presents):
        return
    meeting = meeting_of(projet)
    agenda = list(meeting.projets("inscrit")) if meeting is not None else []
    if projet not in agenda:
        return
    for one in agenda[agenda.index(projet) + 1 :]:
        if not one.vote().cast:
            one.presents, one.pouvoirs = list(projet.presents), list(projet.pouvoirs or [])


def convene_again(meeting: Any, held: datetime.date, hour: str) -> Any:
    """Make the second meeting (L2121-17): the items that could not be voted are its agenda."""
    folder, commune = meeting.aq_parent, commune_of(meeting)
    with api.env.adopt_roles(["Manager"]), watch.ours():
        made = api.content.create(
            container=folder,
            type="seance",
            title=meeting.title,
            date=held,
            heure=hour,
            lieu=meeting.lieu,
            convoques=list(getattr(commune, "creatic_elus", ())) or list(meeting.convoques),
        )
        made.seconde_de = meeting.UID()
        for one in meeting.postponed():
            moved = api.content.move(one, made)
            moved.reportee, moved.creatic_premiere = True, meeting.UID()
            for name in frozen.OF_THE_MEETING:
                setattr(moved, name, None)
            watch.note(moved, f"Reporté faute de quorum : {meeting.label()} → {made.label()}")
            watch.note(meeting, f"« {moved.title} » reporté à : {made.label()}")
            watch.keep(moved)
        made.reindexObject()
        watch.keep(made)
    return made


def number(projet: Any, meeting: Any) -> None:
    """Give the next number of the commune's year.

    The count is written in the same transaction as the projet: of two at once the database lets one through, Zope does
    the other again; a run that is cut off takes no number.
    """
    folder = meeting.aq_parent
    counters = getattr(folder.aq_base, "creatic_numeros", None)
    if counters is None:
        counters = folder.creatic_numeros = PersistentMapping()
    year = meeting.date.year
    counters[year], projet.numero, left = rules.to_give(counters, meeting.returned(), year)
    meeting.creatic_numeros_rendus = left


def give_back(projet: Any, meeting: Any) -> None:
    """Take back the number and the document of a projet whose vote is taken again, with a trace of both."""
    was = projet.numero
    if not was:  # it was put off, or withdrawn
        return
    counters, year = meeting.aq_parent.creatic_numeros, meeting.date.year
    counters[year], meeting.creatic_numeros_rendus = rules.given_back(counters, meeting.returned(), year, was)
    projet.numero = projet.document = projet.creatic_choix = None
    projet.reindexObject()
    watch.note(meeting, f"« {projet.title} », n° {was} : vote repris")
