"""The two types of the preparation: a council's meeting (séance) and a projet de délibération in it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from Acquisition import aq_base
from creatic.deliberations import (
    ballots,
    budgets,
    convocation,
    delays,
    documents,
    frozen,
    hidden,
    matters,
    opinions,
    rules,
    watch,
)
from creatic.deliberations.opinions import Opinion
from creatic.deliberations.places import commune_of, law_of, meeting_of
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
from zope.interface import implementer, invariant, provider
from zope.schema.interfaces import IVocabularyFactory, ValidationError
from zope.schema.vocabulary import SimpleTerm, SimpleVocabulary

from creatic_agent import budget, law


class Wrong(ValidationError):
    """What is entered is refused; the message (French) says why.

    `told` says it field by field, as a form shows it beside each. The API tells a ValidationError of a field with its
    name (400); any other exception of zope.interface's is a 500 there.
    """

    def __init__(self, said: str, told: dict[str, list[str]] | None = None) -> None:
        super().__init__(said)
        self.told = told or {}

    def doc(self) -> str:
        """What forms show."""
        return str(self.args[0])


def _refuse_fields(told: dict[str, list[str]]) -> None:
    """Refuse what is wrong, by field. Raises Wrong when something is."""
    said = [one for wrong in told.values() for one in wrong]
    if said:
        raise Wrong(". ".join(said) + ".", {field: wrong for field, wrong in told.items() if wrong})


def _name_vocabulary(names: list[str]) -> SimpleVocabulary:
    return SimpleVocabulary([SimpleTerm(name, idnormalizer.normalize(name), name) for name in dict.fromkeys(names)])


@provider(IVocabularyFactory)
def members(context: Any) -> SimpleVocabulary:
    """The council of the meeting; of the commune while a meeting is being made."""
    meeting, commune = meeting_of(context), commune_of(context)
    own = list(getattr(meeting, "convoques", None) or [])
    return _name_vocabulary(own or list(getattr(commune, "creatic_elus", ())))


_FORMER_MEMBER_LABEL = "hors du conseil"
_YES, _NO = "oui", "non"


@provider(IVocabularyFactory)
def heads(context: Any) -> SimpleVocabulary:
    """Whose accounts the council may vote: a member's, or those of a maire who left it."""
    left = SimpleTerm(
        _FORMER_MEMBER_LABEL, idnormalizer.normalize(_FORMER_MEMBER_LABEL), "Un ancien maire, qui n'est plus du conseil"
    )
    return SimpleVocabulary([*members(context), left])


@provider(IVocabularyFactory)
def voters(context: Any) -> SimpleVocabulary:
    """Those whose voice counts: at this item, else at the meeting."""
    known = next((one for one in context.aq_chain if getattr(one, "portal_type", "") in ("projet", "seance")), None)
    return _name_vocabulary(known.attendance().voters() if known is not None else [])


@provider(IVocabularyFactory)
def modes(_context: Any) -> SimpleVocabulary:
    """How a vote is held."""
    return SimpleVocabulary([SimpleTerm(mode, mode, title) for mode, title in ballots.MODES.items()])


ASKERS = {"maire": "le maire", "trois_membres": "trois membres ou plus"}


@provider(IVocabularyFactory)
def askers(_context: Any) -> SimpleVocabulary:
    """Who asks for a closed session (L2121-18)."""
    return SimpleVocabulary([SimpleTerm(one, one, title) for one, title in ASKERS.items()])


def _ballot_count_field(title: str) -> schema.Int:
    return schema.Int(title=title, min=0, max=999, required=False)


def is_time(value: str) -> bool:
    if not rules.TIME.fullmatch(value):
        raise Wrong("Écrivez l'heure comme 18:30.")
    return True


class _Matters(SimpleVocabulary):
    """The nomenclature: a finer matter than those that are listed is one all the same (the préfecture's own)."""

    def __contains__(self, value: Any) -> bool:
        return super().__contains__(value) or (isinstance(value, str) and matters.is_known(value))

    def getTerm(self, value: Any) -> SimpleTerm:  # noqa: N802 # zope.schema's IVocabularyTokenized
        """See IBaseVocabulary."""
        if value in self and not super().__contains__(value):
            return SimpleTerm(value, value, matters.title(value))
        return super().getTerm(value)

    def getTermByToken(self, token: str) -> SimpleTerm:  # noqa: N802 # zope.schema's IVocabularyTokenized
        """See IVocabularyTokenized."""
        if token not in self.by_token and matters.is_known(token):
            return SimpleTerm(token, token, matters.title(token))
        return super().getTermByToken(token)


