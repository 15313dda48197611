"""The two types of the preparation: a council's meeting (séance) and a projet de délibération in it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from creatic.deliberations import rules, watch
from plone import api
from plone.app.dexterity.textindexer import searchable
from plone.app.textfield import RichText
from plone.app.z3cform.widgets.richtext import RichTextFieldWidget
from plone.autoform.directives import mode, widget
from plone.dexterity.content import Container
from plone.i18n.normalizer import idnormalizer
from plone.indexer.decorator import indexer
from plone.namedfile.field import NamedBlobFile
from plone.supermodel import model
from z3c.form.browser.checkbox import CheckBoxFieldWidget
from zope import schema
from zope.interface import Invalid, implementer, invariant, provider
from zope.schema.interfaces import IVocabularyFactory
from zope.schema.vocabulary import SimpleTerm, SimpleVocabulary

MEETINGS = "seances"
ON_AGENDA = ("inscrit", "adopte", "rejete", "publie")


class Wrong(Invalid):
    """What is entered is refused; the message (French) says why."""

    def doc(self) -> str:
        """What forms show."""
        return str(self.args[0])


def _listed(names: list[str]) -> SimpleVocabulary:
    return SimpleVocabulary([SimpleTerm(name, idnormalizer.normalize(name), name) for name in dict.fromkeys(names)])


def commune_of(context: Any) -> Any:
    """The commune's institution above an object, or None."""
    return next((one for one in context.aq_chain if getattr(one, "portal_type", "") == "Institution"), None)


def meeting_of(context: Any) -> Any:
    """The meeting an object is of, or None."""
    return next((one for one in context.aq_chain if getattr(one, "portal_type", "") == "seance"), None)


@provider(IVocabularyFactory)
def members(context: Any) -> SimpleVocabulary:
    """The council of the meeting; of the commune while a meeting is being made."""
    meeting, commune = meeting_of(context), commune_of(context)
    own = list(getattr(meeting, "convoques", None) or [])
    return _listed(own or list(getattr(commune, "creatic_elus", ())))


@provider(IVocabularyFactory)
def voters(context: Any) -> SimpleVocabulary:
    """Those whose voice counts at the meeting."""
    meeting = meeting_of(context)
    return _listed(meeting.attendance().voters() if meeting is not None else [])


def is_time(value: str) -> bool:
    if not rules.TIME.fullmatch(value):
        raise Wrong("Écrivez l'heure comme 18:30.")
    return True


def is_matter(value: str) -> bool:
    if not rules.MATTER.fullmatch(value):
        raise Wrong("Écrivez la matière de la nomenclature ACTES, par exemple 5.2.")
    return True


class ISeance(model.Schema):
    """A meeting of the council."""

    title = schema.TextLine(title="Assemblée", default="Conseil municipal")
    date = schema.Date(title="Date")
    heure = schema.TextLine(title="Heure", description="Par exemple 18:30", constraint=is_time)
    lieu = schema.TextLine(title="Lieu", default="Mairie, salle du conseil")
    president = schema.Choice(title="Président de séance", vocabulary="creatic.membres", required=False)
    secretaire = schema.Choice(title="Secrétaire de séance", vocabulary="creatic.membres", required=False)
    convoques = schema.List(
        title="Membres en exercice",
        description="Un nom par ligne ; laissez vide pour ceux de la fiche de la commune",
        value_type=schema.TextLine(),
        required=False,
    )
    widget("presents", CheckBoxFieldWidget)
    presents = schema.List(title="Présents", value_type=schema.Choice(vocabulary="creatic.membres"), required=False)
    pouvoirs = schema.List(
        title="Pouvoirs",
        description="Un par ligne : « absent : mandataire »",
        value_type=schema.TextLine(),
        required=False,
    )
    mode(convocation="hidden", proces_verbal="hidden")
    convocation = NamedBlobFile(title="Convocation", required=False, readonly=True)
    proces_verbal = NamedBlobFile(title="Procès-verbal", required=False, readonly=True)
    convoquee_le = schema.Date(title="Convoquée le", required=False, readonly=True)

    @invariant
    def attendance_holds(data: Any) -> None:
        """No pouvoir of somebody who is here, nor to somebody who is not."""
        wrong = rules.Attendance(data.convoques or [], data.presents or [], data.pouvoirs or []).problems()
        if wrong:
            raise Wrong(". ".join(wrong) + ".")


