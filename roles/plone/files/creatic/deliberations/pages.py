"""Pages: a meeting, a projet, the documents, the registre, and the public front of the site."""

from __future__ import annotations

import datetime
from typing import Any
from zoneinfo import ZoneInfo

from creatic.deliberations import documents, lifecycle, rules, watch, workflows
from creatic.deliberations.content import ON_AGENDA, commune_of, meeting_of
from plone import api
from plone.app.layout.viewlets.common import ViewletBase
from plone.dexterity.browser.view import DefaultView
from Products.Five.browser import BrowserView
from zExceptions import NotFound

STATES = {name: state.title for workflow in workflows.WORKFLOWS.values() for name, state in workflow.states.items()}
_TONES = {
    "adopte": "success", "publie": "success", "rejete": "danger", "inscrit": "primary", "a_valider": "warning",
    "ouverte": "primary", "close": "success", "convoquee": "warning",
}  # fmt: skip

_PARIS = ZoneInfo("Europe/Paris")


class _Steps:
    """What may be done next, and what is missing for the rest."""

    context: Any

    def steps(self) -> list[dict[str, Any]]:
        """Transitions of the present state that are this person's."""
        state = api.content.get_state(self.context)
        wanted = workflows.WORKFLOWS[self.context.portal_type]
        roles = set(api.user.get_roles(obj=self.context))
        return [
            {
                "title": transition.title,
                "url": f"{self.context.absolute_url()}/content_status_modify?workflow_action={name}",
                "obstacles": self.context.obstacles(name),
            }
            for name, transition in wanted.transitions.items()
            if state in transition.origins and roles & set(transition.roles)
        ]

    def badge(self, thing: Any) -> dict[str, str]:
        """State of an object, and the colour of its badge."""
        state = api.content.get_state(thing)
        return {"title": STATES[state], "tone": _TONES.get(state, "secondary")}

    def day(self, value: datetime.date) -> str:
        """A date, in words."""
        return rules.french_date(value)


class SeanceView(DefaultView, _Steps):
    """A meeting with its agenda."""

    def points(self) -> list[Any]:
        """Its projets."""
        return list(self.context.projets())

    def fixed(self) -> str:
        """Say why nothing of it changes any more."""
        found = watch.lock(self.context)
        return f"{found.reason[:1].upper()}{found.reason[1:]}." if found else ""

    def may_add(self) -> bool:
        """Whether this person adds projets."""
        return bool(api.user.has_permission("creatic.deliberations: Add projet", obj=self.context))

    def late(self) -> str:
        """Say when the convocation leaves too few clear days; three in small communes, five from 3 500 people on."""
        sent = self.context.convoquee_le or datetime.date.today()
        days = rules.clear_days(sent, self.context.date)
        if days >= 5 or api.content.get_state(self.context) in ("ouverte", "close"):
            return ""
        return (
            f"{days} jour{'s' if days > 1 else ''} franc{'s' if days > 1 else ''} avant la séance : il en faut 3, ou 5 "
            "à partir de 3 500 habitants (articles L2121-11 et L2121-12)."
        )


class ProjetView(DefaultView, _Steps):
    """A projet with its vote and its follow-up."""

    def meeting(self) -> Any:
        """The meeting it is of."""
        return meeting_of(self.context)

    def matter(self) -> str:
        """Its matter, in words."""
        return f"{self.context.matiere} – {rules.MATTERS[self.context.matiere[0]]}"

    def may_vote(self) -> bool:
        """Whether this person enters the vote now."""
        now = (api.content.get_state(self.meeting()), api.content.get_state(self.context))
        return now == ("ouverte", "inscrit") and bool(
            api.user.has_permission("Modify portal content", obj=self.context)
        )

    def may_publish(self) -> bool:
        """Whether this person publishes it: the DGS, where the commune transmits on paper."""
        roles = api.user.get_roles(obj=self.context)
        return self.context.suivi == "a_publier" and api.content.get_state(self.context) == "adopte" and "DGS" in roles

    def follow_up(self) -> str:
        """Where it stands after the meeting."""
        said = rules.STEP_LABELS.get(self.context.suivi, "")
        return f"{said} : {self.context.suivi_motif}" if said and self.context.suivi_motif else said


