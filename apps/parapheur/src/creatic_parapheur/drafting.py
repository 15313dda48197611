"""Arrêtés and décisions from the first word: models that are data, the fields that they ask for, what comes of them.

A model (`modeles/NAME.yml`) has the words; what somebody fills in is put in its place as text, once: it is never read
again for places, nor as a template. What a visa cites says what is known of it, as the rules of law do (`Standing`).
Messages are French, for people.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from creatic_agent.configuration import From, Key, load, one_of
from creatic_agent.law import Standing
from creatic_agent.writing import day_of, french_date, of_commune

from . import procurement, transmission
from .refusal import RefusedError

FOLDER = Path(__file__).with_name("modeles")
SUBJECT_MAX = 500
"""Signs of the subject of an act, as circuits and the préfecture take it."""
DECISION = "D"
"""Nature of a décision by delegation of the council: the register of délibérations has it (CGCT, R2122-7-1)."""
_TOUCHED = "acte"
_RESERVED_PLACES = ("qualite", _TOUCHED)
"""Places that no field fills."""
EFFECTS = {"retire": "retiré", "abroge": "abrogé", "rectifie": "rectifié"}
"""What an act may do to another one, by the name that is kept: it is withdrawn, abrogated, corrected."""
_PLACEHOLDER_PATTERN = re.compile(r"\{(\w+)\}")
_DRAFT_MATTER_PATTERN = re.compile(r"[1-9](\.[1-9][0-9]?){0,4}")
_CHECKED = "oui"
_APPEALS = {
    False: "Le présent arrêté peut être contesté devant le tribunal administratif {court}, dans les deux mois qui "
    "suivent sa {since} (code de justice administrative, R421-1).",
    True: "La présente décision peut être contestée devant le tribunal administratif {court}, dans les deux mois qui "
    "suivent sa {since} (code de justice administrative, R421-1).",
}
"""By whether it is a décision."""
_SENTENCE_ENDINGS = (".", "!", "?", "»", ";")
_INVISIBLE = ("Cc", "Cs", "Co", "Cn")  # Unicode's controls, halves, private and unassigned signs


class Kind(StrEnum):
    """What a field is."""

    TEXT = "texte"
    LONG = "texte_long"
    DATE = "date"
    PERIOD = "periode"
    """Two days, both included."""
    PLACE = "lieu"
    PERSON = "personne"
    CHOICE = "choix"
    AMOUNT = "montant"
    """Euros without tax."""
    BOX = "case"


class When(StrEnum):
    """Where the days of a field are, seen from the day of the act."""

    ANY = ""
    BEFORE = "avant"
    """Not after it."""
    AFTER = "apres"
    """Not before it: an act has no effect before it exists."""


_MAX_FIELD_LENGTHS = {Kind.TEXT: 200, Kind.LONG: 3000, Kind.PLACE: 300, Kind.PERSON: 200}
"""Signs at most, where the model says nothing."""


def _one_of_words(*words: str) -> From:
    return From(str, one_of({one: one for one in words}))


def _enum_member(kind: type[StrEnum]) -> From:
    return From(str, one_of({one.value: one for one in kind}))


_KIND, _WHEN, _STANDING = _enum_member(Kind), _enum_member(When), _enum_member(Standing)
_CHOICE, _NATURE = _one_of_words(*transmission.CHOICES), _one_of_words(*transmission.NATURES)
_BODIES, _APPEAL = _one_of_words("commune", "tous"), _one_of_words("publication", "notification")
_EFFECT = _one_of_words("", *EFFECTS)


class Faulty(RefusedError):
    """What was filled in does not make an act.

    Attributes:
        problems: what is to be corrected, in French, by the name of what the form sends.
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ; ".join(problems.values()))
        self.problems = dict(problems)


