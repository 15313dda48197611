"""The law of each kind of body, as data: how it is convened, how it votes, what it publishes and keeps.

One table, which the site of the délibérations, the passerelle and the registry of communes take their values from, and
which the operator and the commune read in French. CGCT (articles without a code's name), CASF, code de l'éducation,
code du patrimoine (CP), CRPA, RGPD. Each rule says what is known of it: `Standing`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any

RULED_FROM = 1000
"""Inhabitants from which a council has rules of procedure (L2121-8)."""
LARGE_FROM = 3500
"""Inhabitants from which a council is convened five days before (L2121-12), and no longer chooses how its acts are
published (L2131-1, III and IV). Which population counts is told by two fields of a commune's file."""
CODES = {
    "": "code général des collectivités territoriales",
    "CASF": "code de l'action sociale et des familles",
    "CP": "code du patrimoine",
    "CRPA": "code des relations entre le public et l'administration",
}
"""Whole names of the codes that an article is written of: R123-16 du CASF."""


class Standing(StrEnum):
    """What is known of a rule."""

    READ = "lu"
    """Its wording was read in a public copy."""
    TO_CHECK = "à vérifier"
    """Told from memory or by a guide: the wording is to be read before it is relied on."""
    UNSETTLED = "non fixé"
    """No text says it for this body; the value is the prudent one, and the body's own rules may say otherwise."""


MEANINGS = {
    Standing.READ: "le texte a été lu dans une copie publique",
    Standing.TO_CHECK: "dit de mémoire ou par un guide, à lire avant de s'y fier",
    Standing.UNSETTLED: "aucun texte ne le dit pour cet organisme : valeur prudente, que ses propres règles changent",
}


class Publicity(StrEnum):
    """How acts that are not individual are made known."""

    ON_LINE = "electronique"
    CHOICE = "choix"
    """Posted up, on paper or on line, as the council decided; on line where it decided nothing."""


@dataclass(frozen=True)
class Rule[Value]:
    """One rule: the value that programs take, the sentence that people read, and its article."""

    value: Value
    said: str
    article: str
    standing: Standing = Standing.READ
    via: str = ""
    """Article that makes another body's rule this one's."""

    @property
    def source(self) -> str:
        """Its article, and the one that sends to it."""
        return f"{self.article}, par renvoi de {self.via}" if self.via else self.article


def _named(label: str) -> dict[str, str]:
    return {"label": label}