class _Pdf(BrowserView):
    """A PDF, shown by the browser."""

    def _send(self, data: bytes, name: str) -> bytes:
        response = self.request.response
        response.setHeader("Content-Type", "application/pdf")
        response.setHeader("Content-Disposition", f'inline; filename="{name}"')
        response.setHeader("Cache-Control", "private, no-store")
        return data


class Convocation(_Pdf):
    """The convocation: as it was sent, else a draft."""

    def __call__(self) -> bytes:
        kept = self.context.convocation
        data = kept.data if kept else lifecycle.meeting_document(self.context, "convocation")
        return self._send(data, "convocation.pdf")


class Minutes(_Pdf):
    """The minutes: as they were closed, else a draft."""

    def __call__(self) -> bytes:
        kept = self.context.proces_verbal
        if not kept and api.content.get_state(self.context) != "ouverte":
            raise NotFound("La séance n'est pas encore ouverte.")
        data = kept.data if kept else lifecycle.meeting_document(self.context, "proces_verbal")
        return self._send(data, "proces-verbal.pdf")


class Register(_Pdf):
    """The registre of a year."""

    def __call__(self) -> bytes:
        asked = str(self.request.form.get("annee") or datetime.date.today().year)
        if not (asked.isdecimal() and len(asked) == 4):
            raise NotFound("Écrivez l'année en quatre chiffres, par exemple ?annee=2026.")
        found = (brain.getObject() for brain in api.content.find(context=self.context, portal_type="projet"))
        acts = sorted(
            (one for one in found if one.numero and one.numero.startswith(f"{asked}_")), key=lambda one: one.numero
        )
        data = documents.draw("registre", commune=commune_of(self.context).title, projets=acts, annee=asked)
        return self._send(data, f"registre-{asked}.pdf")


class Unanimous(BrowserView):
    """Notes that all voters are for: the ordinary case, in one click."""

    def __call__(self) -> str:
        if self.request.method != "POST":
            raise NotFound("unanimite")
        self.context.pour = meeting_of(self.context).attendance().voters()
        self.context.contre, self.context.abstentions = [], []
        api.portal.show_message("Vote saisi : unanimité.", self.request)
        self.request.response.redirect(self.context.absolute_url())
        return ""


class Publish(ProjetView):
    """Publishes a délibération that the préfecture received on paper."""

    def __call__(self) -> str:
        if self.request.method != "POST" or not self.may_publish():
            raise NotFound("publier")
        try:
            told = str(self.request.form.get("recue") or "")
            day = rules.received(told, self.meeting().date, datetime.date.today())
        except ValueError as error:
            api.portal.show_message(str(error), self.request, type="error")
        else:
            lifecycle.publish_received(self.context, day)
            api.portal.show_message("Délibération publiée.", self.request)
        self.request.response.redirect(self.context.absolute_url())
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
                "when": one.when.astimezone(_PARIS).strftime("%d/%m/%Y à %H:%M"),
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
        member = api.user.get(userid=login) if login else None
        return str(member.getProperty("fullname") or login) if member else login


class Home(BrowserView):
    """The communes, for anybody."""

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
                "tone": _TONES.get(api.content.get_state(one), "secondary"),
                "points": len(list(one.projets(*ON_AGENDA))),
            }
            for one in all_of_them
        ]

    def may_add(self) -> bool:
        """Whether this person adds meetings."""
        return bool(api.user.has_permission("creatic.deliberations: Add seance", obj=self.context))

    def year(self) -> int:
        """The present year."""
        return datetime.date.today().year


class Footer(BrowserView):
    """The foot of each page."""

    def is_anonymous(self) -> bool:
        """Whether nobody is logged in."""
        return bool(api.user.is_anonymous())

    def root(self) -> str:
        """Address of the site."""
        return str(api.portal.get().absolute_url())