@dataclass(frozen=True)
class Field:
    """What a model asks for.

    Attributes:
        most: signs at most; 0 for those of its kind.
        along: a field without which this one is not asked for.
        days: of a period, at most; 0 for any.
    """

    name: Annotated[str, Key("nom")]
    label: Annotated[str, Key("libelle")]
    kind: Annotated[Kind, Key("type"), _KIND]
    help: Annotated[str, Key("aide")] = ""
    most: Annotated[int, Key("max")] = 0
    optional: Annotated[bool, Key("facultatif")] = False
    along: Annotated[str, Key("avec")] = ""
    choices: Annotated[tuple[str, ...], Key("choix")] = ()
    when: Annotated[When, Key("quand"), _WHEN] = When.ANY
    days: Annotated[int, Key("jours_max")] = 0

    def __post_init__(self) -> None:
        if (self.kind is Kind.CHOICE) != bool(self.choices):
            raise ValueError(f"« {self.name} » : un choix a une liste (choix), et lui seul.")

    @property
    def length(self) -> int:
        """Signs at most."""
        return self.most or _MAX_FIELD_LENGTHS.get(self.kind, 40)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what a form sends for it."""
        return (f"{self.name}_du", f"{self.name}_au") if self.kind is Kind.PERIOD else (self.name,)

    @property
    def required(self) -> bool:
        """Whether a form asks for it in any case."""
        return not (self.optional or self.along)


@dataclass(frozen=True)
class Sentence:
    """Words of a model, left out without the field `needs`, and with the field `unless`."""

    text: Annotated[str, Key("texte")]
    needs: Annotated[str, Key("si")] = ""
    unless: Annotated[str, Key("sauf")] = ""

    def stands(self, filled: Mapping[str, str]) -> bool:
        """Whether it is in an act with these fields."""
        return (not self.needs or bool(filled[self.needs])) and not (self.unless and filled[self.unless])

    @property
    def places(self) -> set[str]:
        """Names of the fields that it knows."""
        return {*_PLACEHOLDER_PATTERN.findall(self.text), *filter(None, (self.needs, self.unless))}


@dataclass(frozen=True)
class Visa(Sentence):
    """What an act is founded on; `standing` is None for a paper of its own file."""

    standing: Annotated[Standing | None, Key("etat"), _STANDING] = None

    @property
    def doubt(self) -> str:
        """What is known of it, when its articles are to be read before they are relied on; "" otherwise."""
        return "" if self.standing in (None, Standing.READ) else str(self.standing)


@dataclass(frozen=True)
class Proposal:
    """Whether such an act goes to the préfecture, as the model proposes it (CGCT, L2131-2): a person says it."""

    choice: Annotated[str, Key("choix"), _CHOICE]
    reason: Annotated[str, Key("motif")]
    article: str
    standing: Annotated[Standing, Key("etat"), _STANDING]

    def __str__(self) -> str:
        doubt = "" if self.standing is Standing.READ else f" [{self.standing}]"
        return f"{transmission.CHOICES[self.choice]} : {self.reason} ({self.article}){doubt}"


@dataclass(frozen=True)
class Model:
    """A kind of act.

    Attributes:
        bodies: ``commune`` for those of a commune alone, ``tous`` for those of an entity that it hosts too.
        nature: of `transmission.NATURES`.
        matter: of the préfecture's nomenclature; "" where it depends on the act.
        publicity: how it is made known, in words.
        appeal: what the two months of an appeal run from (CJA, R421-1): ``publication`` or ``notification``.
        effect: of `EFFECTS`, for what touches another act, whose nature it has; "" for the others.
    """

    title: Annotated[str, Key("titre")]
    subject: Annotated[str, Key("objet")]
    bodies: Annotated[str, Key("pour"), _BODIES]
    nature: Annotated[str, _NATURE]
    matter: Annotated[str, Key("matiere")]
    proposal: Annotated[Proposal, Key("transmission")]
    publicity: Annotated[tuple[str, ...], Key("publicite")]
    appeal: Annotated[str, Key("recours"), _APPEAL]
    visas: tuple[Visa, ...]
    grounds: Annotated[tuple[Sentence, ...], Key("considerants")]
    articles: tuple[Sentence, ...]
    fields: Annotated[tuple[Field, ...], Key("champs")]
    effect: Annotated[str, Key("effet"), _EFFECT] = ""
    key: str = ""
    """Its name, by which a form knows it."""

    def __post_init__(self) -> None:
        names = [one.name for one in self.fields]
        told = {
            *_PLACEHOLDER_PATTERN.findall(self.subject),
            *(place for one in self._sentences() for place in one.places),
        }
        if len({part for one in self.fields for part in one.inputs}) != sum(len(one.inputs) for one in self.fields):
            raise ValueError("deux champs ont le même nom.")
        if unknown := sorted(told - {*names, *_RESERVED_PLACES}):
            raise ValueError(f"« {{{unknown[0]}}} » n'est le nom d'aucun champ.")
        if unused := [one for one in names if one not in told]:
            raise ValueError(f"le champ « {unused[0]} » n'est dit nulle part.")
        if lost := [one.name for one in self.fields if one.along and one.along not in names]:
            raise ValueError(f"le champ « {lost[0]} » accompagne un champ qui n'existe pas.")
        if self.matter and not _DRAFT_MATTER_PATTERN.fullmatch(self.matter):
            raise ValueError(f"« {self.matter} » n'est pas une matière.")
        if bool(self.effect) != (_TOUCHED in told):
            raise ValueError("un modèle qui a un effet nomme l'acte qu'il vise, {acte}, et lui seul.")
        if not self.articles:
            raise ValueError("un acte a au moins un article.")

    def _sentences(self) -> Iterator[Sentence]:
        yield from (*self.visas, *self.grounds, *self.articles)

    @property
    def is_decision(self) -> bool:
        """Whether it is a décision by delegation of the council, rather than an arrêté."""
        return self.nature == DECISION

    @property
    def word(self) -> str:
        """What its title begins with."""
        return "Décision" if self.is_decision else "Arrêté"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all that a form sends."""
        return tuple(part for one in self.fields for part in one.inputs)