@provider(IVocabularyFactory)
def matter_list(context: Any) -> SimpleVocabulary:
    """The nomenclature of ACTES, in words."""
    listed = matters.listed(str(getattr(aq_base(context), "matiere", None) or ""))
    return _Matters([SimpleTerm(code, code, title) for code, title in listed.items()])


COUNCIL = "Conseil municipal"


def is_reason(value: str) -> bool:
    if value and not value.strip():
        raise Wrong("Écrivez pourquoi, ou laissez vide.")
    return True


def is_of_a_council(value: list[str] | None) -> bool:
    if said := rules.too_many(value):
        raise Wrong(f"{said}.")
    return True


def _member_list_field(title: str, vocabulary: str, description: str = "") -> schema.List:
    """Names of the council that are ticked."""
    choice = schema.Choice(vocabulary=vocabulary)
    return schema.List(
        title=title, description=description, value_type=choice, required=False, constraint=is_of_a_council
    )


def _line_list_field(title: str, description: str) -> schema.List:
    """What is written one by line."""
    text = schema.TextLine()
    return schema.List(
        title=title, description=description, value_type=text, required=False, constraint=is_of_a_council
    )


class ISeance(model.Schema):
    """A meeting of the council."""

    title = schema.TextLine(title="Assemblée", default=COUNCIL)
    date = schema.Date(title="Date")
    heure = schema.TextLine(title="Heure", description="Par exemple 18:30", constraint=is_time)
    lieu = schema.TextLine(title="Lieu", default="Mairie, salle du conseil")
    president = schema.Choice(title="Président de séance", vocabulary="creatic.membres", required=False)
    secretaire = schema.Choice(title="Secrétaire de séance", vocabulary="creatic.membres", required=False)
    convoques = _line_list_field(
        "Membres en exercice", "Un nom par ligne ; laissez vide pour ceux de la fiche de la commune"
    )
    widget("presents", CheckBoxFieldWidget)
    presents = _member_list_field("Présents", "creatic.membres")
    pouvoirs = _line_list_field("Pouvoirs", "Un par ligne : « absent : mandataire »")
    seconde_de = schema.TextLine(title="Seconde convocation de la séance", required=False, readonly=True)
    envoyee_le = schema.Date(
        title="Convocation déjà envoyée le",
        description="Envoyée hors du site, sur papier par exemple. Sans date, elle part le jour où vous convoquez",
        required=False,
    )
    urgence = schema.TextLine(
        title="Motif de l'urgence",
        description="Seulement en cas d'urgence : un jour franc suffit, et le conseil l'approuve dès l'ouverture "
        "(L2121-11, L2121-12)",
        constraint=is_reason,
        required=False,
    )
    scrutin_le = schema.Date(
        title="Tour de scrutin du",
        description="Seulement pour la première réunion après le renouvellement général du conseil : du vendredi au "
        "dimanche qui suivent, convoquée trois jours francs avant, quelle que soit la taille (L2121-7)",
        required=False,
    )
    urgence_pour = schema.Int(
        title="Urgence approuvée, voix pour", description="Noté à l'ouverture de la séance", min=0, required=False
    )
    affichee_le = schema.Date(
        title="Convocation affichée ou publiée le",
        description="À noter une fois convoquée (L2121-10) : les délibérations et le registre le portent",
        required=False,
    )
    mode(convocation="hidden", proces_verbal="hidden")
    convocation = NamedBlobFile(title="Convocation", required=False, readonly=True)
    proces_verbal = NamedBlobFile(title="Procès-verbal", required=False, readonly=True)
    convoquee_le = schema.Date(title="Convoquée le", required=False, readonly=True)

    @invariant
    def attendance_holds(data: Any) -> None:  # noqa: N805 # zope.interface invariant: takes the data, has no self
        """No pouvoir of somebody who is here, nor to somebody who is not."""
        wrong = rules.Attendance(data.convoques or [], data.presents or [], data.pouvoirs or []).problems()
        _refuse_fields({"pouvoirs" if data.pouvoirs else "presents": wrong})


def is_drawn(value: Any) -> bool:
    if value is not None and (said := documents.problem(value.raw)):
        raise Wrong(f"{said[:1].upper()}{said[1:]}.")
    return True


_HTML = ("text/html",)  # nobody chooses in which language a text is written


