"""After a meeting: the list of what the council examined goes on line, the procès-verbal is settled, then goes too.

CGCT L2121-15, L2121-25; until when is said by `deadlines`. The list goes by itself once who prepares it had time to
take names out of it; the procès-verbal, which holds what people said, goes when a person puts it on line. What is
waited for begins when a meeting opens: one that nobody closes is late too. One that was closed before all this was
watched never is.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from typing import Any

import transaction
from creatic.deliberations import convening, deadlines, documents, frozen, gestures, hidden, publishing, rules, watch
from creatic.deliberations.content import ON_AGENDA, commune_of, names
from plone import api
from plone.app.textfield.value import RichTextValue
from plone.namedfile.file import NamedBlobFile
from Products.Five.browser import BrowserView
from zExceptions import NotFound, Unauthorized

_MANAGERS = {"DGS", "Maire"}
_WRITERS = {"Redacteur", "DGS"}
_WAITING = "creatic_a_suivre"
_TALK = 50_000  # characters of what was said on an item
_SUBJECT = 500
_AT_ONCE = 20  # lists put on line in a turn, which is one transaction and one answer; the next turn is near
_DRAFTS = 3  # procès-verbaux that a convocation brings to the élus: one, but for meetings close to each other
_MATTER = "5"  # Institutions et vie politique
log = logging.getLogger("creatic.deliberations")


def _kept(meeting: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = getattr(meeting.aq_base, name, None) or {}
    return found


def talks(meeting: Any) -> dict[str, str]:
    """What was said on each item, by its UID; on the meeting as a whole under ""."""
    return _kept(meeting, "creatic_debats")


def settled(meeting: Any) -> dict[str, Any]:
    """How its procès-verbal was settled: `le`, `president`, `secretaire`, `remarques`; and `en_ligne` since when."""
    return _kept(meeting, "creatic_arret")


def listed(meeting: Any) -> dict[str, Any]:
    """Its list: `objets` as the public reads them, by UID, and `en_ligne` since when."""
    return _kept(meeting, "creatic_liste")


def on_line(told: dict[str, Any]) -> datetime.date | None:
    """Since when a document is on line; None for one that is not, or that a person took off."""
    public = api.content.get(UID=told["publication"]) if told.get("en_ligne") else None
    still = public is not None and api.content.get_state(public) == "published"
    return told["en_ligne"] if still else None


def items(meeting: Any) -> list[Any]:
    """What the council examined: voted, whether adopted or rejected, in order."""
    return list(meeting.projets(*frozen.VOTED))


def subject(projet: Any) -> str:
    """An item's subject as the public reads it; in a person's words alone, if it is veiled or names somebody.

    The list goes on line by itself: no name of a private person does (CRPA, L312-1-2).
    """
    meeting = projet.aq_parent
    known = listed(meeting).get("objets", {}).get(projet.UID())
    chosen = (getattr(projet.aq_base, "creatic_choix", None) or {}).get("objet")
    unread = is_veiled(projet) or rules.names_somebody(projet.title, meeting.convoques or [])
    return str(known or chosen or ("Objet non publié" if unread else projet.title))


def is_veiled(projet: Any) -> bool:
    """Whether the public reads its vote alone: it was voted in closed session, or its act is published occulted."""
    occulted = (getattr(projet.aq_base, "creatic_choix", None) or {}).get("copie")
    return bool(projet.closed_session() or occulted)


def _given(meeting: Any, public: bool) -> dict[str, Any]:
    return {
        "commune": commune_of(meeting).title,
        **names(commune_of(meeting)),
        "seance": meeting,
        "projets": list(meeting.projets(*ON_AGENDA)),
        "debats": talks(meeting),
        "arret": settled(meeting),
        "public": public,
        "objet": subject if public else lambda projet: projet.title,
        "voile": is_veiled if public else lambda projet: False,
        "draft": not settled(meeting) and api.content.get_state(meeting) != "sans_quorum",
    }


def minutes(meeting: Any, public: bool = False) -> bytes:
    """The procès-verbal as PDF: a draft until it is settled; without what was said in closed session for the public."""
    return documents.draw("proces_verbal", **_given(meeting, public))


def minutes_page(meeting: Any, public: bool = False) -> str:
    """The procès-verbal as HTML."""
    return documents.page("proces_verbal", **_given(meeting, public))


def the_list(meeting: Any) -> bytes:
    """The list of what the council examined, as PDF."""
    return documents.draw("liste", **(_given(meeting, True) | {"projets": items(meeting), "draft": False}))


# -- what is waited for


def begin(meeting: Any) -> None:
    """A meeting was opened: its list and its procès-verbal are waited for from now on."""
    folder = meeting.aq_parent
    if not is_waited_for(meeting):
        setattr(folder, _WAITING, (*getattr(folder.aq_base, _WAITING, ()), meeting.UID()))


def is_waited_for(meeting: Any) -> bool:
    """Whether it was opened since this is watched, and something of it is not on line."""
    return meeting.UID() in getattr(meeting.aq_parent.aq_base, _WAITING, ())


def _end(meeting: Any) -> None:
    """Nothing is waited for any more, once all is on line."""
    if listed(meeting).get("en_ligne") and settled(meeting).get("en_ligne"):
        folder = meeting.aq_parent
        left = tuple(uid for uid in getattr(folder.aq_base, _WAITING, ()) if uid != meeting.UID())
        setattr(folder, _WAITING, left)


def following(meeting: Any) -> Any:
    """The next meeting of the council that was opened, which settles the procès-verbal of this one; or None."""
    later = [
        one
        for one in meeting.aq_parent.objectValues()
        if getattr(one, "portal_type", "") == "seance"
        and one.date
        and one.moment() > meeting.moment()
        and api.content.get_state(one) in ("ouverte", "close")
    ]
    return min(later, key=lambda one: one.moment(), default=None)


def is_closed(meeting: Any) -> bool:
    """Whether a meeting is over."""
    return bool(api.content.get_state(meeting) == "close")


def drafts(meeting: Any) -> list[tuple[str, NamedBlobFile]]:
    """Drafts of the procès-verbaux that the council settles when this meeting begins (L2121-15), with their titles."""
    before = sorted(
        (
            one
            for one in _waited(meeting.aq_parent)
            if is_closed(one) and not settled(one) and one.moment() < meeting.moment()
        ),
        key=lambda one: one.moment(),
    )
    return [
        (
            f"Projet de procès-verbal – {one.label()}",
            NamedBlobFile(
                data=minutes(one),
                contentType="application/pdf",
                filename=f"projet-de-proces-verbal-{one.date.isoformat()}.pdf",
            ),
        )
        for one in before[-_DRAFTS:]
    ]


def waiting(meeting: Any) -> list[deadlines.Deadline]:
    """What is still to be done of a meeting."""
    if not is_waited_for(meeting):
        return []
    told, after = settled(meeting), following(meeting)
    return deadlines.waiting(
        meeting.date,
        bool(listed(meeting).get("en_ligne")),
        after.date if after is not None else None,
        told.get("le"),
        bool(told.get("en_ligne")),
    )


def _waited(folder: Any) -> Iterator[Any]:
    for uid in getattr(folder.aq_base, _WAITING, ()):
        meeting = api.content.get(UID=uid)
        if meeting is not None and meeting.portal_type == "seance":
            yield meeting


def turn(today: datetime.date) -> dict[str, Any]:
    """Put on line the lists whose day has come; give what was put, what could not be, and how much of each is late."""
    made: list[str] = []
    failed: list[str] = []
    late = dict.fromkeys((deadlines.LIST, deadlines.SETTLED, deadlines.MINUTES), 0)
    for meeting in [one for folder in convening.folders() for one in _waited(folder)]:
        name = f"{commune_of(meeting).title}, {meeting.label()}"
        due = not listed(meeting).get("en_ligne") and today >= deadlines.list_goes_alone(meeting.date)
        if due and is_closed(meeting) and len(made) < _AT_ONCE:
            before = transaction.savepoint()
            try:
                publish_list(meeting, today)
                made.append(name)
            except Exception:  # one meeting never keeps the others; the journal says what it was
                before.rollback()
                log.exception("Liste des délibérations non publiée : %s", name)
                failed.append(name)
        for one in waiting(meeting):
            late[one.what] += one.late(today)
    return {"listes": made, "echecs": failed, "retards": late}


# -- on line


def _html(text: str) -> RichTextValue:
    return RichTextValue(text, "text/html", "text/x-html-safe")


def _publish(meeting: Any, kind: str, title: str, body: str, document: bytes, today: datetime.date) -> dict[str, Any]:
    """Put a document of a meeting on line; gives what is noted of it."""
    name = f"{kind.replace('_', '-')}-{meeting.date.isoformat()}"
    file = NamedBlobFile(data=document, contentType="application/pdf", filename=f"{name}.pdf")
    with api.env.adopt_roles(["Manager"]), watch.ours():
        made = api.content.create(
            container=commune_of(meeting).publications,
            type="Publication",
            id=name,
            safe_id=True,  # a second meeting on the same day, or one that was withdrawn
            title=title,
            document_type=kind,
            category=_MATTER,
            **publishing.decided(meeting, today),
            text=_html(body),
            file=file,
        )
        api.content.transition(made, transition="publish")
        watch.keep(made)
    return {"en_ligne": today, "publication": made.UID()}


def _body(page: str) -> str:
    """What a document says, without its style."""
    return page.partition("<body>")[2].partition("</body>")[0]


def publish_list(meeting: Any, today: datetime.date) -> None:
    """Put the list of what the council examined on line (L2121-25)."""
    given = _given(meeting, True) | {"projets": items(meeting), "draft": False}
    title = f"Liste des délibérations – {meeting.label()}"
    body, document = _body(documents.page("liste", **given)), documents.draw("liste", **given)
    meeting.creatic_liste = listed(meeting) | _publish(meeting, "liste", title, body, document, today)
    watch.note(meeting, "Liste des délibérations mise en ligne")
    _end(meeting)


def publish_minutes(meeting: Any, today: datetime.date, copy: bytes | None) -> None:
    """Put the procès-verbal on line (L2121-15): as the public reads it, or a copy where more was taken out."""
    body = "" if copy else _body(minutes_page(meeting, public=True))
    title = f"Procès-verbal – {meeting.label()}"
    document = copy or minutes(meeting, public=True)
    meeting.creatic_arret = settled(meeting) | _publish(meeting, "proces_verbal", title, body, document, today)
    watch.note(meeting, f"Procès-verbal mis en ligne{', copie occultée' if copy else ''}")
    _end(meeting)


# -- the page


class Aftermath(BrowserView):
    """The page of what follows a meeting: what was said, the list, the procès-verbal."""

    def __call__(self) -> str:
        if api.content.get_state(self.context) not in ("ouverte", "close"):
            raise NotFound("suites")
        if self.request.method != "POST":
            return str(self.index())
        done = {"debats": self._talk, "liste": self._list, "arreter": self._settle, "publier": self._publish}
        action = done.get(str(self.request.form.get("faire") or ""))
        if action is None:
            raise NotFound("suites")
        return gestures.answer(self.request, action, f"{self.context.absolute_url()}/@@suites")

    # what the page shows

    def is_closed(self) -> bool:
        """Whether the meeting is over."""
        return is_closed(self.context)

    def may_write(self) -> bool:
        """Whether this person writes down what was said."""
        return bool(_WRITERS & self._roles()) and not settled(self.context)

    def may_decide(self) -> bool:
        """Whether this person puts on line."""
        return bool(_MANAGERS & self._roles()) and self.is_closed()

    def _roles(self) -> set[str]:
        return set(api.user.get_roles(obj=self.context))

    def deadlines(self) -> list[dict[str, str]]:
        """What is still to be done, and until when."""
        return told(self.context)

    def items(self) -> list[dict[str, Any]]:
        """Its agenda, with what was said."""
        known = talks(self.context)
        return [
            {"uid": one.UID(), "titre": one.title, "dit": known.get(one.UID(), ""), "public": subject(one),
             "vote": one in items(self.context), "numero": one.numero or "",
             "voile": is_veiled(one)}
            for one in self.context.projets(*ON_AGENDA)
        ]  # fmt: skip # one call by its parts

    def other_talk(self) -> str:
        """What was said beside the items."""
        return talks(self.context).get("", "")

    def settled(self) -> str:
        """How the procès-verbal was settled, in words."""
        found = settled(self.context)
        if not found:
            return ""
        since = on_line(found)
        told = f" Mis en ligne le {rules.french_date(since)}." if since else ""
        return (
            f"Arrêté à la séance du {rules.french_date(found['le'])}, signé par {found['president']}, président de "
            f"séance, et {found['secretaire']}, secrétaire.{told}"
        )

    def to_settle(self) -> str:
        """Day of the meeting that settles it, in words; "" while there is none."""
        found = following(self.context)
        return rules.french_date(found.date) if found is not None else ""

    def may_publish(self) -> bool:
        """Whether this person puts the procès-verbal on line now."""
        found = settled(self.context)
        return self.may_decide() and bool(found) and not on_line(found)

    def may_list(self) -> bool:
        """Whether this person puts the list on line now."""
        return self.may_decide() and not on_line(listed(self.context))

    def listed(self) -> str:
        """Since when the list is on line, or when it goes, in words."""
        since = on_line(listed(self.context))
        if since:
            return f"Mise en ligne le {rules.french_date(since)}."
        if listed(self.context).get("en_ligne"):
            return "Elle a été retirée : elle n'est remise en ligne que par une personne."
        if not is_waited_for(self.context):
            return "Elle n'est pas publiée d'elle-même : la séance a été close avant que le site ne le fasse."
        return (
            f"Sans rien faire, elle est mise en ligne d'elle-même le "
            f"{rules.french_date(deadlines.list_goes_alone(self.context.date))}."
        )

    # what a person does

    def _talk(self) -> str:
        if not self.may_write():
            raise Unauthorized("Le procès-verbal est arrêté, ou vous ne l'écrivez pas.")
        form = self.request.form
        keys = {"": "debats_autres"} | {one.UID(): f"debats_{one.UID()}" for one in self.context.projets(*ON_AGENDA)}
        found = {uid: str(form.get(key) or "").replace("\r\n", "\n").strip() for uid, key in keys.items()}
        long = [uid for uid, text in found.items() if len(text) > _TALK]
        if long:
            raise ValueError(f"Rien n'est noté : {_TALK} signes au plus par point.")
        self.context.creatic_debats = {uid: text for uid, text in found.items() if text}
        watch.note(self.context, "Discussions du procès-verbal modifiées")
        return "Discussions notées."

    def _list(self) -> str:
        if not self.may_list():
            raise Unauthorized("La liste est déjà en ligne, ou vous ne la publiez pas.")
        form = self.request.form
        subjects = {
            one.UID(): " ".join(str(form.get(f"objet_{one.UID()}") or "").split())[:_SUBJECT]
            for one in items(self.context)
        }
        self.context.creatic_liste = listed(self.context) | {
            "objets": {uid: text for uid, text in subjects.items() if text}
        }
        if not form.get("publier"):
            return "Objets notés."
        publish_list(self.context, datetime.date.today())
        return "Liste des délibérations mise en ligne."

    def _settle(self) -> str:
        if not self.may_decide() or settled(self.context):
            raise Unauthorized("Le procès-verbal est déjà arrêté, ou vous ne l'arrêtez pas.")
        after, form = following(self.context), self.request.form
        if after is None:
            raise ValueError(
                "Le procès-verbal s'arrête au commencement de la séance suivante (L2121-15) : elle n'est pas ouverte."
            )
        names = {key: " ".join(str(form.get(key) or "").split())[:100] for key in ("president", "secretaire")}
        if not all(names.values()):
            raise ValueError("Le procès-verbal est signé par le président et le secrétaire de séance (L2121-15).")
        remarks = str(form.get("remarques") or "").replace("\r\n", "\n").strip()[:_TALK]
        self.context.creatic_arret = {"le": after.date, "remarques": remarks, **names}
        with watch.ours():
            self.context.proces_verbal = NamedBlobFile(
                data=minutes(self.context), contentType="application/pdf", filename="proces-verbal.pdf"
            )
            watch.note(self.context, f"Procès-verbal arrêté à : {after.label()}")
            watch.keep(self.context)
        return "Procès-verbal arrêté : il reste à le mettre en ligne."

    def _publish(self) -> str:
        if not self.may_publish():
            raise Unauthorized("Le procès-verbal n'est pas arrêté, ou il est déjà en ligne.")
        given = self.request.form.get("copie")
        content = given.read() if hasattr(given, "read") else b""
        try:
            copy = hidden.occulted(minutes(self.context, public=True), content) if content else None
        except hidden.Unfit as error:
            raise ValueError(f"Copie occultée : {error}.") from None
        publish_minutes(self.context, datetime.date.today(), copy)
        return "Procès-verbal mis en ligne."


def told(meeting: Any) -> list[dict[str, str]]:
    """What is still to be done of a meeting, as pages show it."""
    today, closed = datetime.date.today(), is_closed(meeting)
    return [
        {"texte": one.sentence(today, closed), "ton": "danger" if one.late(today) else "info"}
        for one in waiting(meeting)
    ]