@dataclass(frozen=True)
class Body:
    """What the law asks of one kind of body."""

    kind: str
    """As communes' files write it; `commune` for the commune itself."""
    label: str
    council: str
    """How its council is called."""
    notice: Rule[int] = field(metadata=_named("Délai de convocation"))
    """Clear days between a convocation and its meeting."""
    floor: Rule[int] = field(metadata=_named("Délai que ses propres règles ne réduisent pas"))
    """Clear days."""
    urgency: Rule[int | None] = field(metadata=_named("Urgence"))
    """Clear days that are left in an emergency; None where no text lets the delay be shortened."""
    shortens: Rule[str] = field(metadata=_named("Qui abrège le délai"))
    """In what quality; "" for nobody."""
    renewal: Rule[int | None] = field(metadata=_named("Première réunion après un renouvellement"))
    """Clear days; None where it is convened as any other."""
    sending: Rule[bool] = field(metadata=_named("Envoi de la convocation"))
    """Whether it is sent electronically to who did not ask for paper."""
    note: Rule[int] = field(metadata=_named("Note jointe à la convocation"))
    """Inhabitants from which it is asked; 0 for always."""
    procedure: Rule[bool] = field(metadata=_named("Règlement intérieur"))
    """Whether it must have rules of procedure."""
    quorum: Rule[Fraction] = field(metadata=_named("Quorum"))
    """More than this part of the members in office are in the room themselves."""
    leaving: Rule[bool] = field(metadata=_named("Qui sort du quorum"))
    """Whether who leaves because they represent it in another body is counted all the same."""
    second: Rule[int] = field(metadata=_named("Seconde convocation"))
    """Clear days; no quorum is asked then."""
    proxies: Rule[int] = field(metadata=_named("Pouvoirs"))
    """How many a member holds at most."""
    tie: Rule[bool] = field(metadata=_named("Majorité et partage"))
    """Whether the voice of who presides prevails in a tie."""
    named: Rule[Fraction | None] = field(metadata=_named("Scrutin public"))
    """Part of the members in the room that obtains it; None where no text speaks of it."""
    secret: Rule[Fraction] = field(metadata=_named("Scrutin secret"))
    """Part of the members in the room that obtains it."""
    nomination: Rule[bool] = field(metadata=_named("Nominations"))
    """Whether the council may give up the secret of a nomination, unanimously."""
    closed: Rule[int | None] = field(metadata=_named("Huis clos"))
    """Members who may ask for it, besides who presides; None where meetings are not public."""
    presides: Rule[str] = field(metadata=_named("Qui préside"))
    accounts: Rule[bool] = field(metadata=_named("Vote des comptes"))
    """Whether whose accounts they are leaves, and another presides."""
    secretary: Rule[str] = field(metadata=_named("Secrétaire de séance"))
    minutes: Rule[int | None] = field(metadata=_named("Procès-verbal"))
    """Days after the meeting that settles it, within which it is on line; None where no text says so."""
    listing: Rule[int | None] = field(metadata=_named("Liste des délibérations"))
    """Days after the meeting, within which it is on line; None where no text says so."""
    open: Rule[bool | None] = field(metadata=_named("Mise en ligne de la liste et du procès-verbal"))
    """Whether they go on line; None where it depends on whether this council decides of aid to people."""
    publicity: Rule[Publicity] = field(metadata=_named("Publicité des actes"))
    register: Rule[str] = field(metadata=_named("Registres"))
    signs: Rule[str] = field(metadata=_named("Qui signe"))
    retention: Rule[int | None] = field(metadata=_named("Conservation"))
    """Years; None for without limit."""
    contract: Rule[bool] = field(metadata=_named("Contrat avec le groupement (données personnelles)"))
    processing: Rule[bool] = field(metadata=_named("Registre des traitements"))

    by_commune: bool = False
    """Whether the inhabitants that count are those of the commune that hosts it."""

    def rules(self) -> Iterator[tuple[str, Rule[Any]]]:
        """Give each rule with its French name, in the order of the table."""
        for one in dataclasses.fields(self):
            if label := one.metadata.get("label"):
                yield label, getattr(self, one.name)

    def asks_note(self, people: int) -> bool:
        """Whether a note goes with the convocation; it does where the number of inhabitants is not known (0)."""
        return people == 0 or people >= self.note.value


_HALF, _THIRD, _QUARTER = Fraction(1, 2), Fraction(1, 3), Fraction(1, 4)
_CHECK, _UNSETTLED = Standing.TO_CHECK, Standing.UNSETTLED
_OWN = "statuts ou règlement intérieur"

