"""Pages: a meeting, a projet, the documents, the registre, and the public front of the site."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from creatic.deliberations import (
    aftermath,
    ballots,
    budgets,
    convening,
    convocation,
    documents,
    frozen,
    gestures,
    hidden,
    lifecycle,
    mailing,
    matters,
    presence,
    publishing,
    reading,
    rules,
    watch,
    workflows,
    written,
)
from creatic.deliberations.places import ON_AGENDA, commune_of, goes_on_line, meeting_of, names
from plone import api
from plone.app.layout.viewlets.common import ViewletBase
from plone.dexterity.browser.view import DefaultView
from plone.namedfile.file import NamedBlobFile
from Products.Five.browser import BrowserView
from zExceptions import NotFound

from creatic_agent import budget, law

STATES = {name: state.title for workflow in workflows.WORKFLOWS.values() for name, state in workflow.states.items()}
TONES = {
    "adopte": "success", "publie": "success", "rejete": "danger", "inscrit": "primary", "a_valider": "warning",
    "ouverte": "primary", "close": "success", "convoquee": "warning", "sans_quorum": "danger",
    "ajourne": "warning", "annulee": "danger",
}  # fmt: skip # a table

_PAGES_TIMEZONE = ZoneInfo("Europe/Paris")


def _as_sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}."


class Shared(BrowserView):
    """A block that several pages have: who asks for it alone, of no page, finds nothing."""

    def __call__(self) -> Any:
        raise NotFound(self.__name__)


_OF_VOTES = ("adopter", "rejeter")


def steps_of(thing: Any) -> list[dict[str, Any]]:
    """Transitions of a meeting's or a projet's present state that are this person's: `name`, `title`, `obstacles`."""
    state = api.content.get_state(thing)
    wanted = workflows.WORKFLOWS[thing.portal_type]
    roles = set(api.user.get_roles(obj=thing))
    heard = thing.portal_type == "projet" and not thing.asks_a_vote()
    return [
        {"name": name, "title": transition.title, "obstacles": thing.obstacles(name)}
        for name, transition in wanted.transitions.items()
        if state in transition.origins and roles & set(transition.roles) and not (heard and name in _OF_VOTES)
    ]


def take(thing: Any, asked: str, seen: bool = True) -> str:
    """Take a step; gives what is said of it.

    Args:
        thing: a meeting or a projet.
        asked: name of the transition.
        seen: whether the person saw the thing as it is.

    Raises:
        ValueError: it is refused; the reason, in French.
    """
    one = next((step for step in steps_of(thing) if step["name"] == asked), None)
    if one is None:
        now = STATES[api.content.get_state(thing)]
        raise ValueError(f"Cette étape n'est pas possible : l'état est « {now} », ou elle n'est pas la vôtre.")
    if not seen:
        raise ValueError(
            f"« {one['title']} » est refusé : ce que cette page montrait a changé depuis. À faire : relisez-la, "
            "puis recommencez."
        )
    if one["obstacles"]:
        raise ValueError(f"« {one['title']} » est refusé : {' ; '.join(one['obstacles'])}.")
    api.content.transition(thing, transition=asked)
    return f"« {one['title']} » est fait : l'état est « {STATES[api.content.get_state(thing)]} »."


class _Steps:
    """What may be done next, and what is missing for the rest."""

    context: Any

    def steps(self) -> list[dict[str, Any]]:
        """Transitions of the present state that are this person's."""
        return steps_of(self.context)

    def shown(self) -> str:
        """What stands for what this page shows."""
        return convocation.shown(self.context)

    def badge(self, thing: Any) -> dict[str, str]:
        """State of an object, and the colour of its badge."""
        state = api.content.get_state(thing)
        return {"title": STATES[state], "tone": TONES.get(state, "secondary")}

    def day(self, value: datetime.date) -> str:
        """A date, in words."""
        return rules.french_date(value)


class Step(BrowserView, _Steps):
    """Takes the step that a form asks for; a link takes none."""

    def __call__(self) -> str:
        page = self.context.absolute_url()
        if self.request.method != "POST":
            self.request.response.redirect(page)
            return ""
        return gestures.answer(self.request, self._take_step, page)

    def _take_step(self) -> str:
        form = self.request.form
        return take(self.context, str(form.get("faire") or ""), form.get("vu") == self.shown())