class IProjet(model.Schema):
    """A projet de délibération."""

    searchable("title")
    title = schema.TextLine(title="Objet")
    sorte = schema.Choice(
        title="Sorte de point",
        description="Ce que le conseil entend sans voter est à l'ordre du jour et au procès-verbal, sans numéro",
        vocabulary=SimpleVocabulary([SimpleTerm(one, one, title) for one, title in rules.ITEMS.items()]),
        default=rules.VOTED,
    )
    rapporteur = schema.TextLine(title="Rapporteur", required=False)
    matiere = schema.Choice(
        title="Matière",
        description="De la nomenclature des actes transmis à la préfecture",
        vocabulary="creatic.matieres",
        default=matters.USUAL,
    )
    non_transmis = schema.Choice(
        title="Non transmissible à la préfecture",
        description="Seules ces délibérations ne se transmettent pas (L2131-2) : elles sont exécutoires une fois "
        "publiées. Sans choix, elle est transmise",
        vocabulary=SimpleVocabulary([SimpleTerm(one, one, title) for one, title in rules.STAYS.items()]),
        required=False,
    )
    searchable("expose")
    widget("expose", RichTextFieldWidget)
    expose = RichText(title="Exposé des motifs", allowed_mime_types=_HTML, constraint=is_drawn, required=False)
    searchable("dispositif")
    widget("dispositif", RichTextFieldWidget)
    dispositif = RichText(
        title="Dispositif",
        description="Ce que le conseil décide",
        allowed_mime_types=_HTML,
        constraint=is_drawn,
        required=False,
    )
    budget_xml = NamedBlobFile(
        title="Budget (XML)",
        description="Le budget, la décision modificative ou le compte tel que TotEM ou le logiciel de comptabilité "
        "l'exporte. Il part à la préfecture dans le même envoi que la délibération (L1612-8, L1612-13)",
        required=False,
    )
    avis = schema.List(
        title="Avis des commissions",
        description="Un par ligne : « Commission des finances, 20/11/2026 : favorable », « défavorable » ou « sans "
        "avis », puis au besoin « ; une remarque ». L'ordre du jour et la délibération le portent (L2121-22), sans la "
        "remarque",
        value_type=schema.TextLine(),
        required=False,
    )
    compte = schema.Bool(
        title="Compte administratif ou compte financier unique",
        description="Le maire se retire au moment du vote et un autre préside (L2121-14) ; le compte est arrêté sauf "
        "majorité contre (L1612-12)",
        default=False,
        required=False,
    )
    compte_de = schema.Choice(
        title="Maire dont ce sont les comptes",
        description="Sans choix, le maire en fonction. Après un changement de maire, celui de l'exercice : il se "
        "retire « même s'il n'est plus en fonction » (L2121-14)",
        vocabulary="creatic.comptes_de",
        required=False,
    )
    widget("presents", CheckBoxFieldWidget)
    presents = _member_list_field(
        "Présents à ce point",
        "creatic.membres",
        "À remplir quand quelqu'un arrive ou part : vaut pour ce point et les suivants non votés. Sans coche, ceux de "
        "l'ouverture",
    )
    pouvoirs = _line_list_field(
        "Pouvoirs à ce point", "Un par ligne : « absent : mandataire » ; avec les présents de ce point"
    )
    widget("sortis", CheckBoxFieldWidget)
    sortis = _member_list_field(
        "Sortis pour ce vote",
        "creatic.membres",
        "Ils ne votent pas, ni ceux qu'ils représentent, et ne comptent pas dans le quorum : le maire pour ses comptes "
        "(L2121-14), un élu intéressé à l'affaire (L2131-11)",
    )
    widget("deportes", CheckBoxFieldWidget)
    deportes = _member_list_field(
        "Sortis pour représenter la commune",
        "creatic.membres",
        "Ils représentent la commune dans l'organisme dont il s'agit (L1111-6) et ne votent pas, mais comptent dans le "
        "quorum (L2131-11, loi du 22 décembre 2025, article 32)",
    )
    president = schema.Choice(
        title="Président pour ce point",
        description="Sans choix, celui de la séance",
        vocabulary="creatic.membres",
        required=False,
    )
    huis_clos_par = schema.Choice(
        title="Huis clos, demandé par", description="L2121-18", vocabulary="creatic.demandeurs", required=False
    )
    huis_clos_pour = schema.Int(
        title="Huis clos, voix pour",
        description="Décidé sans débat à la majorité absolue des présents ou représentés",
        min=0,
        required=False,
    )
    nomination = schema.Choice(
        title="Nomination ou présentation",
        description="Elle se vote au scrutin secret, sauf si le conseil décide le contraire à l'unanimité et qu'aucun "
        "texte ne l'impose (L2121-21). Sans choix, c'est dit d'après l'objet",
        vocabulary=SimpleVocabulary([SimpleTerm(one, one, one.capitalize()) for one in (_YES, _NO)]),
        required=False,
    )
    scrutin = schema.Choice(
        title="Scrutin", description="Secret : L2121-21", vocabulary="creatic.scrutins", default=ballots.PUBLIC
    )
    secret_renonce = schema.Int(
        title="Nomination : voix pour renoncer au scrutin secret",
        description="Il faut l'unanimité (L2121-21) ; l'élection du maire et des adjoints est toujours secrète "
        "(L2122-7)",
        min=0,
        required=False,
    )
    secret_demande = schema.Int(
        title="Scrutin secret, demandé par",
        description="Combien de présents : il en faut le tiers (L2121-21)",
        min=0,
        required=False,
    )
    widget("pour", CheckBoxFieldWidget)
    pour = _member_list_field("Pour", "creatic.votants")
    widget("contre", CheckBoxFieldWidget)
    contre = _member_list_field("Contre", "creatic.votants")
    widget("abstentions", CheckBoxFieldWidget)
    abstentions = _member_list_field("Abstentions", "creatic.votants")
    bulletins_pour = _ballot_count_field("Scrutin secret : bulletins pour")
    bulletins_contre = _ballot_count_field("Scrutin secret : bulletins contre")
    bulletins_blancs = _ballot_count_field("Scrutin secret : bulletins blancs")
    bulletins_nuls = _ballot_count_field("Scrutin secret : bulletins nuls")
    tours = _line_list_field(
        "Élection : tours",
        "Un par ligne : « Anne Petit : 12, Luc Roux : 9, blancs : 1, nuls : 0 » ; pour les adjoints, le nom de la tête "
        "de liste (L2122-7, L2122-7-2)",
    )
    plus_age = schema.TextLine(
        title="Élection : le plus âgé",
        description="En cas d'égalité au troisième tour seulement ; pour les adjoints, la liste dont la moyenne d'âge "
        "est la plus élevée (L2122-7-2)",
        required=False,
    )
    model.fieldset(
        "votes",
        label="Présence et vote",
        fields=["presents", "pouvoirs", "sortis", "deportes", "president", "huis_clos_par", "huis_clos_pour",
                "secret_renonce", "secret_demande", "pour", "contre", "abstentions", "bulletins_pour",
                "bulletins_contre", "bulletins_blancs", "bulletins_nuls", "tours", "plus_age"],
    )  # fmt: skip # one call by its parts
    reportee = schema.Bool(title="Reportée faute de quorum", default=False, required=False, readonly=True)
    numero = schema.TextLine(title="Numéro", required=False, readonly=True)
    document = NamedBlobFile(title="Délibération", required=False, readonly=True)
    document_signe = NamedBlobFile(title="Délibération signée", required=False, readonly=True)
    suivi = schema.TextLine(title="Suivi", required=False, readonly=True)
    suivi_motif = schema.TextLine(title="Motif", required=False, readonly=True)
    id_acte = schema.TextLine(title="Identifiant de l'acte", required=False, readonly=True)
    date_reception = schema.Date(title="Reçue en préfecture le", required=False, readonly=True)

    @invariant
    def opinions_are_read(data: Any) -> None:  # noqa: N805 # zope.interface invariant: takes the data, has no self
        """Each opinion of a commission is one, once."""
        _refuse_fields({"avis": opinions.problems(data.avis or [])})

    @invariant
    def vote_is_counted_once(data: Any) -> None:  # noqa: N805 # zope.interface invariant: takes the data, has no self
        """Nobody votes twice, nor without being there; a secret vote names nobody."""
        context: Any = getattr(data, "__context__", None)
        if getattr(context, "portal_type", "") != "projet":  # not yet made: nothing is voted
            return
        attendance, vote = _attendance_of(meeting_of(context), data), _vote_of(data)
        here, voices = "pouvoirs" if data.pouvoirs else "presents", _first_cast(data)
        told: dict[str, list[str]] = {here: attendance.problems(), "scrutin": _other_mode_problems(data)}
        told.setdefault(voices, []).extend(vote.problems(attendance.voters()))
        if data.pouvoirs and not data.presents:
            told[here].append("cochez aussi « Présents à ce point », sans quoi les pouvoirs à ce point ne comptent pas")
        in_session = api.content.get_state(meeting_of(context)) == "ouverte"
        if vote.cast and in_session and not attendance.has_quorum() and not context.is_without_quorum():
            article = attendance.body.quorum.article
            told[here].append(f"le quorum n'est pas atteint pour ce point : {attendance.count()} ({article})")
        if vote.cast and in_session and meeting_of(context).urgency_problem():
            told[voices].append(meeting_of(context).urgency_problem())
        _refuse_fields(told)