@dataclass(frozen=True)
class Draft:
    """What an act says, as plain text; a text may have several lines."""

    model: Model
    day: dt.date
    subject: str
    visas: tuple[str, ...]
    grounds: tuple[str, ...]
    articles: tuple[str, ...]


@functools.cache
def models() -> Mapping[str, Model]:
    """Every model, by its name, in the order of their titles. Raises configuration.ConfigError."""
    found = [load(one, Model, key=one.stem) for one in sorted(FOLDER.glob("*.yml"))]
    return {one.key: one for one in sorted(found, key=lambda one: (one.is_decision, _fold_case(one.title)))}


def _fold_case(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().casefold()


def find(key: str) -> Model:
    """A model by its name. Raises Refused: there is none."""
    if (found := models().get(key)) is None:
        raise RefusedError(f"modele : « {key[:40]} » n'existe pas. À faire : choisissez un modèle de la liste", 404)
    return found


# -- what was filled in --------------------------------------------------------------------------------------


def plain(raw: str, most: int, lines: bool = False) -> str:
    """What somebody wrote, with its accents in one sign each and single spaces. Raises ValueError, in French.

    Args:
        most: signs.
        lines: whether it keeps its lines.
    """
    whole = unicodedata.normalize("NFC", raw.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " "))
    shown = "".join(one for one in whole if unicodedata.category(one) != "Cf")  # marks that a word processor leaves
    if odd := next((one for one in shown if one != "\n" and unicodedata.category(one) in _INVISIBLE), ""):
        raise ValueError(
            f"un signe invisible s'y trouve (U+{ord(odd):04X}) ; recopiez ce texte au clavier, ou collez-le sans mise "
            "en forme"
        )
    kept = [" ".join(line.split()) for line in shown.split("\n")]
    text = "\n".join(filter(None, kept)) if lines else " ".join(filter(None, kept))
    if len(text) > most:
        raise ValueError(f"{len(text)} caractères, {most} au plus ; raccourcissez ce texte")
    return text


def _check_day_bounds(field: Field, found: dt.date, day: dt.date) -> dt.date:
    if field.when is When.BEFORE and found > day:
        raise ValueError(
            f"le {french_date(found)} est après la date de l'acte ({french_date(day)}) ; corrigez l'une ou l'autre"
        )
    if field.when is When.AFTER and found < day:
        raise ValueError(
            f"le {french_date(found)} est avant la date de l'acte ({french_date(day)}), qui n'a pas d'effet "
            "rétroactif ; corrigez l'une ou l'autre"
        )
    return found


def _render_period(field: Field, first: str, last: str, day: dt.date) -> str:
    begins = _check_day_bounds(field, day_of(first), day)
    ends = day_of(last)
    if ends < begins:
        raise ValueError(
            f"le dernier jour ({french_date(ends)}) est avant le premier ({french_date(begins)}) ; corrigez les dates"
        )
    if field.days and (ends - begins).days >= field.days:
        raise ValueError(f"{(ends - begins).days + 1} jours, {field.days} au plus ; corrigez les dates")
    if ends == begins:
        return f"le {french_date(begins)}"
    return f"du {french_date(begins)} au {french_date(ends)}"


