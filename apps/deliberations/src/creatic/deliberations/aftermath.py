"""After a meeting: the list of what the council examined goes on line, the procès-verbal is settled, then goes too.

CGCT L2121-15, L2121-25; until when is said by `deadlines`. The list goes by itself, with the subjects that a person
confirmed one by one and a neutral line for the others, and follows what is confirmed later; the procès-verbal, which
holds what people said, goes when a person who read it puts it on line. Neither goes where deliberations say who is
helped (`publicity`). What is waited for begins when a meeting opens: one that nobody closes is late too. One that was
closed before all this was watched never is.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import html
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import transaction
from creatic.deliberations import (
    convening,
    deadlines,
    documents,
    frozen,
    gestures,
    hidden,
    naming,
    pieces,
    publicity,
    publishing,
    rules,
    subjects,
    watch,
)
from creatic.deliberations.places import ON_AGENDA, commune_of, goes_on_line, names
from plone import api
from plone.app.textfield.value import RichTextValue
from plone.namedfile.file import NamedBlobFile
from Products.Five.browser import BrowserView
from transaction.interfaces import TransientError
from zExceptions import NotFound, Unauthorized

_MANAGERS = {"DGS", "Maire"}
_WRITERS = {"Redacteur", "DGS"}
_AFTERMATH_ATTRIBUTE = "creatic_a_suivre"
_MAX_DISCUSSION_LENGTH = 50_000  # characters of what was said on an item
_NO_NAMES = "article L312-1-2 du code des relations entre le public et l’administration"
_MAX_SHOWN_NAMES = 200  # of what looks like a name in a procès-verbal
_MAX_LISTS_PER_RUN = 10  # lists put on line in a turn, which is one transaction and one answer; the next turn is near
_DRAFTS = 3  # procès-verbaux that a convocation brings to the élus: one, but for meetings close to each other
_LIST_MATTER_CODE = "5"  # Institutions et vie politique
_AFTERMATH_TIMEZONE = ZoneInfo("Europe/Paris")
_HTML_TAG_PATTERN = re.compile(r"<[^>]*>")
log = logging.getLogger("creatic.deliberations")


def _stored_values(meeting: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = getattr(meeting.aq_base, name, None) or {}
    return found


def talks(meeting: Any) -> dict[str, str]:
    """What was said on each item, by its UID; on the meeting as a whole under ""."""
    return _stored_values(meeting, "creatic_debats")


def may_say(meeting: Any) -> bool:
    """Whether this person writes down what is said at a meeting."""
    return bool(_WRITERS & set(api.user.get_roles(obj=meeting))) and not settled(meeting)


def say(meeting: Any, said: Mapping[str, str]) -> None:
    """Keep what was said, by UID of the item; of those that are not named, what was kept stays.

    Raises:
        ValueError: a text is too long; nothing is kept.
    """
    found = talks(meeting) | {uid: text.replace("\r\n", "\n").strip() for uid, text in said.items()}
    if any(len(text) > _MAX_DISCUSSION_LENGTH for text in found.values()):
        raise ValueError(f"Rien n'est noté : {_MAX_DISCUSSION_LENGTH} signes au plus par point.")
    meeting.creatic_debats = {uid: text for uid, text in found.items() if text}
    watch.note(meeting, "Discussions du procès-verbal modifiées")


def settled(meeting: Any) -> dict[str, Any]:
    """How its procès-verbal was settled: `le`, `president`, `secretaire`, `remarques`; and `en_ligne` since when."""
    return _stored_values(meeting, "creatic_arret")


def listed(meeting: Any) -> dict[str, Any]:
    """Its list: `en_ligne` since when, and `lignes`, the subjects that it shows."""
    return _stored_values(meeting, "creatic_liste")


def on_line(told: dict[str, Any]) -> datetime.date | None:
    """Since when a document is on line; None for one that is not, or that a person took off."""
    public = api.content.get(UID=told["publication"]) if told.get("en_ligne") else None
    still = public is not None and api.content.get_state(public) == "published"
    return told["en_ligne"] if still else None


def items(meeting: Any) -> list[Any]:
    """What the council examined: voted, whether adopted or rejected, in order."""
    return list(meeting.projets(*frozen.VOTED))


def veil(projet: Any) -> str:
    """Why the public reads the vote of an item alone, in French; "" when it reads all of it."""
    if projet.closed_session():
        return "huis clos (article L2121-18 du code général des collectivités territoriales)"
    if (getattr(projet.aq_base, "creatic_choix", None) or {}).get("copie"):
        return f"il porte des mentions occultées ({_NO_NAMES})"
    if subjects.confirmed(projet) is None:
        return f"son objet n'est pas encore vérifié ({_NO_NAMES})"
    return ""


def unread(meeting: Any) -> list[Any]:
    """Items of its list whose subject nobody confirmed, so that the public does not read it."""
    return [one for one in items(meeting) if subjects.confirmed(one) is None]


def _minutes_context(meeting: Any, public: bool, told: dict[str, Any] | None = None) -> dict[str, Any]:
    told = settled(meeting) if told is None else told
    return {
        "commune": commune_of(meeting).title,
        **names(commune_of(meeting)),
        "seance": meeting,
        "projets": list(meeting.projets(*ON_AGENDA)),
        "debats": talks(meeting),
        "arret": told,
        "arretes": tuple(_settled_at(meeting)),
        "public": public,
        "objet": subjects.public if public else lambda projet: projet.title,
        "voile": veil if public else lambda projet: "",
        "draft": not told and api.content.get_state(meeting) != "sans_quorum",
    }


def minutes(meeting: Any, public: bool = False, told: dict[str, Any] | None = None) -> bytes:
    """The procès-verbal as PDF: a draft until it is settled; without what was said in closed session for the public.

    Args:
        meeting: its meeting.
        public: as the public reads it.
        told: how it is about to be settled; as it was, when nothing is given.
    """
    return documents.draw("proces_verbal", **_minutes_context(meeting, public, told))


def minutes_page(meeting: Any, public: bool = False) -> str:
    """The procès-verbal as HTML."""
    return documents.page("proces_verbal", **_minutes_context(meeting, public))


def the_list(meeting: Any) -> bytes:
    """The list of what the council examined, as PDF."""
    return documents.draw("liste", **(_minutes_context(meeting, True) | {"projets": items(meeting), "draft": False}))


def _settled_at(meeting: Any) -> Iterator[str]:
    """The procès-verbaux that the council settled when this meeting began (L2121-15), in words."""
    for one in meeting.aq_parent.objectValues():
        told = settled(one) if getattr(one, "portal_type", "") == "seance" else {}
        if told and told["le"] == meeting.date and one.moment() < meeting.moment():
            how = "avec les remarques qui y sont portées" if told.get("remarques") else "sans remarque"
            yield f"Le procès-verbal de la séance du {rules.french_date(one.date)} est arrêté, {how}."


# -- what is waited for


def begin(meeting: Any) -> None:
    """A meeting was opened: its list and its procès-verbal are waited for from now on."""
    folder = meeting.aq_parent
    if not is_waited_for(meeting):
        setattr(folder, _AFTERMATH_ATTRIBUTE, (*getattr(folder.aq_base, _AFTERMATH_ATTRIBUTE, ()), meeting.UID()))


def is_waited_for(meeting: Any) -> bool:
    """Whether it was opened since this is watched, and something of it is not on line."""
    return meeting.UID() in getattr(meeting.aq_parent.aq_base, _AFTERMATH_ATTRIBUTE, ())


def _end_aftermath(meeting: Any) -> None:
    """Nothing is waited for any more, once all is on line with its subjects; settled, where nothing goes on line."""
    known, told = listed(meeting), settled(meeting)
    on_line = known.get("en_ligne") and told.get("en_ligne") and naming.UNREAD not in known.get("lignes", ())
    if on_line or (told and not goes_on_line(meeting)):
        folder = meeting.aq_parent
        left = tuple(uid for uid in getattr(folder.aq_base, _AFTERMATH_ATTRIBUTE, ()) if uid != meeting.UID())
        setattr(folder, _AFTERMATH_ATTRIBUTE, left)


def following(meeting: Any) -> Any:
    """The next meeting of the council that was opened, which settles the procès-verbal of this one; or None."""
    later = [
        one
        for one in meeting.aq_parent.objectValues()
        if getattr(one, "portal_type", "") == "seance"
        and api.content.get_state(one) in ("ouverte", "close")
        and one.moment() > meeting.moment()
    ]
    return min(later, key=lambda one: one.moment(), default=None)


def is_closed(meeting: Any) -> bool:
    """Whether a meeting is over."""
    return bool(api.content.get_state(meeting) == "close")


def drafts(meeting: Any) -> tuple[list[tuple[str, NamedBlobFile]], list[str]]:
    """Drafts of the procès-verbaux that the council settles when this meeting begins (L2121-15), with their titles; and
    those that cannot be drawn, in French."""
    before = sorted(
        (
            one
            for one in _pending_meetings(meeting.aq_parent)
            if is_closed(one) and not settled(one) and one.moment() < meeting.moment()
        ),
        key=lambda one: one.moment(),
    )
    found, undrawn = [], []
    for one in before[-_DRAFTS:]:
        title = f"Projet de procès-verbal – {one.label()}"
        name = f"projet-de-proces-verbal-{one.date.isoformat()}.pdf"
        try:
            data = minutes(one)
        except documents.RenderingError as error:  # no law has it sent: it never keeps a convocation
            undrawn.append(f"{title} : {str(error).partition('. À')[0]}")
            continue
        found.append((title, NamedBlobFile(data=data, contentType="application/pdf", filename=name)))
    return found, undrawn


def waiting(meeting: Any) -> list[deadlines.Deadline]:
    """What is still to be done of a meeting."""
    if not is_waited_for(meeting) or not goes_on_line(meeting):
        return []
    # Nothing is settled of a meeting that goes on.
    told, after = settled(meeting), following(meeting) if is_closed(meeting) else None
    return deadlines.waiting(
        meeting.date,
        bool(listed(meeting).get("en_ligne")),
        after.date if after is not None else None,
        told.get("le"),
        bool(told.get("en_ligne")),
        bool(unread(meeting)),
        body=meeting.its_law(),
    )


def _pending_meetings(folder: Any) -> Iterator[Any]:
    for uid in getattr(folder.aq_base, _AFTERMATH_ATTRIBUTE, ()):
        meeting = api.content.get(UID=uid)
        if meeting is not None and meeting.portal_type == "seance":
            yield meeting


def turn(today: datetime.date) -> dict[str, Any]:
    """Put on line the lists whose day has come, and what was confirmed since; give what was put, what could not be, and
    how much of each is late."""
    made: list[str] = []
    failed: list[str] = []
    late = dict.fromkeys((deadlines.LIST, deadlines.SETTLED, deadlines.MINUTES, deadlines.SUBJECTS), 0)
    for meeting in [one for folder in convening.folders() for one in _pending_meetings(folder)]:
        with _isolate_failures(meeting, failed):
            if len(made) < _MAX_LISTS_PER_RUN and _list_due(meeting, today):
                made.append(_meeting_name(meeting))
        with _isolate_failures(meeting, failed):
            for one in waiting(meeting):
                late[one.what] += one.is_told(today)
    return {"listes": made, "echecs": [*dict.fromkeys(failed)], "retards": late}


@contextlib.contextmanager
def _isolate_failures(meeting: Any, failed: list[str]) -> Iterator[None]:
    """Whatever is wrong with a meeting never keeps the others; the journal says what it was."""
    try:
        yield
    except TransientError:  # of two at once: Zope does it again
        raise
    except Exception:
        log.exception("Suites de la séance laissées : %s", meeting.absolute_url())
        failed.append(_meeting_name(meeting))


def _meeting_name(meeting: Any) -> str:
    return f"{commune_of(meeting).title}, {meeting.label()}"


def _list_due(meeting: Any, today: datetime.date) -> bool:
    """Put a list on line if its day has come, whole or not at all."""
    if not _is_due(meeting, today):
        return False
    before = transaction.savepoint()
    try:
        publish_list(meeting, today)
    except Exception:
        before.rollback()
        raise
    return True


def _is_due(meeting: Any, today: datetime.date) -> bool:
    """Whether a list goes on line now: its day has come, or it is there and a subject was confirmed since."""
    if not is_closed(meeting) or not goes_on_line(meeting):
        return False
    if not listed(meeting).get("en_ligne"):
        return today >= deadlines.list_goes_alone(meeting.date)
    # One of before subjects were confirmed stays what a person, or its day, made of it, till somebody confirms them.
    lines = listed(meeting).get("lignes")
    return bool(lines is not None and on_line(listed(meeting)) and lines != _list_lines(meeting))


def _list_lines(meeting: Any) -> tuple[str, ...]:
    return tuple(subjects.public(one) for one in items(meeting))


# -- on line


def _rich_text(text: str) -> RichTextValue:
    return RichTextValue(text, "text/html", "text/x-html-safe")


def _publish_document(
    meeting: Any, kind: str, title: str, body: str, document: bytes, today: datetime.date
) -> dict[str, Any]:
    """Put a document of a meeting on line; gives what is noted of it. Raises ValueError where none goes."""
    if not goes_on_line(meeting):
        raise ValueError(f"{publicity.NOTHING_ALONE}.")
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
            category=_LIST_MATTER_CODE,
            **publishing.decided(meeting, today),
            text=_rich_text(body),
            file=file,
        )
        api.content.transition(made, transition="publish")
        watch.keep(made)
    return {"en_ligne": today, "publication": made.UID()}


def _document_body(page: str) -> str:
    """What a document says, without its style."""
    return page.partition("<body>")[2].partition("</body>")[0]


def publish_list(meeting: Any, today: datetime.date) -> None:
    """Put the list of what the council examined on line (L2121-25); one that is there says what was confirmed since."""
    given = _minutes_context(meeting, True) | {"projets": items(meeting), "draft": False}
    title = f"Liste des délibérations – {meeting.label()}"
    body, document = _document_body(documents.page("liste", **given)), documents.draw("liste", **given)
    known = listed(meeting)
    if on_line(known) and goes_on_line(meeting):
        public = api.content.get(UID=known["publication"])
        file = NamedBlobFile(data=document, contentType="application/pdf", filename=public.file.filename)
        with api.env.adopt_roles(["Manager"]), watch.ours():
            publishing.fill(public, title, _rich_text(body), file, ())
            watch.note(public, "Objets vérifiés, liste complétée")
        watch.note(meeting, "Liste des délibérations complétée")
    else:
        known = known | _publish_document(meeting, "liste", title, body, document, today)
        watch.note(meeting, "Liste des délibérations mise en ligne")
    meeting.creatic_liste = known | {"lignes": _list_lines(meeting)}
    _end_aftermath(meeting)


def publish_minutes(meeting: Any, today: datetime.date, copy: bytes | None) -> None:
    """Put the procès-verbal on line (L2121-15): as the public reads it, or a copy where more was taken out."""
    body = "" if copy else _document_body(minutes_page(meeting, public=True))
    title = f"Procès-verbal – {meeting.label()}"
    document = copy or minutes(meeting, public=True)
    read = {"relu_par": str(api.user.get_current().getId()), "empreinte": hashlib.sha256(document).hexdigest()}
    meeting.creatic_arret = (
        settled(meeting) | _publish_document(meeting, "proces_verbal", title, body, document, today) | read
    )
    watch.note(meeting, f"Procès-verbal mis en ligne{', copie occultée' if copy else ''}")
    _end_aftermath(meeting)


# -- the page


class Aftermath(BrowserView):
    """The page of what follows a meeting: what was said, the list, the procès-verbal."""

    def __call__(self) -> str:
        if api.content.get_state(self.context) not in ("ouverte", "close"):
            raise NotFound("suites")
        if self.request.method != "POST":
            return str(self.index())
        done = {
            "debats": self._save_discussions,
            "liste": self._publish_list,
            "arreter": self._settle,
            "publier": self._publish_minutes,
        }
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
        return may_say(self.context)

    def may_decide(self) -> bool:
        """Whether this person puts on line."""
        return bool(_MANAGERS & self._user_roles()) and self.is_closed()

    def _user_roles(self) -> set[str]:
        return set(api.user.get_roles(obj=self.context))

    def deadlines(self) -> list[dict[str, str]]:
        """What is still to be done, and until when."""
        return to_show(self.context)

    def items(self) -> list[dict[str, Any]]:
        """Its agenda, with what was said."""
        known = talks(self.context)
        return [
            {"uid": one.UID(), "titre": one.title, "dit": known.get(one.UID(), ""),
             "vote": api.content.get_state(one) in frozen.VOTED, "numero": one.numero or "", "voile": veil(one),
             **self._subject_status(one)}
            for one in self.context.projets(*ON_AGENDA)
        ]  # fmt: skip # one call by its parts

    @staticmethod
    def _subject_status(projet: Any) -> dict[str, Any]:
        """What of an item's subject is confirmed, and what looks like a name in what the form shows."""
        found, text = subjects.confirmed(projet), subjects.proposed(projet)
        said = ""
        if found:
            day = datetime.datetime.fromisoformat(found["le"]).astimezone(_AFTERMATH_TIMEZONE).date()
            said = f"Confirmé le {rules.french_date(day)} par {found['par']} : {found['texte']}"
        return {"public": text, "vu": naming.digest(text), "noms": naming.apparent(text), "confirme": said}

    def closed_to_public(self) -> str:
        """Say why nothing of this council goes on line; "" where it does."""
        return "" if goes_on_line(self.context) else publicity.NOTHING_ALONE

    def read_before(self) -> dict[str, Any]:
        """The procès-verbal as it goes on line: what stands for it, and what looks like a private person's name.

        Of one that goes on line now alone: it was drawn, within bounds; no look at the page of another reads all of it.
        """
        if not self.may_publish():
            return {"vu": "", "noms": [], "refus": ""}
        try:
            body = _document_body(minutes_page(self.context, public=True))
        except documents.RenderingError as error:  # the page shows the rest
            return {"vu": "", "noms": [], "refus": f"{str(error)[:1].upper()}{str(error)[1:]}."}
        found = naming.apparent(html.unescape(_HTML_TAG_PATTERN.sub(" ; ", body)))
        council = set(self.context.convoques or [])
        names_found = [one for one in found if one not in council][:_MAX_SHOWN_NAMES]
        return {"vu": naming.digest(body), "noms": names_found, "refus": ""}

    def written(self) -> str:
        """What stands for the discussions that this page shows."""
        return naming.digest(*(text for item in sorted(talks(self.context).items()) for text in item))

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
        return self.may_decide() and bool(found) and not on_line(found) and goes_on_line(self.context)

    def may_list(self) -> bool:
        """Whether this person confirms its subjects, and puts it on line."""
        return self.may_decide() and goes_on_line(self.context)

    def is_listed(self) -> bool:
        """Whether the list is on line."""
        return bool(on_line(listed(self.context)))

    def listed(self) -> str:
        """Since when the list is on line, or when it goes, in words."""
        since = on_line(listed(self.context))
        left = len(unread(self.context))
        if since:
            said = f"Mise en ligne le {rules.french_date(since)}."
            return said + f" Objets à confirmer, dont le public ne lit que le numéro et le vote : {left}." * bool(left)
        if listed(self.context).get("en_ligne"):
            return "Elle a été retirée : elle n'est remise en ligne que par une personne."
        if not is_waited_for(self.context):
            return "Elle n'est pas publiée d'elle-même : la séance a été close avant que le site ne le fasse."
        return (
            f"Sans rien faire, elle est mise en ligne d'elle-même le "
            f"{rules.french_date(deadlines.list_goes_alone(self.context.date))}, avec les seuls objets confirmés ; des "
            f"autres, elle ne dit que le numéro et le vote. À confirmer : {left}."
        )

    # what a person does

    def _save_discussions(self) -> str:
        if not self.may_write():
            raise Unauthorized("Le procès-verbal est arrêté, ou vous ne l'écrivez pas.")
        form = self.request.form
        keys = {"": "debats_autres"} | {one.UID(): f"debats_{one.UID()}" for one in self.context.projets(*ON_AGENDA)}
        say(self.context, {uid: str(form.get(key) or "") for uid, key in keys.items()})
        return "Discussions notées."

    def _publish_list(self) -> str:
        if not self.may_list():
            raise Unauthorized("Vous ne publiez pas cette liste, ou elle ne se publie pas.")
        form, wrong = self.request.form, []
        for one in items(self.context):
            uid, text = one.UID(), subjects.tidy(form.get(f"objet_{one.UID()}"))
            if not form.get(f"confirme_{uid}"):
                subjects.propose(one, text)
                continue
            try:
                subjects.confirm(one, text, str(form.get(f"vu_{uid}") or ""))
            except ValueError as error:  # one subject never keeps the others
                wrong.append(str(error))
        if wrong:
            raise ValueError(f"{'. '.join(wrong)}.")
        if form.get("publier") or self.is_listed():
            publish_list(self.context, datetime.date.today())
        left = len(unread(self.context))
        said = "Liste des délibérations mise en ligne" if self.is_listed() else "Objets notés"
        return f"{said} ; objets à confirmer : {left}." if left else f"{said}."

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
        presided = [self.context.president, *(one.presided_by() for one in items(self.context))]
        present = [
            *(self.context.presents or []),
            *(name for one in items(self.context) for name in one.presents or []),
        ]
        wrong = rules.signs_problem(names["president"], names["secretaire"], list(dict.fromkeys(presided)), present)
        if wrong:
            raise ValueError(f"{wrong}.")
        if form.get("vu") != self.written():
            raise ValueError(
                "Le procès-verbal n'est pas arrêté : ses discussions ont changé depuis que cette page les montrait. À "
                "faire : relisez-les, puis arrêtez-le."
            )
        remarks = str(form.get("remarques") or "").replace("\r\n", "\n").strip()[:_MAX_DISCUSSION_LENGTH]
        told = {"le": after.date, "remarques": remarks, **names}
        drawn = minutes(self.context, told=told)  # before anything is noted
        self.context.creatic_arret = told
        with watch.ours():
            self.context.proces_verbal = NamedBlobFile(
                data=drawn, contentType="application/pdf", filename="proces-verbal.pdf"
            )
            watch.note(self.context, f"Procès-verbal arrêté à : {after.label()}")
            watch.keep(self.context)
        _end_aftermath(self.context)
        return f"Procès-verbal arrêté{' : il reste à le mettre en ligne' * goes_on_line(self.context)}."

    def _publish_minutes(self) -> str:
        if not self.may_publish():
            raise Unauthorized("Le procès-verbal n'est pas arrêté, ou il est déjà en ligne.")
        if left := unread(self.context):
            raise ValueError(
                "Rien n'est mis en ligne : ces objets ne sont pas confirmés, le public n'en lirait ni le texte ni les "
                f"discussions (L2121-15 ; CRPA, L312-1-2) : n° {', '.join(one.numero for one in left)}. À faire : "
                "confirmez-les, ci-dessus."
            )
        read = self.read_before()
        if read.get("refus"):
            raise ValueError(read["refus"])
        if self.request.form.get("vu") != read["vu"]:
            raise ValueError(
                "Rien n'est mis en ligne : le procès-verbal n'est pas celui que cette page montrait. À faire : relisez "
                "ce qui y semble nommer quelqu'un, puis mettez-le en ligne (CRPA, L312-1-2)."
            )
        given = self.request.form.get("copie")
        content = given.read() if hasattr(given, "read") else b""
        try:
            copy = pieces.occulted(minutes(self.context, public=True), content) if content else None
        except hidden.UnfitDocumentError as error:
            raise ValueError(f"Copie occultée : {error}.") from None
        publish_minutes(self.context, datetime.date.today(), copy)
        return "Procès-verbal mis en ligne."


def to_show(meeting: Any) -> list[dict[str, str]]:
    """What is still to be done of a meeting, as pages show it."""
    today, closed = datetime.date.today(), is_closed(meeting)
    return [
        {"texte": one.sentence(today, closed), "ton": "danger" if one.is_told(today) else "info"}
        for one in waiting(meeting)
    ]