def _attendance_of(meeting: Any, item: Any) -> rules.Attendance:
    """Who sits at an item: as noted there, else as at the opening."""
    noted = item if item.presents else meeting
    return rules.Attendance(
        meeting.convoques or [],
        noted.presents or [],
        noted.pouvoirs or [],
        item.sortis or [],
        item.deportes or [],
        meeting.its_law(),
    )


def _vote_of(item: Any) -> rules.Vote | ballots.Secret | ballots.Election:
    """The vote that is entered, as its mode wants it."""
    if item.scrutin == ballots.ELECTION:
        return ballots.Election(item.tours or [], (item.plus_age or "").strip())
    if item.scrutin != ballots.PUBLIC:
        counts = (item.bulletins_pour, item.bulletins_contre, item.bulletins_blancs, item.bulletins_nuls)
        return ballots.Secret(*counts, accounts=bool(item.compte))
    return rules.Vote(item.pour or [], item.contre or [], item.abstentions or [], bool(item.compte))


_VOICE_FIELDS = ("pour", "contre", "abstentions")
_OF_MODE = {
    ballots.PUBLIC: _VOICE_FIELDS,
    ballots.THIRD: ("bulletins_pour", "bulletins_contre", "bulletins_blancs", "bulletins_nuls"),
    ballots.NOMINATION: ("bulletins_pour", "bulletins_contre", "bulletins_blancs", "bulletins_nuls"),
    ballots.ELECTION: ("tours", "plus_age"),
}