class SeanceView(DefaultView, _Steps):
    """A meeting with its agenda."""

    def points(self) -> list[Any]:
        """Its projets."""
        return list(self.context.projets())

    def fixed(self) -> str:
        """Say why nothing of it changes any more."""
        found = watch.lock(self.context)
        return _as_sentence(found.reason) if found else ""

    def may_add(self) -> bool:
        """Whether this person adds projets."""
        return bool(api.user.has_permission("creatic.deliberations: Add projet", obj=self.context))

    def has_minutes(self) -> bool:
        """Whether there is something to say of what happened."""
        return api.content.get_state(self.context) in ("ouverte", *frozen.ENDED)

    def may_convene_again(self) -> bool:
        """Whether this person convenes the council again on what it could not vote (L2121-17)."""
        roles = set(api.user.get_roles(obj=self.context))
        return bool(roles & {"DGS", "Maire"}) and bool(self.context.postponed())

    def delay(self) -> str:
        """What the delay of the convocation asks, in words."""
        first = rules.french_date(self.context.delay().earliest(self.context.sent()), weekday=True)
        days, article = self.context.delay().days, self.context.delay().article
        sent = "Convoquée" if self.context.convoquee_le else "Si elle est convoquée"
        named = (
            f"le {rules.french_date(self.context.sent())}" if self.context.sent() != _paris_today() else "aujourd'hui"
        )
        return (
            f"{sent} {named}, elle se tient à partir du {first} : {days} jour{'s' if days > 1 else ''} "
            f"franc{'s' if days > 1 else ''} ({article})."
        )

    def law_label(self) -> str:
        """What sort of body meets, as the table of law calls it."""
        return str(self.context.its_law().label)

    def law_rows(self) -> list[dict[str, str]]:
        """What the law asks of whose council meets, rule by rule."""
        return [
            {
                "regle": label,
                "texte": rule.said,
                "article": rule.source,
                "doute": "" if rule.standing is law.Standing.READ else str(rule.standing),
            }
            for label, rule in self.context.its_law().rules()
        ]

    def law_doubts(self) -> list[str]:
        """What is meant by a rule that is not settled, or not read, where there are some."""
        found = {rule.standing for _label, rule in self.context.its_law().rules()} - {law.Standing.READ}
        return [_as_sentence(f"{one} : {law.MEANINGS[one]}") for one in law.Standing if one in found]

    def may_approve(self) -> bool:
        """Whether this person approves the convocation, which bears their name, as it is now."""
        preparing = api.content.get_state(self.context) == "en_preparation"
        may = preparing and "Maire" in api.user.get_roles(obj=self.context)
        return may and (not self.approval() or convening.takes_up(self.context))

    def to_approve(self) -> str:
        """What stands for the convocation that this page shows."""
        return convocation.substance(self.context)

    def approval(self) -> str:
        """Who approved the convocation as it is, or as it was sent, in words."""
        found = convocation.approval(self.context)
        sent = api.content.get_state(self.context) != "en_preparation"
        if not found or (not sent and found["empreinte"] != convocation.substance(self.context)):
            return ""
        moment = datetime.datetime.fromisoformat(found["le"]).astimezone(_PAGES_TIMEZONE).strftime("%d/%m/%Y à %H:%M")
        return f"Convocation approuvée par {found['par']} le {moment} (L2121-10)."

    def deadlines(self) -> list[dict[str, str]]:
        """What is still to be done after it, and until when."""
        return aftermath.to_show(self.context)

    def is_held(self) -> bool:
        """Whether what follows it can be prepared: it is in session, or over."""
        return api.content.get_state(self.context) in ("ouverte", "close")

    def is_conducted(self) -> bool:
        """Whether its evening has a page: the council is convened, or in session."""
        return api.content.get_state(self.context) in ("convoquee", "ouverte")

    def is_over(self) -> bool:
        """Whether its acts may be published together."""
        return aftermath.is_closed(self.context)

    def has_mails(self) -> bool:
        """Whether it was convened by mail, or something of it was opened."""
        return convening.is_logged(self.context)

    def written(self) -> list[dict[str, Any]]:
        """Pouvoirs that élus wrote in their space (L2121-20)."""
        return written.rows(self.context, bool(api.user.has_permission("Modify portal content", obj=self.context)))

    def answers(self) -> dict[str, Any]:
        """What élus announced, until the meeting opens: `resume`, and `lignes`, a name and the rest; {} where none of
        them answers here."""
        found = written.announced(self.context)
        asked = reading.space(commune_of(self.context)) or any(what for what, _said in found.values())
        if not (written.may_answer(self.context) and asked):
            return {}
        moments = {
            name: f", le {written.moment(when)}" for name, (_what, when) in written.answers(self.context).items()
        }
        count = sum(what == presence.COMES for what, _said in found.values())
        needed = self.context.attendance().needed
        return {
            "resume": f"Se disent présents : {count} sur {len(found)}, {needed} requis pour le quorum.",
            "lignes": [(name, f"{said}{moments.get(name, '')}") for name, (_what, said) in found.items()],
        }

    def unsent(self) -> str:
        """Say, until it is held, that its last convocation left by mail without the papers."""
        mails = convocation.mails(self.context)
        awaited = mails and api.content.get_state(self.context) == "convoquee"
        return convening.unsent(self.context, mails[-1]) if awaited else ""

    def mailing(self) -> str:
        """Say, before it is convened, to whom a mail leaves, and what is too heavy for it."""
        if api.content.get_state(self.context) != "en_preparation" or self.context.envoyee_le:
            return ""
        known = convening.addresses(commune_of(self.context))
        called = list(self.context.convoques or [])
        count = sum(known.get(name, mailing.PAPER) != mailing.PAPER for name in called)
        said = f"Convoquer envoie {count} courriel{'s' * (count > 1)} ; {len(called) - count} sur papier."
        heavy = convening.heavy_annexes(self.context)
        return f"{said} Annexes {heavy}." if heavy else said

    def dispatches(self) -> list[dict[str, Any]]:
        """What was sent each time, latest first."""
        moments = [datetime.datetime.fromisoformat(when) for when, *_sent in self.context.dispatches()]
        found = [
            {"version": rank, "when": moment.astimezone(_PAGES_TIMEZONE).strftime("%d/%m/%Y à %H:%M")}
            for rank, moment in enumerate(moments, 1)
        ]
        return found[::-1]


