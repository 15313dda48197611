"""A council's budget: what a subject says it decides, and until when it is voted and transmitted.

The XML itself is `totem`'s. Sources: CGCT (articles without a code's name); each deadline says what is known of its
text, as `law` does.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from . import law
from .law import Rule, Standing
from .writing import without_accents

MATTER = "7.1"
"""Décisions budgétaires, in the nomenclature of ACTES: the one matter of which S²LOW takes XML."""
NATURE, TYPE = "5", "99_BU"
"""Of the préfecture: documents budgétaires et financiers, and the type of document of an envelope of that nature."""
CFU_FROM = 2026
"""First exercice whose accounts are a compte financier unique (law of finances for 2024, article 205)."""
_DELIBERATION = "1"


@dataclass(frozen=True)
class Kind:
    """What is decided of a budget."""

    short: str
    """As people write it: BP."""
    label: str
    code: str = ""
    """NatDec, in the schema of budgets; "" for what has no XML."""
    accounts: bool = False
    """Whether it settles the accounts of a maire, who leaves for the vote (L2121-14)."""

    @property
    def nature(self) -> str:
        """Nature of its act for the préfecture."""
        return NATURE if self.code else _DELIBERATION


DEBATE = Kind("DOB", "Débat d'orientation budgétaire")
PRIMARY = Kind("BP", "Budget primitif", "01")
AMENDING = Kind("DM", "Décision modificative", "02")
ADDITIONAL = Kind("BS", "Budget supplémentaire", "03")
ACCOUNTS = Kind("CA", "Compte administratif", "09", accounts=True)
UNIQUE = Kind("CFU", "Compte financier unique", "10", accounts=True)
KINDS = (DEBATE, PRIMARY, AMENDING, ADDITIONAL, ACCOUNTS, UNIQUE)
CODES = {one.code: one for one in KINDS if one.code}
"""Kinds by NatDec."""


@dataclass(frozen=True)
class Decision:
    """What a délibération decides of a budget."""

    kind: Kind
    year: int = 0
    """The exercice; 0 where it is not told."""
    number: str = ""
    """Of a décision modificative, without leading zeros."""

    @property
    def title(self) -> str:
        """Its name: Décision modificative n° 1, exercice 2027."""
        number = f" n° {self.number}" if self.number else ""
        return f"{self.kind.label}{number}{f', exercice {self.year}' if self.year else ''}"

    def on(self, held: datetime.date) -> Decision:
        """The same with its exercice: as it is told, else as a meeting of this day would mean it."""
        if self.year:
            return self
        if self.kind.accounts:
            return replace(self, year=held.year - 1)
        ahead = self.kind in (DEBATE, PRIMARY) and held.month >= _AHEAD
        return replace(self, year=held.year + ahead)


_AHEAD = 9  # month from which a budget without a year is next year's
_YEAR = r"20\d\d"
_DATED = re.compile(rf"(?i)\b(?:1er|\d{{1,2}})\s+[a-z]{{3,9}}\.?\s+{_YEAR}\b|\b\d{{1,2}}[/.-]\d{{1,2}}[/.-]{_YEAR}\b")
_YEARS = re.compile(rf"(?<!\d){_YEAR}(?!\d)")
# Without accents; abbreviations are in capitals, and those that are other words too stand before a year or a number.
_WORDS = {
    DEBATE: r"(?i:\borientations?\s+(?:generales\s+)?(?:budgetaires?|du\s+budget)\b)|\b[DR]OB\b",
    UNIQUE: r"(?i:\bcomptes?\s+financiers?\s+uniques?\b)|\bCFU\b",
    ACCOUNTS: rf"(?i:\bcomptes?\s+administratifs?\b)|\bCA\s*{_YEAR}\b",
    AMENDING: r"(?i:\bdecisions?\s+(?:budgetaires?\s+)?modificatives?\b)|\bDM(?=\s*(?:[nN]o?\b|\d|$))|"
    r"\bDM(?=\s+(?:[bB]udget|BP\b))",
    ADDITIONAL: rf"(?i:\bbudgets?\s+supplementaires?\b)|\bBS(?=\s*(?:{_YEAR}|$))",
    PRIMARY: rf"(?i:\bbudgets?\s+primitifs?\b)|\bBP(?=\s*(?:{_YEAR}|$))|"
    r"(?i:\b(?:vote|adoption|approbation)\s+(?:du|des)\s+budgets?\b(?!\s+participatif))|"
    rf"(?i:^\W*budgets?\s+(?:(?:general|communal|principal|annexe)s?\b.*)?{_YEAR}\W*$)",
}
_KNOWN = {kind: re.compile(pattern) for kind, pattern in _WORDS.items()}
# What is decided because of a budget, and is none.
_OTHER = re.compile(
    r"(?i)^\W*(?:affectation|reprise|autorisation|subvention|attribution|participation|convention|tarif|taux|virement|"
    r"fongibilite|admission|emprunt|remboursement|compte\s+rendu)|\bavant\s+(?:le\s+vote|l\W?adoption|l\W?examen)\b"
)
_NUMBER = re.compile(
    rf"\s*(?:budgetaires?\s+)?(?:n\s*[°o]?\s*\.?|numero|no\.?)?\s*(?:{_YEAR}\s*[-/]\s*)?0*(\d{{1,2}})(?!\d)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?i)\bn\s*[°o]\s*0*(\d{1,2})(?!\d)")
_SUBJECT_MAX = 1000


def of(subject: str) -> Decision | None:
    """Recognise, in the subject of a délibération, what it decides of a budget; None where it decides nothing of one.

    Args:
        subject: in French, as people write it: « BP 2027 », « Décision modificative n° 1 – budget annexe de l'eau ».
    """
    text = without_accents(subject[:_SUBJECT_MAX])
    if _OTHER.search(text):
        return None
    found = {kind: match for kind, pattern in _KNOWN.items() if (match := pattern.search(text))}
    if not found:
        return None
    kind = DEBATE if DEBATE in found else min(found, key=lambda one: found[one].start())
    if kind in (PRIMARY, ADDITIONAL):  # « Budget primitif 2027 : décision modificative n° 1 »
        kind = next(one for one in (AMENDING, ADDITIONAL, PRIMARY) if one in found)
    start, end = found[kind].span()
    number = (_NUMBER.match(text, end) or _NUMBERED.search(text, end)) if kind is AMENDING else None
    return Decision(kind, _exercice(text, start), number[1] if number else "")


def _exercice(text: str, after: int) -> int:
    """The first year after a place, else before it; 0 without any."""
    bare = _DATED.sub(lambda dated: " " * len(dated[0]), text)
    years = [*_YEARS.finditer(bare, after), *_YEARS.finditer(bare, 0, after)]
    return int(years[0][0]) if years else 0


def differences(subject: Decision, file: Decision) -> list[str]:
    """Say what the XML of a budget has otherwise than the subject of its délibération, in French, each with its field.

    Args:
        subject: as `of` gives it; what it does not tell is not compared.
        file: as its XML says.
    """
    told = f"l'objet de la délibération dit « {subject.title} »"
    found = []
    if subject.kind is not file.kind:
        found.append(f"NatDec : c'est « {file.kind.label} », et {told}")
    if subject.year and file.year != subject.year:
        found.append(f"Exer : exercice {file.year or 'absent'}, et {told}")
    if subject.number and subject.number != file.number.lstrip("0"):
        found.append(f"NumDec : n° {file.number or 'absent'}, et {told}")
    return found


# -- the calendar of a year


class State(StrEnum):
    """Where a deadline stands on a day."""

    DONE = "fait"
    DONE_LATE = "fait hors délai"
    LATE = "en retard"
    AWAITED = "à faire"
    OPTIONAL = "possible"
    OVER = "passé"


@dataclass(frozen=True)
class Done:
    """What a council decided of a budget."""

    decision: Decision
    """With its exercice."""
    voted: datetime.date
    received: datetime.date | None = None
    """When the préfecture received it; None while it did not."""


@dataclass(frozen=True)
class Deadline:
    """Something of a budget that is to be done, and until when."""

    kinds: tuple[Kind, ...]
    """Any of them."""
    year: int
    """The exercice."""
    rule: Rule[datetime.date]
    """Its value is the last day on which it is in time."""
    sent: bool = False
    """Whether it is the transmission to the préfecture, rather than the vote."""
    optional: bool = False
    """Whether nothing is late without it."""

    @property
    def last(self) -> datetime.date:
        """Last day on which it is in time."""
        return self.rule.value

    @property
    def title(self) -> str:
        """What is to be done, in French: Vote : Budget primitif 2027."""
        labels = " ou ".join([self.kinds[0].label, *(_inside(one.label) for one in self.kinds[1:])])
        if self.kinds == (DEBATE,):
            return f"{labels} {self.year}"
        return f"{'Transmission' if self.sent else 'Vote'} : {_inside(labels)} {self.year}"

    def day(self, done: Iterable[Done]) -> datetime.date | None:
        """First day on which it was done; None while it was not."""
        own = [one for one in done if one.decision.kind in self.kinds and one.decision.year == self.year]
        days = [one.received if self.sent else one.voted for one in own]
        return min((one for one in days if one), default=None)

    def state(self, done: Iterable[Done], today: datetime.date) -> State:
        """Where it stands.

        Args:
            done: what the council decided.
            today: day in Europe/Paris on which it is read.
        """
        day = self.day(done)
        if day is not None:
            return State.DONE if day <= self.last or self.optional else State.DONE_LATE
        if self.optional:
            return State.OPTIONAL if today <= self.last else State.OVER
        return State.LATE if today > self.last else State.AWAITED


def _inside(label: str) -> str:
    """A label as it stands inside a sentence."""
    return label[:1].lower() + label[1:]


_RENEWED, _TERM = 2026, 6  # a general renewal of the councils, and years of a mandate (code électoral, L227)


def is_renewed(year: int) -> bool:
    """Whether the conseils municipaux are renewed in this year."""
    return (year - _RENEWED) % _TERM == 0


def calendar(year: int, people: int = 0) -> tuple[Deadline, ...]:
    """Give what of budgets is to be done in a year, in the order of its days.

    Args:
        year: the civil year, which is the exercice of its budget; accounts are of the year before.
        people: inhabitants; 0 when they are not known, which is taken for the strictest.
    """
    voted = datetime.date(year, 4, 30 if is_renewed(year) else 15)
    why = ", année de renouvellement des conseils" if is_renewed(year) else ""
    accounts = (UNIQUE,) if year - 1 >= CFU_FROM else (ACCOUNTS, UNIQUE)
    settled, day = datetime.date(year, 6, 30), datetime.timedelta(days=1)
    found = [
        Deadline(
            (PRIMARY,), year,
            Rule(voted, f"le texte dit « avant le {voted.day} avril »{why}, la veille est donc sûre ; quinze jours "
                 "après les informations de l'État, si elles viennent après le 31 mars", "L1612-2"),
        ),
        Deadline(
            (PRIMARY,), year,
            Rule(voted + 15 * day, "quinze jours au plus après la date limite du vote", "L1612-8"), sent=True,
        ),
        Deadline(
            accounts, year - 1,
            Rule(settled, "le maire se retire du vote et un autre préside (L2121-14) ; le comptable donne les siens le "
                 "1er juin au plus tard ; le compte est arrêté sauf majorité contre", "L1612-12"),
        ),
        Deadline(
            accounts, year - 1,
            Rule(settled + 15 * day, "quinze jours au plus après la date limite du vote", "L1612-13"), sent=True,
        ),
        Deadline(
            (AMENDING,), year,
            Rule(datetime.date(year + 1, 1, 21), "jusqu'au 31 décembre ; dans les vingt et un jours qui suivent, pour "
                 "ajuster les crédits de fonctionnement ou d'ordre seulement", "L1612-11"),
            optional=True,
        ),
    ]  # fmt: skip # a table
    if people == 0 or people >= law.LARGE_FROM:
        said = (
            "dans les deux mois qui précèdent l'examen du budget, à une autre séance que son vote ; en M57, des "
            "préfectures disent dix semaines, et le projet de budget remis douze jours avant le vote (L5217-10-4)"
        )
        found.insert(0, Deadline((DEBATE,), year, Rule(voted - day, said, "L2312-1", Standing.UNSETTLED)))
    return tuple(found)


_DEBATED = 70
"""Days, ten weeks: the longest that any text gives between the debate and the vote (L5217-10-4)."""


def debate_problem(year: int, done: Iterable[Done], people: int) -> str:
    """Say that a budget was voted without its debate, or too long after it (L2312-1), in French; or "".

    Args:
        year: the exercice.
        done: what the council decided.
        people: inhabitants; 0 when they are not known, which says nothing.
    """
    own = [one for one in done if one.decision.year == year]
    voted = min((one.voted for one in own if one.decision.kind is PRIMARY), default=None)
    if voted is None or people < law.LARGE_FROM:
        return ""
    debated = [one.voted for one in own if one.decision.kind is DEBATE and one.voted < voted]
    if not debated:
        return f"le budget primitif {year} a été voté sans débat d'orientation à une séance précédente (L2312-1)"
    if (voted - max(debated)).days > _DEBATED:
        return f"le débat d'orientation {year} a eu lieu plus de dix semaines avant le vote du budget (L2312-1)"
    return ""