def _first_cast(item: Any) -> str:
    """Name of the first field in which a voice is entered, beside which what is wrong with the vote is said."""
    names = _OF_MODE[item.scrutin]
    return next((name for name in names if getattr(item, name) not in (None, [], "")), names[0])


def uncounted(item: Any) -> dict[str, str]:
    """What is still to be counted of a vote that is entered, by field, in French."""
    vote = _vote_of(item)
    return vote.empty() if isinstance(vote, ballots.Secret) and vote.cast else {}


def _other_mode_problems(item: Any) -> list[str]:
    """What is entered of another mode of voting, in French."""
    others = [name for name in frozen.VOTES if name not in _OF_MODE[item.scrutin]]
    entered = [name for name in others if getattr(item, name) not in (None, [], "")]
    if not entered:
        return []
    if item.scrutin != ballots.PUBLIC and set(entered) & set(_VOICE_FIELDS):
        return ["scrutin secret : aucun nom ne s'écrit, ni pour, ni contre, ni abstention (L2121-21)"]
    fields = schema.getFields(IProjet)
    return [f"{ballots.MODES[item.scrutin]} : « {fields[name].title} » reste vide" for name in entered]


@implementer(ISeance)
class Seance(Container):
    """A meeting of the council."""

    def attendance(self) -> rules.Attendance:
        """Who sits."""
        return rules.Attendance(self.convoques or [], self.presents or [], self.pouvoirs or [], body=self.its_law())

    def label(self) -> str:
        """Its name for people: Conseil municipal du jeudi 26 novembre 2026."""
        second = " (seconde convocation)" if self.seconde_de else ""
        if not self.date:
            return f"{self.title}{second}"
        return f"{self.title} du {rules.french_date(self.date, weekday=True)}{second}"

    def moment(self) -> datetime.datetime:
        """When it is held, in French time."""
        return datetime.datetime.combine(self.date, datetime.time.fromisoformat(self.heure))

    def projets(self, *states: str) -> Iterator[Any]:
        """Its projets in these states (all without any), in order."""
        for one in self.objectValues():
            if getattr(one, "portal_type", "") == "projet" and (not states or api.content.get_state(one) in states):
                yield one

    def dispatches(self) -> tuple[tuple[str, Any, Any], ...]:
        """What was sent each time it was convened, oldest first: when (ISO, UTC), convocation, note of synthesis."""
        found: tuple[tuple[str, Any, Any], ...] = getattr(self, "creatic_envois", ())
        return found

    def first(self) -> Any:
        """The meeting that had no quorum, when this one is its second convocation; else None."""
        return api.content.get(UID=self.seconde_de) if self.seconde_de else None

    def postponed(self) -> list[Any]:
        """Items that the council could not vote for lack of quorum, once the meeting is over."""
        ended = api.content.get_state(self) in frozen.ENDED
        return [one for one in self.projets("inscrit") if one.asks_a_vote()] if ended else []

    def returned(self) -> tuple[str, ...]:
        """Numbers that were given at it, then taken back with their vote, and not given again."""
        found: tuple[str, ...] = getattr(self.aq_base, "creatic_numeros_rendus", ())
        return found

    def people(self) -> int:
        """Inhabitants of its commune, 0 when they are not known."""
        return int(getattr(commune_of(self), "creatic_habitants", None) or 0)

    def its_law(self) -> law.Body:
        """What the law asks of whose council meets."""
        return law_of(self)

    def asks_note(self) -> bool:
        """Whether a note of synthesis, or a rapport explicatif, goes with its convocation."""
        return self.its_law().asks_note(self.people())

    def note_law(self) -> str:
        """What asks for it."""
        return delays.full(self.its_law().note.article)

    def sent(self) -> datetime.date:
        """When its convocation left, or leaves."""
        return self.convoquee_le or self.envoyee_le or datetime.date.today()

    def delay(self) -> delays.Delay:
        """How long before it the convocation leaves."""
        urgent, second, renewed = bool(self.urgence), bool(self.seconde_de), bool(self.scrutin_le)
        return delays.delay(self.its_law(), urgent, second, self._own_days(), renewed)

    def _own_days(self) -> int:
        return int(getattr(commune_of(self), "creatic_convocation_jours", None) or 0)

    def _delay_problems(self) -> list[str]:
        if not self.date:
            return []
        if self.urgence and not delays.urgency(self.its_law(), self._own_days()):
            return [
                f"aucun texte ne permet d'abréger, en urgence, le délai de ce conseil ({self.delay().article}). À "
                "faire : effacez « Motif de l'urgence »"
            ]
        if self.scrutin_le and (said := delays.renewal_problem(self.scrutin_le, self.date, self.its_law())):
            return [said]
        if self.envoyee_le and self.envoyee_le > datetime.date.today():
            return ["la date « Convocation déjà envoyée le » est à venir : effacez-la, ou écrivez le jour de l'envoi"]
        first = self.first()
        if first is not None and self.envoyee_le and self.envoyee_le < first.date:
            article = self.its_law().second.article
            return [f"la seconde convocation part après la séance du {rules.french_date(first.date)} ({article})"]
        said = self.delay().problem(self.envoyee_le or datetime.date.today(), self.date)
        return [said] if said else []

    def urgency_problem(self) -> str:
        """Say that the council has not approved the urgency (L2121-11, L2121-12), or ""."""
        voters = len(self.attendance().voters())
        if self.urgence and not voters >= (self.urgence_pour or 0) > voters / 2:
            return (
                f"le conseil n'a pas approuvé l'urgence ({self.delay().article}). À faire : notez les voix pour sur la "
                "page de la séance, ou renvoyez la discussion à une autre"
            )
        return ""

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
            found += self._delay_problems()
            if self.asks_note():
                found += [
                    f"« {one.title} » n'a pas d'exposé des motifs, qui fait la note explicative de synthèse "
                    f"({self.its_law().note.article})"
                    for one in self.projets("inscrit")
                    if one.asks_a_vote() and not (one.expose and one.expose.raw.strip())
                ]
            # Last: whatever else is missing changes what is approved.
            found += [] if found else convocation.approval_problems(self)
        elif transition == "ouvrir":
            early = rules.too_early(datetime.date.today(), self.date)
            posted = rules.posted_problem(self.affichee_le, self.sent(), datetime.date.today())
            found += [*filter(None, (early, posted)), *self.attendance().problems()]
            if not self.attendance().has_quorum() and not self.seconde_de:
                article = self.its_law().quorum.article
                found.append(f"le quorum n'est pas atteint : {self.attendance().count()} ({article})")
            found += convocation.problems(self)
            if not self.president or self.president not in (self.presents or []):
                found.append("le président de séance n'est pas parmi les présents")
            if not self.secretaire or self.secretaire not in (self.presents or []):
                found.append("le secrétaire de séance n'est pas parmi les présents")
        elif transition == "constater":
            if self.seconde_de:
                article = self.its_law().second.article
                found.append(f"seconde convocation : le conseil délibère sans condition de quorum ({article})")
            elif self.attendance().has_quorum():
                found.append("le quorum est atteint")
            if self.date > datetime.date.today():
                found.append(f"la séance est le {rules.french_date(self.date)}")
            found += convocation.problems(self)
        elif transition == "clore":
            found += [
                f"« {one.title} » n'a pas été voté, ni ajourné, ni retiré"
                for one in self.projets("inscrit")
                if one.asks_a_vote() and one.may_be_voted()
            ]
        return found