def _paris_today() -> datetime.date:
    return datetime.date.today()


class ProjetView(DefaultView, _Steps):
    """A projet with its vote and its follow-up."""

    def meeting(self) -> Any:
        """The meeting it is of."""
        return meeting_of(self.context)

    def is_held(self) -> bool:
        """Whether who is there counts: the meeting is in session, or was."""
        return api.content.get_state(self.meeting()) in ("ouverte", *frozen.ENDED)

    def matter(self) -> str:
        """Its matter, in words."""
        return matters.title(self.context.matiere)

    def stays(self) -> str:
        """Why it is not transmitted to the préfecture, in words."""
        return rules.STAYS.get(self.context.non_transmis or "", "")

    def may_vote(self) -> bool:
        """Whether this person enters the vote now."""
        now = (api.content.get_state(self.meeting()), api.content.get_state(self.context))
        return (
            now == ("ouverte", "inscrit")
            and self.context.asks_a_vote()
            and bool(api.user.has_permission("Modify portal content", obj=self.context))
        )

    def may_join(self) -> bool:
        """Whether this person adds annexes now."""
        frozen_now = api.content.get_state(self.context) in frozen.VOTED
        return not frozen_now and bool(api.user.has_permission("plone.app.contenttypes: Add File", obj=self.context))

    def warning(self) -> str:
        """Say who leaves and who presides, where the accounts of a maire are about to be voted."""
        return str(self.context.accounts_said()) if self.may_vote() else ""

    def budget(self) -> dict[str, Any]:
        """What there is to say of the XML of its budget: `nom`, `fautes`, `manque`, `remplacer`; nothing where it has
        none and needs none."""
        own, decided = self.context, api.content.get_state(self.context) in ("adopte", "publie")
        found = budget.of(own.title)
        if own.budget_xml is None and not (found and found.kind.code and own.asks_a_vote()):
            return {}
        gone = bool(own.suivi)
        return {
            "nom": own.budget_xml.filename if own.budget_xml else "",
            "fautes": [] if gone else [_as_sentence(one) for one in own.budget_problems(voted=decided)],
            "attend": decided and not gone,
            "remplacer": decided and not gone and may_bring_budget(own),
        }

    def nomination(self) -> str:
        """Say how a nomination is voted, until it is."""
        if api.content.get_state(self.context) in frozen.VOTED or not self.context.is_nomination():
            return ""
        said, one = ballots.MODES[self.context.scrutin], self.meeting().its_law().nomination
        return (
            f"Nomination ou présentation : {one.said} ({one.article}). Scrutin choisi : {said[:1].lower()}{said[1:]}."
        )

    def publication(self) -> dict[str, str]:
        """Where its publication stands, once it is adopted."""
        page = publishing.Publication(self.context, self.request)
        return page.status() if publishing.concerns(self.context) else {}

    def follow_up(self) -> str:
        """Where it stands after the meeting."""
        said = rules.STEP_LABELS.get(self.context.suivi, "")
        if self.context.suivi == "a_publier" and self.context.non_transmis:
            said = rules.NOT_SENT
        return f"{said} : {self.context.suivi_motif}" if said and self.context.suivi_motif else said