def _render_value(field: Field, raw: tuple[str, ...], day: dt.date) -> str:
    """What a field puts in its places. Raises ValueError, in French."""
    if field.kind is Kind.PERIOD:
        first, last = raw
        return _render_period(field, first, last, day)
    [text] = raw
    if field.kind is Kind.DATE:
        return french_date(_check_day_bounds(field, day_of(text), day))
    if field.kind is Kind.CHOICE:
        if text not in field.choices:
            raise ValueError(f"« {text[:40]} » n'est pas de la liste ; choisissez parmi {', '.join(field.choices)}")
        return text
    if field.kind is Kind.BOX:
        if text != _CHECKED:
            raise ValueError("cochez la case, ou laissez-la vide")
        return text
    if field.kind is Kind.AMOUNT:
        found = procurement.amount(plain(text, field.length))
        if found is None:
            raise ValueError("écrivez un montant, par exemple 215999,99")
        return procurement.euros(found)
    written = plain(text, field.length, field.kind is Kind.LONG)
    if field.kind in (Kind.PERSON, Kind.PLACE):
        return written
    return written.rstrip(" .")  # the sentence has its own


def filled(model: Model, told: Mapping[str, str], day: dt.date) -> dict[str, str]:
    """Texts of a model's fields, by their names; "" for what is not asked for.

    Args:
        told: what the form sent, by `Field.inputs`.
        day: of the act.

    Raises:
        Faulty: each field that is to be corrected.
    """
    texts: dict[str, str] = {}
    problems: dict[str, str] = {}
    for field in model.fields:
        raw = tuple(told.get(name, "").strip() for name in field.inputs)
        texts[field.name] = ""
        needed = not field.optional and not (field.along and not told.get(field.along, "").strip())
        if not any(raw) and not needed:
            continue
        try:
            if not all(raw):
                parts = " (les deux jours)" if field.kind is Kind.PERIOD else ""
                raise ValueError(f"champ obligatoire absent{parts} ; remplissez-le")
            texts[field.name] = _render_value(field, raw, day)
            if not texts[field.name]:
                raise ValueError("ce champ ne dit rien ; remplissez-le")
        except ValueError as error:
            problems[field.inputs[0]] = f"{field.label} : {error}"
    if problems:
        raise Faulty(problems)
    return texts


def _replace_placeholders(text: str, filled_in: Mapping[str, str]) -> str:
    return _PLACEHOLDER_PATTERN.sub(lambda found: filled_in[found[1]], text)


def _end_sentence(text: str) -> str:
    """A sentence, with its capital and its full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(_SENTENCE_ENDINGS) else ".")


def compose(model: Model, told: Mapping[str, str], day: dt.date, quality: str, court: str, touched: str = "") -> Draft:
    """Make an act of a model and of what was filled in.

    Args:
        told: what the form sent.
        day: of the act.
        quality: of who is at the head of the body: maire, président.
        court: the town of the administrative court.
        touched: the act that it withdraws, abrogates or corrects, as « l'arrêté n° 12 du 2 mars 2026 ».

    Raises:
        Faulty: what is to be corrected.
    """
    texts = filled(model, told, day) | {"qualite": quality, _TOUCHED: touched}
    subject = _replace_placeholders(model.subject, texts)
    if len(subject) > SUBJECT_MAX:
        raise Faulty(
            {
                "": f"objet : composé, il fait {len(subject)} caractères, {SUBJECT_MAX} au plus ; raccourcissez les "
                "champs qu'il reprend"
            }
        )

    def told_of(sentences: tuple[Sentence, ...]) -> Iterator[str]:
        return (_replace_placeholders(one.text, texts) for one in sentences if one.stands(texts))

    appeal = _APPEALS[model.is_decision].format(court=of_commune(court), since=model.appeal)
    return Draft(
        model,
        day,
        subject,
        tuple(told_of(model.visas)),
        tuple(told_of(model.grounds)),
        (*map(_end_sentence, told_of(model.articles)), appeal),
    )
