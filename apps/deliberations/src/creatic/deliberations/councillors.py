"""The élus' own pages: the meetings they are called to, with their papers; nothing changes there but their own pouvoir.

An élu has no permission on the preparation: these pages read for them, of the meetings of their own council to which
they were convened (CGCT, L2121-10, L2121-12, L2121-13, L2121-13-1). What they open is noted beside the receipts of the
convocation.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from creatic.deliberations import aftermath, convocation, diary, frozen, mailing, pages, reading, rules, watch, written
from creatic.deliberations.places import MEETINGS, ON_AGENDA
from plone import api
from plone.base.interfaces import IRedirectAfterLogin
from plone.namedfile.utils import set_headers, stream_data
from plone.protect.interfaces import IDisableCSRFProtection
from Products.Five.browser import BrowserView
from zExceptions import NotFound, Unauthorized
from zope.component import adapter
from zope.interface import alsoProvides, implementer
from zope.publisher.interfaces.browser import IBrowserRequest

_SPACE_TIMEZONE = ZoneInfo("Europe/Paris")
# Of a projet, what its trace calls the text that the council decides on.
_DECISION_TEXT_LABELS = ("Titre", "Objet", "Exposé des motifs", "Dispositif", "Avis des commissions")


# -- whose space it is


@implementer(IRedirectAfterLogin)
@adapter(object, IBrowserRequest)
class ToTheirSpace:
    """Leads an élu who logs in to their meetings, when nothing else was asked for."""

    def __init__(self, context: Any, request: Any) -> None:
        self.request = request

    def __call__(self, came_from: str | None = None, is_initial_login: bool = False) -> str | None:
        """See IRedirectAfterLogin."""
        asked = (came_from or "").rstrip("/")
        if asked in ("", api.portal.get().absolute_url()) or "/@@espace" in asked:
            return reading.own_space() or came_from
        return came_from


class _Space(BrowserView):
    """What all these pages do: say whose they are, and find what is asked among what is theirs.

    Attributes:
        title: of the page, also in the window's.
    """

    title = "Mes séances"

    @property
    def label(self) -> str:
        """What the title of the window begins with (`head.Title`)."""
        return self.title

    def __call__(self) -> Any:
        self.name = self._member()
        self.request.response.setHeader("Cache-Control", "private, no-store")
        return self.show()

    def show(self) -> Any:
        """Draw the page."""
        return self.index()

    def _member(self) -> str:
        """The élu who asks, as the council of this commune is written now."""
        user = None if api.user.is_anonymous() else api.user.get_current()
        seat = reading.seat_of(api.portal.get(), user.getId()) if user is not None else None
        council = getattr(self.context.aq_base, "creatic_elus", ())
        if seat is None or seat.slug != self.context.getId() or seat.name not in council:
            raise Unauthorized("Cet espace est celui des élus du conseil de cette commune.")
        return seat.name

    def meetings(self) -> Iterator[Any]:
        """Meetings to which they were convened."""
        folder = self.context.get(MEETINGS)
        for one in folder.objectValues() if folder is not None else ():
            is_dated = getattr(one, "portal_type", "") == "seance" and one.date
            if is_dated and reading.is_convened(one, self.name, api.content.get_state(one)):
                yield one

    def asked(self) -> Any:
        """The meeting that is asked for."""
        uid = str(self.request.form.get("seance") or "")
        for one in self.meetings():
            if one.UID() == uid:
                return one
        raise NotFound("Cette séance n'existe pas, ou ne vous convoque pas.")

    def points(self, meeting: Any) -> list[Any]:
        """Its agenda; none while it is taken back, for it is being changed."""
        if api.content.get_state(meeting) == diary.TAKEN_BACK:
            return []
        return list(meeting.projets(*ON_AGENDA))

    def point(self, meeting: Any, uid: str) -> Any:
        """An item of its agenda."""
        for one in self.points(meeting):
            if one.UID() == uid:
                return one
        raise NotFound("Ce point n'est pas à l'ordre du jour.")

    def opened(self, meeting: Any, piece: str, label: str) -> None:
        """Note what a person opens; what a browser fetches beforehand, or for another page, is not read."""
        asked = self.request.environ
        drawn = asked.get("HTTP_SEC_FETCH_DEST", "document") == "document"
        if self.request.method != "GET" or not drawn or asked.get("HTTP_SEC_PURPOSE"):
            return
        alsoProvides(self.request, IDisableCSRFProtection)  # nothing else is written, and it is about who asks
        reading.note(meeting, self.name, piece, label)

    # -- what templates show

    def url(self, page: str = "espace", **fields: str) -> str:
        """Address of one of these pages."""
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
        return f"{self.context.absolute_url()}/@@{page}{'?' if asked else ''}{asked}"

    def badge(self, meeting: Any) -> dict[str, str]:
        """Where a meeting stands, and the colour of its badge."""
        state = api.content.get_state(meeting)
        if state == diary.TAKEN_BACK:
            return {"title": "Ordre du jour repris", "tone": "warning"}
        return {"title": pages.STATES[state], "tone": pages.TONES.get(state, "secondary")}

    def proxy(self, holder: Any) -> list[str]:
        """Their own pouvoir, as it is noted for a meeting or an item: given, or received."""
        given = holder.attendance().given()
        told = [f"Vous avez donné pouvoir à {to}." for giver, to in given.items() if giver == self.name]
        return told + [f"{giver} vous a donné pouvoir." for giver, to in given.items() if to == self.name]


class Space(_Space):
    """The meetings: those that are coming, then the past ones, latest first."""

    def show(self) -> Any:
        """Draw the page."""
        found = list(self.meetings())
        over = [one for one in found if api.content.get_state(one) in (*frozen.ENDED, frozen.CANCELLED)]
        coming = [one for one in found if one not in over]
        self.coming = [self._row(one, True) for one in sorted(coming, key=lambda one: one.moment())]
        self.over = [self._row(one, False) for one in sorted(over, key=lambda one: one.moment(), reverse=True)]
        return self.index()

    def _row(self, meeting: Any, coming: bool) -> dict[str, Any]:
        count = len(self.points(meeting))
        version = len(meeting.dispatches())
        return {
            "titre": meeting.label(),
            "ou": f"{meeting.lieu}, {meeting.heure.replace(':', ' h ')}",
            "points": f"{count} point{'s' * (count > 1)} à l'ordre du jour" if count else "",
            "etat": self.badge(meeting),
            "url": self.url("espace-seance", seance=meeting.UID()),
            "nouveau": coming and self.name not in reading.received(meeting, version),
            "pouvoir": self.proxy(meeting),
        }


class SpaceMeeting(_Space):
    """A meeting: convocation, note of synthesis, agenda, one's pouvoir, what was settled of it."""

    def show(self) -> Any:
        """Draw the page."""
        self.meeting = meeting = self.asked()
        if self.request.method == "POST":
            return self._write()
        self.opened(meeting, "seance", "Page de la séance")
        state, sent = api.content.get_state(meeting), meeting.dispatches()
        self.title, self.state, self.uid = meeting.label(), self.badge(meeting), meeting.UID()
        self.facts = [("Lieu et heure", f"{meeting.lieu}, {meeting.heure.replace(':', ' h ')}")]
        if meeting.convoquee_le:
            again = f", version {len(sent)}" if len(sent) > 1 else ""
            self.facts.append(("Convocation", f"envoyée le {rules.french_date(meeting.convoquee_le)}{again}"))
        if meeting.urgence:
            self.facts.append(("Urgence", meeting.urgence))
        if meeting.seconde_de:
            article = meeting.its_law().second.article
            self.facts.append(("Seconde convocation", f"le conseil délibère sans condition de quorum ({article})"))
        none = "aucun n'est noté" if state in frozen.ENDED else "aucun n'est noté à ce jour"
        self.facts.append(("Votre pouvoir", " ".join(self.proxy(meeting)) or none))
        own = written.written(meeting).get(self.name)
        self.may_give = state not in (*frozen.ENDED, frozen.CANCELLED)
        self.may_write, self.may_answer = written.may_write(meeting), written.may_answer(meeting)
        self.answer = written.announced(meeting)[self.name][1]
        self.given, self.choices = "", []
        if own and not own.revoked:
            self.given = f"Vous avez écrit ici, le {written.moment(own.when)}, un pouvoir à {own.holder}."
        elif self.may_write:
            self.choices = written.choices(meeting, self.name)
        self.taken_back, self.cancelled = state == diary.TAKEN_BACK, state == frozen.CANCELLED
        self.diary = self.url("espace-agenda", seance=self.uid) if state not in frozen.ENDED else ""
        self.papers = list(self._papers(meeting))
        self.left = reading.bound(meeting).get(len(sent), {}).get("laissees", ())
        self.agenda = [self._line(rank, one) for rank, one in enumerate(self.points(meeting), 1)]
        return self.index()

    def _write(self) -> str:
        """Say whether one comes, give one's pouvoir, or take it back; the form's token is looked at when it is
        written."""
        form = self.request.form
        try:
            if form.get("reponse"):
                said = written.answer(self.meeting, self.name, str(form["reponse"]))
            elif form.get("revoquer"):
                written.revoke(self.meeting, self.name)
                said = "Votre pouvoir est révoqué."
            else:
                written.give(self.meeting, self.name, str(form.get("mandataire") or ""), bool(form.get("maladie")))
                said = "Votre pouvoir est écrit. La mairie le note à l'ouverture de la séance, si son porteur est là."
        except ValueError as error:
            api.portal.show_message(str(error), self.request, type="error")
        else:
            api.portal.show_message(said, self.request)
        self.request.response.redirect(self.url("espace-seance", seance=self.meeting.UID()))
        return ""

    def _papers(self, meeting: Any) -> Iterator[dict[str, str]]:
        sent = meeting.dispatches()
        bound = reading.bound(meeting).get(len(sent), {})
        if "fichier" in bound:
            size = mailing.megabytes(bound["fichier"].getSize())
            yield {"titre": "Tout le dossier en un seul fichier", "note": f"PDF, {size}", "url": self._piece("dossier")}
        if sent or meeting.convocation:
            yield {"titre": "Convocation", "note": "PDF", "url": self._piece("convocation")}
        if sent:
            yield {"titre": "Note de synthèse et projets", "note": "PDF", "url": self._piece("note")}
        for rank, (title, _file) in enumerate(bound.get("projets_pv", ())):
            yield {"titre": title, "note": "PDF, à arrêter (L2121-15)", "url": self._piece(f"projet-pv:{rank}")}
        if aftermath.settled(meeting) and meeting.proces_verbal:
            yield {"titre": "Procès-verbal arrêté", "note": "PDF", "url": self._piece("proces-verbal")}

    def _piece(self, piece: str) -> str:
        return self.url("espace-piece", seance=self.meeting.UID(), piece=piece)

    def _line(self, rank: int, one: Any) -> dict[str, Any]:
        annexes = len(one.annexes())
        state = api.content.get_state(one)
        about = [f"Rapporteur : {one.rapporteur}"] if one.rapporteur else []
        about += [f"{annexes} annexe{'s' * (annexes > 1)}"] if annexes else []
        about += [said.brief() for said in one.opinions()]
        return {
            "rang": one.numero or f"{rank}",
            "titre": one.title,
            "dit": " – ".join(about),
            "change": changed_since(self.meeting, one),
            "etat": {"title": pages.STATES[state], "tone": pages.TONES[state]} if state in frozen.VOTED else None,
            "url": self.url("espace-point", seance=self.meeting.UID(), point=one.UID()),
        }