def may_bring_budget(projet: Any) -> bool:
    """Whether this person brings the XML of what was voted in the place of its project."""
    return bool({"DGS", "Maire"} & set(api.user.get_roles(obj=projet)))


class _Pdf(BrowserView):
    """A PDF, shown by the browser."""

    def _draw(self, draw: Callable[[], bytes], name: str, kind: str = "application/pdf") -> bytes:
        """Send what is drawn now; where it cannot be, the page that it is of says why."""
        try:
            data = draw()
        except documents.RenderingError as error:
            api.portal.show_message(_as_sentence(str(error)), self.request, type="error")
            # A folder has a page of its own for its meetings.
            page = "" if self.context.portal_type == "seance" else "/@@preparation"
            self.request.response.redirect(f"{self.context.absolute_url()}{page}")
            return b""
        return self._send_file(data, name, kind)

    def _send_file(self, data: bytes, name: str, kind: str = "application/pdf") -> bytes:
        response = self.request.response
        response.setHeader("Content-Type", f"{kind}; charset=utf-8" if kind == "text/html" else kind)
        if name:
            response.setHeader("Content-Disposition", f'inline; filename="{name}"')
        response.setHeader("Cache-Control", "private, no-store")
        return data


class Convocation(_Pdf):
    """The convocation: as it was sent, else a draft."""

    def __call__(self) -> bytes:
        kept = self.context.convocation
        if kept:
            return self._send_file(kept.data, "convocation.pdf")
        return self._draw(lambda: lifecycle.meeting_document(self.context, "convocation"), "convocation.pdf")


class Note(_Pdf):
    """The note of synthesis with the projets: a draft until it is sent."""

    def __call__(self) -> bytes:
        kept = self.context.dispatches() if self.context.convoquee_le else ()
        if kept:
            return self._send_file(kept[-1][2].data, "note-de-synthese.pdf")
        return self._draw(lambda: lifecycle.meeting_document(self.context, "note"), "note-de-synthese.pdf")


class Dispatch(_Pdf):
    """What was sent, one time or another: ?version=1&piece=note."""

    def __call__(self) -> bytes:
        version, kept = str(self.request.form.get("version") or ""), self.context.dispatches()
        if not (version.isdecimal() and 1 <= int(version[:6]) <= len(kept)):
            raise NotFound("Cette version n'existe pas.")
        name = "note" if self.request.form.get("piece") == "note" else "convocation"
        piece = kept[int(version[:6]) - 1][2 if name == "note" else 1]
        return self._send_file(piece.data, f"{name}-version-{int(version[:6])}.pdf")


class Minutes(_Pdf):
    """The minutes: as they were settled, else a draft; ?public=1 as they go on line, ?format=html to be read here."""

    def __call__(self) -> bytes:
        kept, form = self.context.proces_verbal, self.request.form
        if not kept and api.content.get_state(self.context) not in ("ouverte", *frozen.ENDED):
            raise NotFound("La séance n'est pas encore ouverte.")
        public = bool(form.get("public"))
        if form.get("format") == "html":
            return self._draw(lambda: aftermath.minutes_page(self.context, public).encode(), "", "text/html")
        if kept and not public:
            return self._send_file(kept.data, "proces-verbal.pdf")
        return self._draw(lambda: aftermath.minutes(self.context, public), "proces-verbal.pdf")


class TheList(_Pdf):
    """The list of what the council examined, as it goes on line (L2121-25)."""

    def __call__(self) -> bytes:
        if api.content.get_state(self.context) not in ("ouverte", "close") or not goes_on_line(self.context):
            raise NotFound("La séance n'est pas encore ouverte, ou ce conseil ne publie pas de liste.")
        return self._draw(lambda: aftermath.the_list(self.context), "liste-des-deliberations.pdf")