@implementer(IProjet)
class Projet(Container):
    """A projet de délibération."""

    def attendance(self) -> rules.Attendance:
        """Who sits at this item."""
        return _attendance_of(meeting_of(self), self)

    def presided_by(self) -> str:
        """Who presides over this item."""
        return str(self.president or meeting_of(self).president or "")

    def vote(self) -> rules.Vote | ballots.Secret | ballots.Election:
        """The vote, as entered."""
        return _vote_of(self)

    def asks_a_vote(self) -> bool:
        """Whether the council votes on it, not only hears it."""
        return bool(self.sorte == rules.VOTED)

    def outcome(self) -> str:
        """What became of an item on which the council did not vote by its own decision, in words; "" of any other."""
        said = {"ajourne": "Ce point est ajourné.", "retire": "Ce point est retiré de l'ordre du jour."}
        return said.get(api.content.get_state(self), "")

    def opinions(self) -> list[Opinion]:
        """What commissions said of it (L2121-22)."""
        return opinions.read_all(self.avis or [])

    def kind_label(self) -> str:
        """What of it the council hears, in words; "" where it votes."""
        return "" if self.asks_a_vote() else rules.ITEMS[self.sorte]

    def is_nomination(self) -> bool:
        """Whether it names or presents somebody: as a person says, else by its subject."""
        known = self.nomination == _YES if self.nomination else rules.names_nomination(self.title)
        return self.asks_a_vote() and known

    def not_voting(self) -> list[str]:
        """Voters who took no part in a public vote."""
        vote = self.vote()
        if not isinstance(vote, rules.Vote):
            return []
        cast = {*vote.ayes, *vote.noes, *vote.abstentions}
        return [name for name in self.attendance().voters() if name not in cast]

    def mode_label(self) -> str:
        """How it is voted, in words."""
        asked = f" ({self.secret_demande} sur {len(self.attendance().here())})" if self.secret_demande else ""
        return ballots.MODES[self.scrutin] + asked * (self.scrutin == ballots.THIRD)

    def is_without_quorum(self) -> bool:
        """Whether no quorum is asked: an item of the first agenda, at its own second convocation (L2121-17)."""
        second_of = meeting_of(self).seconde_de
        # Which meeting put it off is known of those that were since this is kept.
        first = getattr(self, "creatic_premiere", second_of)
        return bool(second_of and self.reportee and first == second_of)

    def may_be_voted(self) -> bool:
        """Whether the council is numerous enough for this item."""
        return self.is_without_quorum() or self.attendance().has_quorum()

    def quorum(self) -> str:
        """What was counted for the quorum of this item, in words."""
        counted = self.attendance().count()
        if self.is_without_quorum():
            article = meeting_of(self).its_law().second.article
            return f"{counted} ; seconde convocation, sans condition de quorum ({article})"
        return counted

    def closed_session(self) -> str:
        """How the closed session was decided, or ""."""
        if not self.huis_clos_par:
            return ""
        asked = f"demandé par {ASKERS[self.huis_clos_par]}"
        return f"{asked}, décidé par {self.huis_clos_pour or 0} voix sur {len(self.attendance().voters())} (L2121-18)"

    def closed_to_votes(self) -> list[str]:
        """Why no voice is taken on it now, in French."""
        found = []
        if not self.may_be_voted():
            article = meeting_of(self).its_law().quorum.article
            found.append(
                f"le quorum n'est pas atteint pour ce point : {self.attendance().count()} ({article}). À faire : notez "
                "qui est revenu, ou terminez la séance et convoquez de nouveau le conseil sur les points restants"
            )
        if meeting_of(self).urgency_problem():
            found.append(meeting_of(self).urgency_problem())
        return found

    def _vote_obstacles(self) -> list[str]:
        """What forbids to decide, in French."""
        attendance, found = self.attendance(), self.closed_to_votes()
        here = attendance.here()
        if self.presided_by() not in here:
            found.append("qui préside ce point n'est pas dans la salle : choisissez le président pour ce point")
        if meeting_of(self).secretaire not in (meeting_of(self).presents or []):
            found.append("le secrétaire de séance n'est pas parmi les présents : choisissez-le (L2121-15)")
        secret, voters = self.scrutin != ballots.PUBLIC, len(attendance.voters())
        body = meeting_of(self).its_law()
        said = rules.public_nomination_problem(self.is_nomination(), secret, self.secret_renonce, voters, body)
        if said:
            found.append(said)
        if self.compte:
            head = self.compte_de or getattr(commune_of(self), "creatic_maire", "")
            found += rules.accounts_problems(
                "" if head == _FORMER_MEMBER_LABEL else head, attendance, self.presided_by()
            )
        few = ballots.asked_by_too_few(self.secret_demande, len(here), body.secret)
        if self.scrutin == ballots.THIRD and few:
            found.append(few)
        if bool(self.huis_clos_par) != (self.huis_clos_pour is not None):
            found.append("huis clos : indiquez qui le demande et les voix pour (L2121-18)")
        elif self.huis_clos_par and (self.huis_clos_pour or 0) * 2 <= len(attendance.voters()):
            found.append("huis clos : il faut la majorité absolue des présents ou représentés (L2121-18)")
        elif self.huis_clos_par and (self.huis_clos_pour or 0) > len(attendance.voters()):
            found.append(f"huis clos : {self.huis_clos_pour} voix pour {len(attendance.voters())} votants")
        return found

    def _sent_problems(self) -> list[str]:
        said = rules.stays_problem(self.non_transmis, self.title, bool(self.compte or self.budget_xml))
        return [said] if said else []

    def budget_problems(self, voted: bool = False) -> list[str]:
        """What is wrong with the XML of its budget, in French; nothing without any.

        Args:
            voted: whether it is about to leave: sealed, and no project.
        """
        if self.budget_xml is None:
            return []
        name, siren = str(self.budget_xml.filename or ""), str(getattr(commune_of(self), "creatic_siren", "") or "")
        try:
            found = budgets.problems(name, self.budget_xml.data, siren, meeting_of(self).date, self.title, voted)
        except hidden.UnfitDocumentError as error:
            found = [f"« {name} » : {error}"]
        if matters.above(self.matiere) != budget.MATTER:
            wanted = matters.title(budget.MATTER)
            found.append(f"Matière : un budget (XML) se transmet en {wanted}. À faire : choisissez-la")
        return [one.removesuffix(".") for one in found]

    def accounts_said(self) -> str:
        """Say who leaves and who presides, where the accounts of a maire are voted (L2121-14); "" elsewhere."""
        if self.compte:
            head = self.compte_de or getattr(commune_of(self), "creatic_maire", "")
            return rules.accounts_said(
                "" if head == _FORMER_MEMBER_LABEL else head, self.attendance(), self.presided_by()
            )
        if not rules.names_accounts(self.title) or not self.asks_a_vote():
            return ""
        return (
            "L'objet est un compte administratif ou un compte financier unique : s'il est soumis au vote, cochez-le "
            "dans « Présence et vote » ; le maire se retire et un autre préside (L2121-14)."
        )

    def annexes(self) -> list[Any]:
        """Its annexes, in order."""
        return [one for one in self.objectValues() if getattr(one, "portal_type", "") == "File"]

    def obstacles(self, transition: str) -> list[str]:
        """What forbids a transition, in French; empty when it is allowed."""
        meeting, vote, found = meeting_of(self), self.vote(), []
        state = api.content.get_state(meeting)
        if transition in ("soumettre", "inscrire"):
            if self.asks_a_vote() and not (self.dispositif and self.dispositif.raw.strip()):
                found.append("le dispositif est vide")
            if state != "en_preparation":
                found.append("l'ordre du jour est arrêté : la séance est convoquée")
            found += [*self._sent_problems(), *self.budget_problems()]
        elif transition in ("adopter", "rejeter"):
            if state != "ouverte":
                found.append("la séance n'est pas ouverte")
            if not self.asks_a_vote():
                return [*found, "ce point n'est pas soumis au vote : « Sorte de point »"]
            found += [
                *self.attendance().problems(),
                *_other_mode_problems(self),
                *vote.problems(self.attendance().voters()),
            ]
            found += [*self._sent_problems(), *opinions.late(self.opinions(), meeting.date)]
            if not found:
                found += self._vote_obstacles()
            carried = not vote.missing() and vote.is_carried(self.presided_by())
            if vote.missing():
                found.append(vote.missing())
            elif carried and transition == "rejeter":
                found.append("le vote est favorable")
            elif not carried and transition == "adopter":
                found.append("le vote n'est pas favorable")
        elif transition in ("ajourner", "retirer", "revenir") and state != "ouverte":
            found.append("la séance n'est pas ouverte")
        elif transition in ("ajourner", "retirer") and vote.cast:
            found.append("un vote est saisi : effacez d'abord les voix")
        elif transition == "revenir" and self.suivi:
            found.append("cette délibération est déjà partie : elle se corrige ou s'abroge par un autre vote")
        elif transition == "renvoyer" and state in frozen.ENDED:
            found.append("la séance est terminée")
        elif transition == "renvoyer" and vote.cast:
            found.append("un vote est saisi : effacez d'abord les voix")
        elif transition == "publier" and not (self.document_signe and (self.date_reception or self.non_transmis)):
            found.append("il manque la délibération signée ou l'accusé de réception de la préfecture")
        elif transition == "publier" and not watch.is_ours():
            found.append("choisissez d'abord ce qui est publié, sur la page « Publication »")
        return found


@indexer(IProjet)
def projet_description(projet: Any) -> str:
    """What search results show."""
    return " – ".join(filter(None, (projet.numero, meeting_of(projet).label())))