_SMALL = Body(
    kind="commune",
    label="Conseil municipal, moins de 1 000 habitants",
    council="conseil municipal",
    notice=Rule(3, "trois jours francs", "L2121-11"),
    floor=Rule(3, "trois jours francs, quoi qu'en dise son règlement intérieur", "L2121-11"),
    urgency=Rule(
        1, "un jour franc au moins ; le conseil se prononce dès l'ouverture, et peut renvoyer la discussion", "L2121-11"
    ),
    shortens=Rule("maire", "le maire, qui en rend compte à l'ouverture", "L2121-11"),
    renewal=Rule(
        3, "trois jours francs quelle que soit la taille, du vendredi au dimanche qui suivent le scrutin", "L2121-7"
    ),
    sending=Rule(
        True,
        "par voie électronique, ou sur papier à qui le demande ; elle est affichée ou publiée, et portée au registre",
        "L2121-10",
    ),
    note=Rule(LARGE_FROM, "pas de note obligatoire avec la convocation", "L2121-12"),
    procedure=Rule(False, "facultatif", "L2121-8"),
    quorum=Rule(_HALF, "la majorité des membres en exercice, présents eux-mêmes, à l'ouverture et à chaque point",
                "L2121-17"),
    leaving=Rule(
        True,
        "qui est intéressé à l'affaire sort sans compter ; qui représente sa collectivité dans un autre "
        "organisme (L1111-6) sort et compte",
        "L2131-11",
    ),
    second=Rule(3, "trois jours francs au moins après la première ; le conseil délibère sans quorum", "L2121-17"),
    proxies=Rule(1, "un seul pouvoir écrit par membre, toujours révocable", "L2121-20", _CHECK),
    tie=Rule(
        True, "majorité absolue des suffrages exprimés ; la voix du président l'emporte, hors scrutin secret",
        "L2121-20", _CHECK,
    ),
    named=Rule(_QUARTER, "à la demande du quart des présents ; le registre porte le nom et le vote de chacun",
               "L2121-21"),
    secret=Rule(_THIRD, "à la demande du tiers des présents, et pour toute nomination ou présentation", "L2121-21"),
    nomination=Rule(
        True, "au scrutin secret, sauf si le conseil y renonce à l'unanimité et qu'aucun texte ne l'impose", "L2121-21"
    ),
    closed=Rule(3, "à la demande de trois membres ou de qui préside, à la majorité absolue, sans débat", "L2121-18",
                _CHECK),
    presides=Rule("maire", "le maire, à défaut celui qui le remplace", "L2121-14", _CHECK),
    accounts=Rule(
        True, "le conseil élit un président ; le maire peut assister à la discussion et se retire au vote", "L2121-14",
        _CHECK,
    ),
    secretary=Rule(
        "membre", "un membre du conseil, nommé au début de la séance ; des auxiliaires peuvent l'aider", "L2121-15",
        _CHECK,
    ),
    minutes=Rule(
        7,
        "arrêté au commencement de la séance suivante, signé du président et du secrétaire, en ligne dans la semaine "
        "qui suit",
        "L2121-15",
    ),
    listing=Rule(7, "affichée et en ligne dans la semaine, délibérations refusées comprises", "L2121-25"),
    open=Rule(True, "oui, sans donnée personnelle (CRPA, L312-1-2)", "L2121-15 et L2121-25"),
    publicity=Rule(
        Publicity.CHOICE, "affichage, papier ou mise en ligne, au choix du conseil ; en ligne s'il n'a rien choisi",
        "L2131-1, IV",
    ),
    register=Rule(
        "papier",
        "délibérations et décisions du maire (R2122-7-1) : sur papier, coté et paraphé, avec tables et signatures "
        "manuscrites même des actes signés électroniquement ; les arrêtés ont le leur (R2122-7)",
        "R2121-9",
    ),
    signs=Rule(
        "maire et secrétaire",
        "le maire et le secrétaire de séance ; nom, prénom et qualité sur l'acte (CRPA, L212-1)",
        "L2121-23",
    ),
    retention=Rule(None, "sans limite ; rien ne s'élimine sans visa des Archives départementales (CP, L212-2)",
                   "R212-12 du CP"),
    contract=Rule(True, "contrat écrit de sous-traitance, que l'organisme signe lui-même", "RGPD, 28", _CHECK),
    processing=Rule(
        True, "un registre, tenu par l'organisme ; une violation se notifie à la CNIL en 72 heures (RGPD, 33)",
        "RGPD, 30", _CHECK,
    ),
)  # fmt: skip # a table

_MIDDLE = dataclasses.replace(
    _SMALL,
    label="Conseil municipal, de 1 000 à 3 499 habitants",
    procedure=Rule(True, "obligatoire, dans les six mois de l'installation", "L2121-8", _CHECK),
)

_LARGE = dataclasses.replace(
    _MIDDLE,
    label="Conseil municipal, 3 500 habitants et plus",
    notice=Rule(5, "cinq jours francs", "L2121-12"),
    floor=Rule(5, "cinq jours francs, quoi qu'en dise son règlement intérieur", "L2121-12"),
    urgency=dataclasses.replace(_SMALL.urgency, article="L2121-12"),
    shortens=dataclasses.replace(_SMALL.shortens, article="L2121-12"),
    note=Rule(LARGE_FROM, "note explicative de synthèse sur les affaires soumises à délibération", "L2121-12"),
    publicity=Rule(Publicity.ON_LINE, "mise en ligne, dans un format non modifiable (R2131-1)", "L2131-1, III"),
)