class Budget(_Pdf):
    """The budget of a projet, as a person reads it; once it is voted, its sealed XML comes in the place of its
    project."""

    def __call__(self) -> Any:
        own = self.context
        if self.request.method == "POST":
            return gestures.answer(self.request, self._bring_budget, own.absolute_url())
        if own.budget_xml is None:
            raise NotFound("Ce projet n'a pas de budget.")
        try:
            shown = budgets.page(str(own.budget_xml.filename or ""), own.budget_xml.data)
        except hidden.UnfitDocumentError as error:
            api.portal.show_message(_as_sentence(str(error)), self.request, type="error")
            self.request.response.redirect(own.absolute_url())
            return b""
        return self._send_file(shown, "", "text/html")

    def _bring_budget(self) -> str:
        own, file = self.context, self.request.form.get("budget")
        if not may_bring_budget(own):
            raise ValueError("Le DGS ou le maire joint le budget voté.")
        if api.content.get_state(own) != "adopte" or own.suivi:
            raise ValueError("Ce budget n'est pas adopté, ou il est déjà parti : rien n'est changé.")
        if not getattr(file, "filename", ""):
            raise ValueError("Choisissez le fichier XML du budget voté.")
        kept = own.budget_xml
        own.budget_xml = NamedBlobFile(data=file.read(), contentType="application/xml", filename=str(file.filename))
        if wrong := own.budget_problems(voted=True):
            own.budget_xml = kept
            raise ValueError(" ; ".join(wrong))
        return "Budget voté joint : il part avec la délibération, une fois la séance close."


class Register(_Pdf):
    """The registre of a year, to be printed: the one on paper stays (R2121-9)."""

    def __call__(self) -> bytes:
        asked = str(self.request.form.get("annee") or datetime.date.today().year)
        if not (asked.isdecimal() and len(asked) == 4):
            raise NotFound("Écrivez l'année en quatre chiffres, par exemple ?annee=2026.")
        found = (brain.getObject() for brain in api.content.find(context=self.context, portal_type="projet"))
        acts = sorted(
            (one for one in found if one.numero and one.numero.startswith(f"{asked}_")),
            key=lambda one: rules.rank_of(one.numero),
        )
        commune = commune_of(self.context)
        held = itertools.groupby(acts, key=meeting_of)  # numbers follow the meetings
        given = {
            "commune": commune.title,
            **names(commune),
            "maire": getattr(commune, "creatic_maire", ""),
            "projets": acts,
            "seances": [(meeting, list(own)) for meeting, own in held],
            "annee": asked,
        }
        return self._draw(lambda: documents.draw("registre", **given), f"registre-{asked}.pdf")


class Unanimous(BrowserView):
    """Notes that all voters are for: the ordinary case, in one click."""

    def __call__(self) -> str:
        if self.request.method != "POST":
            raise NotFound("unanimite")
        if self.context.scrutin != ballots.PUBLIC:
            raise NotFound("unanimite")  # nobody is named in a secret vote
        in_session = api.content.get_state(meeting_of(self.context)) == "ouverte"
        closed = self.context.closed_to_votes() if in_session else []
        if closed:
            api.portal.show_message(_as_sentence(" ; ".join(closed)), self.request, type="error")
        else:
            self.context.pour = self.context.attendance().voters()
            self.context.contre, self.context.abstentions = [], []
            api.portal.show_message("Vote saisi : unanimité.", self.request)
        self.request.response.redirect(self.context.absolute_url())
        return ""


class ConveneAgain(SeanceView):
    """Convenes the council again on what it could not vote for lack of quorum (L2121-17)."""

    def __call__(self) -> str:
        if self.request.method != "POST" or not self.may_convene_again():
            raise NotFound("seconde-convocation")
        told, hour = str(self.request.form.get("date") or ""), str(self.request.form.get("heure") or "")
        try:
            held = datetime.date.fromisoformat(told)
        except ValueError:
            held = None
        wrong = rules.second_problems(datetime.date.today(), held, self.context.its_law())
        if not rules.TIME.fullmatch(hour):
            wrong.append("heure : écrivez-la comme 18:30")
        if wrong or held is None:
            api.portal.show_message(_as_sentence(" ; ".join(wrong)), self.request, type="error")
            self.request.response.redirect(self.context.absolute_url())
            return ""
        made = lifecycle.convene_again(self.context, held, hour)
        api.portal.show_message("Seconde séance préparée : il reste à la convoquer.", self.request)
        self.request.response.redirect(made.absolute_url())
        return ""