class SpacePoint(_Space):
    """An item: what it is about, what is proposed, its annexes, and what the council decided."""

    def show(self) -> Any:
        """Draw the page."""
        meeting = self.asked()
        agenda = self.points(meeting)
        one = self.point(meeting, str(self.request.form.get("point") or ""))
        rank = agenda.index(one)
        self.opened(meeting, f"point:{one.UID()}", f"Point {rank + 1} : {one.title}")
        self.title, self.meeting_title = one.title, meeting.label()
        self.back = self.url("espace-seance", seance=meeting.UID())
        self.rank = f"Point {rank + 1} sur {len(agenda)}"
        self.speaker, self.change = one.rapporteur or "", changed_since(meeting, one)
        self.opinions = [said.said() for said in one.opinions()]
        self.reasons = one.expose.output if one.expose else ""
        self.decision = one.dispositif.output if one.dispositif else ""
        self.annexes = [
            {
                "titre": annex.title,
                "note": f"{_content_type(annex.file)}, {mailing.megabytes(annex.file.getSize())}",
                "url": self.url("espace-piece", seance=meeting.UID(), piece=f"annexe:{annex.UID()}"),
            }
            for annex in one.annexes()
            if annex.file
        ]
        self.result, self.act = "", ""
        if api.content.get_state(one) in frozen.VOTED:
            said = "Rejetée" if api.content.get_state(one) == "rejete" else "Adoptée"
            self.result = f"{said} {one.vote().sentence()}, sous le numéro {one.numero}."
            self.act = self.url("espace-piece", seance=meeting.UID(), piece=f"acte:{one.UID()}")
        noted = self.proxy(one)
        self.proxies = noted if noted != self.proxy(meeting) else []
        places = (("Point précédent", rank - 1), ("Point suivant", rank + 1))
        around = [(label, agenda[place]) for label, place in places if 0 <= place < len(agenda)]
        self.around = [
            {
                "titre": label,
                "objet": other.title,
                "url": self.url("espace-point", seance=meeting.UID(), point=other.UID()),
            }
            for label, other in around
        ]
        return self.index()