def _through(body: Body, via: str, standing: Standing | None = None) -> dict[str, Any]:
    """Rules of a body as another one has them, by the article that sends to it."""
    own = ("retention", "contract", "processing")  # every public body's, whatever its kind
    return {
        one.name: dataclasses.replace(rule, via=via, standing=standing or rule.standing)
        for one in dataclasses.fields(body)
        if isinstance(rule := getattr(body, one.name), Rule) and one.name not in own
    }


_LIKE_LARGE = "comme une commune de 3 500 habitants et plus (L2121-12), quelle que soit sa population"
_COMMUNITY = dataclasses.replace(
    _LARGE,
    **_through(_LARGE, "L5211-1")
    | {
        "kind": "communaute",
        "label": "Conseil communautaire",
        "council": "conseil communautaire",
        "notice": Rule(5, f"cinq jours francs, {_LIKE_LARGE}", "L5211-1"),
        "floor": Rule(5, "cinq jours francs, quoi qu'en disent ses statuts", "L5211-1"),
        "urgency": dataclasses.replace(_SMALL.urgency, article="L5211-1"),
        "shortens": Rule("président", "le président, qui en rend compte à l'ouverture", "L5211-1"),
        "renewal": Rule(
            None,
            "au plus tard le vendredi de la quatrième semaine qui suit l'élection des maires ; cinq jours francs, le "
            "délai réduit des communes n'y vaut pas (CE, 22 juillet 2015, n° 383072)",
            "L5211-8",
        ),
        "note": Rule(0, f"note explicative de synthèse, {_LIKE_LARGE}", "L5211-1"),
        "closed": Rule(5, "à la demande de cinq membres ou du président, à la majorité absolue, sans débat",
                       "L5211-11"),
        "presides": Rule("président", "le président, à défaut celui qui le remplace", "L5211-9", _CHECK),
        "accounts": Rule(True, "le conseil élit un président de séance ; le président se retire au vote", "L2121-14",
                         _CHECK, "L5211-1"),
        "publicity": Rule(Publicity.ON_LINE, "mise en ligne (L2131-1, III), quelle que soit sa population", "L5211-3"),
        "register": Rule(
            "papier",
            "délibérations et décisions du président : sur papier, coté et paraphé, avec tables et signatures "
            "manuscrites même des actes signés électroniquement ; les arrêtés ont le leur",
            "R2121-9",
            _CHECK,
            "L5211-1",
        ),
        "signs": Rule(
            "président et secrétaire",
            "le président et le secrétaire de séance ; nom, prénom et qualité sur l'acte (CRPA, L212-1)",
            "L2121-23",
            via="L5211-1",
        ),
    },
)  # fmt: skip # a table

_SYNDICATE = dataclasses.replace(
    _COMMUNITY,
    kind="syndicat",
    label="Comité syndical",
    council="comité syndical",
    publicity=Rule(
        Publicity.CHOICE,
        "affichage, papier ou mise en ligne (L2131-1, IV), au choix du comité quelle que soit sa population ; en ligne "
        "s'il n'a rien choisi",
        "L5211-3",
    ),
)

_ESTABLISHMENT = Rule(
    Publicity.CHOICE,
    "affichage, papier ou mise en ligne, au choix du conseil, à confirmer auprès de la préfecture ; en ligne s'il n'a "
    "rien choisi ; une décision individuelle se notifie et ne se publie jamais",
    "L2131-12",
    _CHECK,
)
_NO_REFORM = "aucun texte ne le demande : la réforme de 2022 ne se lit pas comme la sienne"