class Trace(ViewletBase):
    """What happened to what is shown: to anybody once it is published, with names to agents."""

    def entries(self) -> list[dict[str, str]]:
        """Lines, oldest first."""
        if getattr(self.context, "portal_type", "") not in ("seance", "projet", "Publication"):
            return []
        found = watch.trace(self.context)
        if self.is_public():
            first = next((rank for rank, one in enumerate(found) if one.what in watch.MADE_PUBLIC), len(found))
            found = found[first:]
        return [
            {
                "when": one.when.astimezone(_PAGES_TIMEZONE).strftime("%d/%m/%Y à %H:%M"),
                "who": self._name(one.who),
                "what": one.what,
            }
            for one in found
        ]

    def is_public(self) -> bool:
        """Whether this is for somebody who is not logged in."""
        return bool(api.user.is_anonymous())

    @staticmethod
    def _name(login: str) -> str:
        return reading.name_of(api.portal.get(), login)


class Home(BrowserView):
    """The communes, for anybody."""

    def space(self) -> str:
        """Address of an élu's own space, "" for anybody else."""
        return reading.own_space()

    def communes(self) -> list[dict[str, str]]:
        """Published institutions, by name."""
        found = api.content.find(portal_type="Institution", review_state="published", sort_on="sortable_title")
        return [{"title": brain.Title, "url": brain.getURL()} for brain in found]


class Preparation(BrowserView):
    """The meetings of a commune, latest first."""

    def meetings(self) -> list[dict[str, Any]]:
        """Those this person may see."""
        found = api.content.find(context=self.context, portal_type="seance")
        all_of_them = sorted((brain.getObject() for brain in found), key=lambda one: one.date, reverse=True)
        return [
            {
                "title": one.label(),
                "url": one.absolute_url(),
                "state": STATES[api.content.get_state(one)],
                "tone": TONES.get(api.content.get_state(one), "secondary"),
                "points": len(list(one.projets(*ON_AGENDA))),
                "retards": [late["texte"] for late in aftermath.to_show(one) if late["ton"] == "danger"],
            }
            for one in all_of_them
        ]

    def budgets(self) -> list[dict[str, Any]]:
        """The calendar of the budgets of this year, with what is late; from the autumn on, of the next one too."""
        acts = api.content.find(context=self.context, portal_type="projet", review_state=("adopte", "publie"))
        voted = [brain.getObject() for brain in acts if budget.of(brain.Title)]
        told = (budgets.done(one.title, meeting_of(one).date, one.date_reception) for one in voted)
        over = api.content.find(context=self.context, portal_type="seance", review_state=frozen.ENDED)
        held = [brain.getObject().date for brain in over]
        people = int(getattr(commune_of(self.context), "creatic_habitants", None) or 0)
        today = datetime.datetime.now(_PAGES_TIMEZONE).date()
        settled = [one for one in told if one]
        found = [
            budgets.calendar(year, people, settled, min(held, default=None), today) for year in budgets.years(today)
        ]
        found[0]["retards"] += [
            f"« {one.title} », voté, ne part pas : {_as_sentence(' ; '.join(wrong))}"
            for one in voted
            if not one.suivi and (wrong := one.budget_problems(voted=True))
        ]
        return found

    def may_add(self) -> bool:
        """Whether this person adds meetings."""
        return bool(api.user.has_permission("creatic.deliberations: Add seance", obj=self.context))

    def may_write_to(self) -> bool:
        """Whether this person keeps the addresses of the élus."""
        return bool({"DGS", "Maire"} & set(api.user.get_roles(obj=self.context)))

    def year(self) -> int:
        """The present year."""
        return datetime.date.today().year


class Footer(BrowserView):
    """The foot of each page."""

    def is_anonymous(self) -> bool:
        """Whether nobody is logged in."""
        return bool(api.user.is_anonymous())

    def space(self) -> str:
        """Address of an élu's own space, "" for anybody else."""
        return reading.own_space()

    def root(self) -> str:
        """Address of the site."""
        return str(api.portal.get().absolute_url())