class SpaceDiary(_Space):
    """The file of a meeting for their own calendar; one that was convened and is cancelled says so."""

    def show(self) -> Any:
        """Send the file."""
        meeting = self.asked()
        response = self.request.response
        response.setHeader("Content-Type", "text/calendar; charset=utf-8")
        response.setHeader("Content-Disposition", f'attachment; filename="{mailing.DIARY}"')
        response.setHeader("X-Content-Type-Options", "nosniff")
        return convocation.for_diaries(meeting)


class SpacePiece(_Space):
    """A paper: ?seance=…&piece=convocation, note, dossier, proces-verbal, projet-pv:RANK, annexe:UID, acte:UID."""

    def show(self) -> Any:
        """Send the file."""
        meeting = self.asked()
        piece = str(self.request.form.get("piece") or "")
        file, name, label = self._found(meeting, piece)
        if file is None:
            raise NotFound("Cette pièce n'existe pas.")
        self.opened(meeting, piece, label)
        response = self.request.response
        set_headers(file, response, filename=name)
        if file.contentType == "application/pdf":  # a tablet shows it; anything else is only kept
            response.setHeader("Content-Disposition", f"inline; filename*=UTF-8''{quote(name)}")
        response.setHeader("X-Content-Type-Options", "nosniff")
        response.setHeader("Cache-Control", "private, no-store")
        return stream_data(file)

    def _found(self, meeting: Any, piece: str) -> tuple[Any, str, str]:
        """A paper of a meeting, its name as a file, and in words."""
        sent, day = meeting.dispatches(), meeting.date.isoformat()
        kind, _colon, uid = piece.partition(":")
        if piece == "convocation":
            return (sent[-1][1] if sent else meeting.convocation), f"convocation-{day}.pdf", "Convocation"
        if piece == "note":
            return (sent[-1][2] if sent else None), f"note-de-synthese-{day}.pdf", "Note de synthèse et projets"
        if piece == "dossier":
            return reading.bound(meeting).get(len(sent), {}).get("fichier"), f"dossier-{day}.pdf", "Dossier complet"
        if piece == "proces-verbal":
            file = meeting.proces_verbal if aftermath.settled(meeting) else None
            return file, f"proces-verbal-{day}.pdf", "Procès-verbal"
        if kind == "projet-pv" and uid.isdecimal():
            kept = reading.bound(meeting).get(len(sent), {}).get("projets_pv", ())[int(uid[:2]) :][:1]
            return (kept[0][1], kept[0][1].filename, kept[0][0]) if kept else (None, "", "")
        if kind == "acte":
            one = self.point(meeting, uid)
            return (one.document_signe or one.document), f"{one.numero}.pdf", f"Délibération {one.numero}"
        if kind == "annexe":
            for annex in (annex for one in self.points(meeting) for annex in one.annexes()):
                if annex.UID() == uid and annex.file:
                    name = re.sub(r"[\x00-\x1f/\\]", "_", annex.file.filename or annex.title)
                    return annex.file, name, f"Annexe : {annex.title}"
        return None, "", ""


def _content_type(file: Any) -> str:
    name = str(file.filename or "")
    return "PDF" if file.contentType == "application/pdf" else (name.rpartition(".")[2] or "fichier").upper()[:12]


def changed_since(meeting: Any, projet: Any) -> str:
    """Say that the text or the annexes of an item changed after the convocation was sent; "" when nothing did."""
    sent = meeting.dispatches()
    if not sent:
        return ""
    moment = datetime.datetime.fromisoformat(sent[-1][0])
    found = [
        one.when
        for one in watch.trace(projet)
        if one.when > moment and one.what.partition(" : ")[0] in _DECISION_TEXT_LABELS
    ]
    found += [
        when
        for when in (annex.modified().asdatetime().astimezone(datetime.UTC) for annex in projet.annexes())
        if when > moment
    ]
    if not found:
        return ""
    return f"Changé depuis la convocation, le {max(found).astimezone(_SPACE_TIMEZONE).strftime('%d/%m/%Y à %H:%M')}"
