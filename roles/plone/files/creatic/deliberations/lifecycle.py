"""What happens when a meeting or a projet changes state, and what is made public."""

from __future__ import annotations

import datetime
from typing import Any

from creatic.deliberations import documents, rules, watch
from creatic.deliberations.content import ON_AGENDA, commune_of, meeting_of
from persistent.mapping import PersistentMapping
from plone import api
from plone.app.textfield.value import RichTextValue
from plone.namedfile.file import NamedBlobFile


def stored(data: bytes, name: str) -> NamedBlobFile:
    """A PDF as Plone keeps it."""
    return NamedBlobFile(data=data, contentType="application/pdf", filename=name)


def meeting_document(meeting: Any, kind: str, draft: bool = True) -> bytes:
    """Draw the convocation or the minutes of a meeting."""
    commune = commune_of(meeting)
    return documents.draw(
        kind,
        commune=commune.title,
        maire=getattr(commune, "creatic_maire", ""),
        seance=meeting,
        projets=list(meeting.projets(*ON_AGENDA)),
        draft=draft,
    )


def meeting_added(meeting: Any, _event: Any) -> None:
    """A new meeting is of the commune's council, as its file names it."""
    if not meeting.convoques:
        meeting.convoques = list(getattr(commune_of(meeting), "creatic_elus", ()))


def meeting_moved(meeting: Any, event: Any) -> None:
    """Keep the convocation once it is sent, the minutes once the meeting is closed."""
    name = event.transition.id if event.transition else ""
    if name == "convoquer":
        meeting.convoquee_le = datetime.date.today()
        meeting.convocation = stored(meeting_document(meeting, "convocation", draft=False), "convocation.pdf")
    elif name == "reprendre":
        meeting.convoquee_le = meeting.convocation = None
    elif name == "clore":
        meeting.proces_verbal = stored(meeting_document(meeting, "proces_verbal", draft=False), "proces-verbal.pdf")
    watch.keep(meeting)


def projet_moved(projet: Any, event: Any) -> None:
    """Give an adopted projet its number and its document; both never change again."""
    name = event.transition.id if event.transition else ""
    if name == "adopter":
        meeting = meeting_of(projet)
        number(projet, meeting)
        drawn = documents.draw("deliberation", commune=commune_of(projet).title, seance=meeting, projet=projet)
        projet.document = stored(drawn, f"{projet.numero}.pdf")
        projet.reindexObject()
    if event.transition:
        watch.keep(projet)


def number(projet: Any, meeting: Any) -> None:
    """Give the next number of the commune's year.

    The count is written in the same transaction as the projet: of two at once the database lets one through, Zope does
    the other again; a run that is cut off takes no number.
    """
    folder = meeting.aq_parent
    counters = getattr(folder.aq_base, "creatic_numeros", None)
    if counters is None:
        counters = folder.creatic_numeros = PersistentMapping()
    counters[meeting.date.year], projet.numero = rules.next_number(counters, meeting.date.year)


def publish(projet: Any) -> None:
    """Make an acquitted délibération public: in its meeting among the decisions, and among the publications."""
    commune, meeting = commune_of(projet), meeting_of(projet)
    named = f" (acte {projet.id_acte})" if projet.id_acte else ""
    received = f"Reçue en préfecture le {rules.french_date(projet.date_reception)}{named}."
    title, rank = f"{projet.numero} – {projet.title}", int(projet.numero.rpartition("_")[2])
    signed = stored(projet.document_signe.data, f"{projet.numero}.pdf")
    with api.env.adopt_roles(["Manager"]), watch.ours():
        public = _public_meeting(commune, meeting)
        item = api.content.create(
            container=public,
            type="Item",
            id=projet.numero.lower(),
            title=title,
            number=str(rank),
            sortable_number=rank,
            plonemeeting_uid=projet.UID(),
            plonemeeting_last_modified=datetime.datetime.now(),
            category=projet.matiere[0],
            decision=_html(f"{_text(projet.dispositif)}<p><em>Adoptée {projet.vote().sentence()}. {received}</em></p>"),
            representatives_in_charge=[],
        )
        item.formatted_title = _html(f"<p>{_escaped(title)}</p>")
        for one in (signed, *(annex.file for annex in projet.annexes())):
            _add_file(item, one)
        item.reindexObject()
        publication = api.content.create(
            container=commune.publications,
            type="Publication",
            id=projet.numero.lower(),
            safe_id=True,  # somebody may have taken the name
            title=title,
            document_type="deliberation",
            category=projet.matiere[0],
            decision_date=meeting.date,
            entry_date=datetime.date.today(),
            legislative_authority="conseil",
            subject_to_authority=None,
            enable_timestamping=False,
            supersede=None,
            text=_html(f"<p>{received}</p>"),
            file=stored(projet.document_signe.data, f"{projet.numero}.pdf"),
        )
        watch.mark(publication, projet)
        for annex in projet.annexes():
            _add_file(publication, annex.file)
        api.content.transition(publication, transition="publish")
    with watch.ours():
        api.content.transition(projet, transition="publier")


def publish_received(projet: Any, day: datetime.date) -> None:
    """Publish a délibération that the préfecture received on paper: as it was signed, else as it was drawn."""
    projet.date_reception = day
    if not projet.document_signe:
        projet.document_signe = stored(projet.document.data, f"{projet.numero}.pdf")
    projet.suivi = "acquittee"
    publish(projet)
    watch.keep(projet)
    projet.reindexObject()


def _public_meeting(commune: Any, meeting: Any) -> Any:
    folder = commune.decisions
    name = f"seance-{meeting.UID()[:12]}"
    if name in folder.objectIds():
        return folder[name]
    made = api.content.create(
        container=folder,
        type="Meeting",
        id=name,
        title=f"{rules.french_date(meeting.date)} ({meeting.heure})",
        date_time=meeting.moment(),
        meeting_type="council",
        plonemeeting_uid=meeting.UID(),
        plonemeeting_last_modified=datetime.datetime.now(),
    )
    for transition in ("send_to_project", "publish"):
        api.content.transition(made, transition=transition)
    return made


def _add_file(container: Any, given: Any) -> None:
    copy = NamedBlobFile(data=given.data, contentType=given.contentType, filename=given.filename)
    api.content.create(container=container, type="File", title=given.filename, file=copy)


def _html(text: str) -> RichTextValue:
    return RichTextValue(text, "text/html", "text/x-html-safe")


def _text(value: Any) -> str:
    return str(value.output) if value else ""


def _escaped(text: str) -> str:
    import html

    return html.escape(text, quote=False)