class IProjet(model.Schema):
    """A projet de délibération."""

    searchable("title")
    title = schema.TextLine(title="Objet")
    rapporteur = schema.TextLine(title="Rapporteur", required=False)
    matiere = schema.TextLine(
        title="Matière", description="Nomenclature ACTES, par exemple 5.2", default="9.1", constraint=is_matter
    )
    searchable("expose")
    widget("expose", RichTextFieldWidget)
    expose = RichText(title="Exposé des motifs", required=False)
    searchable("dispositif")
    widget("dispositif", RichTextFieldWidget)
    dispositif = RichText(title="Dispositif", description="Ce que le conseil décide", required=False)
    widget("pour", CheckBoxFieldWidget)
    pour = schema.List(title="Pour", value_type=schema.Choice(vocabulary="creatic.votants"), required=False)
    widget("contre", CheckBoxFieldWidget)
    contre = schema.List(title="Contre", value_type=schema.Choice(vocabulary="creatic.votants"), required=False)
    widget("abstentions", CheckBoxFieldWidget)
    abstentions = schema.List(
        title="Abstentions", value_type=schema.Choice(vocabulary="creatic.votants"), required=False
    )
    model.fieldset("votes", label="Votes", fields=["pour", "contre", "abstentions"])
    numero = schema.TextLine(title="Numéro", required=False, readonly=True)
    document = NamedBlobFile(title="Délibération", required=False, readonly=True)
    document_signe = NamedBlobFile(title="Délibération signée", required=False, readonly=True)
    suivi = schema.TextLine(title="Suivi", required=False, readonly=True)
    suivi_motif = schema.TextLine(title="Motif", required=False, readonly=True)
    id_acte = schema.TextLine(title="Identifiant de l'acte", required=False, readonly=True)
    date_reception = schema.Date(title="Reçue en préfecture le", required=False, readonly=True)

    @invariant
    def vote_is_counted_once(data: Any) -> None:
        """Nobody votes twice, nor without being there."""
        context = getattr(data, "__context__", None)
        meeting = meeting_of(context) if context is not None else None
        if meeting is None:
            return
        vote = rules.Vote(data.pour or [], data.contre or [], data.abstentions or [])
        wrong = vote.problems(meeting.attendance().voters())
        if wrong:
            raise Wrong(". ".join(wrong) + ".")


@implementer(ISeance)
class Seance(Container):
    """A meeting of the council."""

    def attendance(self) -> rules.Attendance:
        """Who sits."""
        return rules.Attendance(self.convoques or [], self.presents or [], self.pouvoirs or [])

    def label(self) -> str:
        """Its name for people: Conseil municipal du jeudi 26 novembre 2026."""
        return f"{self.title} du {rules.french_date(self.date, weekday=True)}" if self.date else str(self.title)

    def moment(self) -> datetime.datetime:
        """When it is held, in French time."""
        return datetime.datetime.combine(self.date, datetime.time.fromisoformat(self.heure))

    def projets(self, *states: str) -> Iterator[Any]:
        """Its projets in these states (all without any), in order."""
        for one in self.objectValues():
            if getattr(one, "portal_type", "") == "projet" and (not states or api.content.get_state(one) in states):
                yield one

    def obstacles(self, transition: str) -> list[str]:
        """What forbids a transition, in French; empty when it is allowed."""
        found = []
        if transition == "convoquer":
            if not self.date or not self.heure:
                found.append("la date et l'heure ne sont pas fixées")
            if not self.convoques:
                found.append("aucun membre en exercice")
            if next(self.projets("inscrit"), None) is None:
                found.append("aucun projet n'est inscrit à l'ordre du jour")
            found += [f"« {one.title} » n'est pas encore inscrit" for one in self.projets("a_valider")]
        elif transition == "ouvrir":
            found += self.attendance().problems()
            if not self.attendance().has_quorum():
                found.append("le quorum n'est pas atteint : plus de la moitié des membres doivent être présents")
            if not self.president or self.president not in (self.presents or []):
                found.append("le président de séance n'est pas parmi les présents")
            if not self.secretaire or self.secretaire not in (self.presents or []):
                found.append("le secrétaire de séance n'est pas parmi les présents")
        elif transition == "clore":
            found += [f"« {one.title} » n'a pas été voté ni retiré" for one in self.projets("inscrit")]
        return found


@implementer(IProjet)
class Projet(Container):
    """A projet de délibération."""

    def vote(self) -> rules.Vote:
        """The vote, as entered."""
        return rules.Vote(self.pour or [], self.contre or [], self.abstentions or [])

    def not_voting(self) -> list[str]:
        """Voters who took no part in it."""
        vote = self.vote()
        cast = {*vote.ayes, *vote.noes, *vote.abstentions}
        return [name for name in meeting_of(self).attendance().voters() if name not in cast]

    def annexes(self) -> list[Any]:
        """Its annexes, in order."""
        return [one for one in self.objectValues() if getattr(one, "portal_type", "") == "File"]

    def obstacles(self, transition: str) -> list[str]:
        """What forbids a transition, in French; empty when it is allowed."""
        meeting, vote, found = meeting_of(self), self.vote(), []
        state = api.content.get_state(meeting)
        if transition in ("soumettre", "inscrire"):
            if not (self.dispositif and self.dispositif.raw.strip()):
                found.append("le dispositif est vide")
            if state != "en_preparation":
                found.append("l'ordre du jour est arrêté : la séance est convoquée")
        elif transition in ("adopter", "rejeter"):
            if state != "ouverte":
                found.append("la séance n'est pas ouverte")
            found += vote.problems(meeting.attendance().voters())
            carried = vote.is_carried(meeting.president or "")
            if not vote.cast:
                found.append("le vote n'est pas saisi")
            elif carried and transition == "rejeter":
                found.append("le vote est favorable")
            elif not carried and transition == "adopter":
                found.append("le vote n'est pas favorable")
        elif transition == "renvoyer" and vote.cast:
            found.append("un vote est saisi : effacez d'abord les voix")
        elif transition == "publier" and not (self.document_signe and self.date_reception):
            found.append("il manque la délibération signée ou l'accusé de réception de la préfecture")
        elif transition == "publier" and not watch.is_ours():
            found.append("elle est publiée par la passerelle")
        return found


@indexer(IProjet)
def projet_description(projet: Any) -> str:
    """What search results show."""
    return " – ".join(filter(None, (projet.numero, meeting_of(projet).label())))