_CCAS = dataclasses.replace(
    _SMALL,
    kind="ccas",
    label="CCAS",
    council="conseil d'administration",
    by_commune=True,
    notice=Rule(3, "trois jours au moins ; comptés francs, par prudence", "R123-16 du CASF"),
    floor=Rule(3, "trois jours, quoi qu'en dise son règlement intérieur", "R123-16 du CASF"),
    urgency=Rule(None, "aucune : aucun texte ne permet d'abréger le délai", "R123-16 du CASF"),
    shortens=Rule("", "personne", "R123-16 du CASF"),
    renewal=Rule(None, "convoquée comme une autre", "R123-16 du CASF"),
    sending=Rule(True, "avec l'ordre du jour que le président arrête ; aucun texte ne dit par quelle voie",
                 "R123-16 du CASF", _UNSETTLED),
    note=Rule(LARGE_FROM, "rapport explicatif, dans les villes de 3 500 habitants et plus", "R123-16 du CASF"),
    procedure=Rule(True, "le conseil établit le sien", "R123-19 du CASF", _CHECK),
    quorum=Rule(_HALF, "la majorité des membres en exercice assiste à la séance", "R123-17 du CASF", _CHECK),
    leaving=dataclasses.replace(_SMALL.leaving, standing=_CHECK, via="L2131-12"),
    second=Rule(3, "trois jours au moins, comme la première ; le conseil délibère quel que soit le nombre des présents",
                "R123-17 du CASF", _CHECK),
    proxies=Rule(1, "un seul pouvoir écrit par administrateur, toujours révocable", "R123-16 du CASF", _CHECK),
    tie=Rule(True, "majorité absolue des suffrages exprimés ; la voix du président l'emporte",
             "R123-18 du CASF", _CHECK),
    named=Rule(None, "aucun texte n'en parle", "R123-18 du CASF", _UNSETTLED),
    secret=Rule(_THIRD, "quand le tiers des présents le réclame, et pour toute nomination", "R123-18 du CASF", _CHECK),
    nomination=Rule(False, "au scrutin secret ; le texte ne prévoit pas d'y renoncer, même à l'unanimité",
                    "R123-18 du CASF", _CHECK),
    closed=Rule(None, "ses séances ne sont pas publiques : secret professionnel", "L133-5 du CASF", _CHECK),
    presides=Rule("président", "le maire, président de droit ; à défaut le vice-président, puis le plus ancien des "
                  "présents", "L123-6 du CASF"),
    accounts=Rule(True, "aucun texte ne le dit pour lui : le président se retire, par prudence, comme un maire",
                  "L2121-14", _UNSETTLED),
    secretary=Rule("libre", "son règlement intérieur le dit ; le directeur, en pratique", "R123-19 du CASF",
                   _UNSETTLED),
    minutes=Rule(None, _NO_REFORM, "L2121-15", _UNSETTLED),
    listing=Rule(None, _NO_REFORM, "L2121-25", _UNSETTLED),
    open=Rule(False, "jamais de soi-même : ce qui touche à une personne aidée est secret (code pénal, 226-13 ; CADA, "
              "20121509)", "L133-5 du CASF"),
    publicity=_ESTABLISHMENT,
    register=Rule("papier", "aucun texte propre : un registre comme celui des délibérations de la commune, tenu à part",
                  "R2121-9", _UNSETTLED),
    signs=Rule("président", "le président, ou qui a sa délégation (R123-23) ; nom, prénom et qualité sur l'acte (CRPA, "
               "L212-1)", "R123-23 du CASF", _CHECK),
)  # fmt: skip # a table

_CIAS = dataclasses.replace(
    _CCAS,
    kind="cias",
    label="CIAS",
    by_commune=False,
    note=Rule(0, "rapport explicatif ; le texte ne dit pas quelle population compte", "R123-16 du CASF", _UNSETTLED),
    presides=Rule("président", "le président de la communauté, président de droit ; à défaut le vice-président",
                  "L123-6 du CASF", _CHECK),
)  # fmt: skip # a table

_NO_TEXT = "aucun texte ne le dit"
_OTHER = dataclasses.replace(
    _LARGE,
    **_through(_LARGE, "", _UNSETTLED)
    | {
        "kind": "autre",
        "label": "Autre organisme",
        "council": "conseil",
        "notice": Rule(5, f"{_NO_TEXT} : cinq jours francs, la règle la plus longue, à défaut de {_OWN}", "L2121-12",
                       _UNSETTLED),
        "floor": Rule(1, f"{_NO_TEXT} : {_OWN} le fixent", "L2121-12", _UNSETTLED),
        "urgency": Rule(None, f"{_NO_TEXT} : le délai n'est pas abrégé", "L2121-12", _UNSETTLED),
        "shortens": Rule("", f"{_NO_TEXT} : personne", "L2121-12", _UNSETTLED),
        "renewal": Rule(None, "convoquée comme une autre", "L2121-7", _UNSETTLED),
        "note": Rule(0, f"{_NO_TEXT} : note de synthèse, par prudence", "L2121-12", _UNSETTLED),
        "procedure": Rule(False, f"{_NO_TEXT} : {_OWN} le disent", "L2121-8", _UNSETTLED),
        "presides": Rule("président", f"{_OWN} le disent", "L2121-14", _UNSETTLED),
        "open": Rule(None, "non, sauf si son conseil ne décide d'aucune aide à une personne (aides_individuelles: "
                     "false)", "L133-5 du CASF", _UNSETTLED),
        "publicity": Rule(Publicity.ON_LINE, f"{_NO_TEXT} : mise en ligne de ce qui se publie", "L2131-1, III",
                          _UNSETTLED),
        "register": _CCAS.register,
        "signs": Rule("président", "son président ; nom, prénom et qualité sur l'acte", "L212-1 du CRPA"),
    },
)  # fmt: skip # a table

_SCHOOLS = dataclasses.replace(
    _OTHER,
    kind="caisse_des_ecoles",
    label="Caisse des écoles",
    council="comité",
    presides=Rule("président", "le maire, président de droit", "R212-26 du code de l'éducation"),
    publicity=_ESTABLISHMENT,
)

_COMMUNES = (_SMALL, _MIDDLE, _LARGE)
TABLE = (*_COMMUNES, _COMMUNITY, _SYNDICATE, _CCAS, _CIAS, _SCHOOLS, _OTHER)
"""Every row: the conseil municipal has three, by its size; the last one is of what no text speaks of."""
COMMUNE = _SMALL.kind
KINDS = tuple(dict.fromkeys(one.kind for one in TABLE))
ENTITIES = KINDS[1:]
"""Kinds that a commune hosts: `type` of an entity, in its file."""


def rows(kind: str) -> tuple[Body, ...]:
    """The rows of a kind: three for a commune, one for another, none for a kind that the table does not know."""
    return tuple(one for one in TABLE if one.kind == kind)


def of(kind: str, people: int = 0, publicity_people: int = 0) -> Body:
    """Give what the law asks of a body.

    Args:
        kind: one of `KINDS`; "" is a commune, and what the table does not know is « autre ».
        people: inhabitants of the commune; 0 when they are not known, which is taken for the strictest.
        publicity_people: inhabitants as they count for the publicity of acts (L2131-1); 0 when they are the same.
    """
    if kind not in ("", COMMUNE):
        return next(iter(rows(kind)), _OTHER)
    published = _sized(publicity_people or people)
    return dataclasses.replace(_sized(people), publicity=published.publicity)


def _sized(people: int) -> Body:
    if people == 0 or people >= LARGE_FROM:
        return _LARGE
    return _MIDDLE if people >= RULED_FROM else _SMALL


def labels(*names: str) -> list[str]:
    """French names of some rules, by the names of their fields."""
    return [one.metadata["label"] for one in dataclasses.fields(Body) if one.name in names]


def doubt(rule: Rule[Any]) -> str:
    """What is to be added where a rule is not settled or not read; "" where it is."""
    return "" if rule.standing is Standing.READ else f" [{rule.standing}]"


def told(bodies: Sequence[Body]) -> Iterator[tuple[str, Rule[Any]]]:
    """Give each rule with its name: once where all these rows say it alike, else once for each row."""
    for together in zip(*(body.rules() for body in bodies), strict=True):
        label, rule = together[0]
        if all(one == rule for _label, one in together):
            yield label, rule
        else:
            for body, (_label, one) in zip(bodies, together, strict=True):
                yield f"{label} – {body.label}", one
