"""What the law and the groupement ask of a council's meeting, without Plone: voters, majority, quorum, numbers.

Code général des collectivités territoriales, articles L2121-7 to L2121-26. Messages are French, for people.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from creatic.deliberations.ballots import counted

from creatic_agent import budget, law
from creatic_agent.writing import french_date

_ACT_NUMBER_FORMAT = "{year}_{rank:03d}"
TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
# Nomenclature of ACTES: 5.2, 7.1.2…
MATTER = re.compile(r"[1-9](\.[1-9]\d?){1,4}")
MATTERS = {
    "1": "Commande publique",
    "2": "Urbanisme",
    "3": "Domaine et patrimoine",
    "4": "Fonction publique",
    "5": "Institutions et vie politique",
    "6": "Libertés publiques et pouvoirs de police",
    "7": "Finances locales",
    "8": "Domaines de compétences par thèmes",
    "9": "Autres domaines de compétences",
}
ITEMS_MOST, MEMBERS_MOST = 300, 1000
"""Items of a meeting; lines of a list of its members, of who is there or of voices. A conseil municipal has 69 members
(L2121-2), that of Paris 163; the committee of a syndicat, where each commune has its own, some hundreds. Pages and
documents read all of them, each time."""
_COMMUNE_LAW = law.of(law.COMMUNE)


# Items of an agenda: a projet on which the council votes, or what it hears. What the procès-verbal says of the others.
VOTED = "deliberation"
ITEMS = {
    VOTED: "Projet de délibération, soumis au vote",
    "proces_verbal": "Approbation du procès-verbal d'une séance précédente (L2121-15)",
    "decisions": "Compte rendu des décisions prises par délégation (L2122-23)",
    "question": "Question orale (L2121-19)",
    "information": "Information",
}


def too_many(lines: Sequence[str] | None) -> str:
    """Say that a list of members, of who is there or of voices has more lines than any council, or ""."""
    if len(lines or ()) <= MEMBERS_MOST:
        return ""
    return f"{len(lines or ())} lignes, pour {MEMBERS_MOST} au plus. À faire : gardez une ligne par membre du conseil"


def no_more_items(items: int) -> str:
    """Say that a meeting takes no item more, or "".

    Args:
        items: that it has.
    """
    if items < ITEMS_MOST:
        return ""
    return (
        f"une séance a {ITEMS_MOST} points au plus. À faire : retirez-en de l'ordre du jour, ou préparez une autre "
        "séance"
    )


def proxy(line: str) -> tuple[str, str] | None:
    """Who is away and who votes for them, of a line « absent : mandataire »; None where it cannot be read.

    Without an expression: one that looks for blanks around a name takes the cube of their number, and keeps Python.
    """
    giver, colon, holder = (part.strip() for part in line.partition(":"))
    return (giver, holder) if colon and giver and holder and ":" not in holder else None


@dataclass(frozen=True)
class Attendance:
    """Who sits at a meeting, or at one of its items."""

    members: Sequence[str]
    """The council in exercise."""
    present: Sequence[str]
    proxies: Sequence[str]
    """Lines « who is away : who votes for them »."""
    out: Sequence[str] = ()
    """Who went out for this item: they neither vote nor count, nor do those whom they represent."""
    elsewhere: Sequence[str] = ()
    """Who went out because they represent the commune in another body (L1111-6): they do not vote, and still count."""
    body: law.Body = _COMMUNE_LAW
    """Whose council it is."""

    def here(self) -> list[str]:
        """Those who are in the room themselves, in the council's order."""
        there = set(self.present) - self._departed_members()
        return [name for name in self.members if name in there]

    def _departed_members(self) -> set[str]:
        return {*self.out, *self.elsewhere}

    def standing(self) -> list[str]:
        """Who left and is counted for the quorum all the same (L2131-11, law of 22 December 2025, article 32)."""
        counted_too = {*self.present} & {*self.elsewhere}
        return [name for name in self.members if name in counted_too]

    def given(self) -> dict[str, str]:
        """Who is away and represented, by whom; lines that cannot be read are left out."""
        found = {}
        for line in self.proxies:
            if read := proxy(line):
                found[read[0]] = read[1]
        return found

    def represented(self) -> dict[str, str]:
        """Who is away and votes by whom: by somebody in the room."""
        here, present = {*self.here()}, {*self.present}
        return {giver: holder for giver, holder in self.given().items() if holder in here and giver not in present}

    def voters(self) -> list[str]:
        """Those whose voice counts, in the council's order."""
        voters = {*self.here(), *self.represented()}
        return [name for name in self.members if name in voters]

    def absent(self) -> list[str]:
        """Those who are neither here nor represented; who went out is not one of them."""
        known = {*self.voters(), *self._departed_members()}
        return [name for name in self.members if name not in known]

    @property
    def needed(self) -> int:
        """How many must be here themselves."""
        return int(len(self.members) * self.body.quorum.value) + 1

    def has_quorum(self) -> bool:
        """Whether enough are here themselves; who went out for lack of the right to vote does not count, but for who
        represents the commune elsewhere."""
        counted_too = len(self.standing()) if self.body.leaving.value else 0
        return len(self.here()) + counted_too >= self.needed

    def count(self) -> str:
        """What was counted for the quorum, in words."""
        here, standing, article = len(self.here()), len(self.standing()), self.body.leaving.article
        are = "présents" if here > 1 else "présent"
        also = f", et {standing} sorti{'s' * (standing > 1)} qui compte{'nt' * (standing > 1)} ({article})" * bool(
            standing
        )
        return f"{here} {are}{also} sur {len(self.members)} membres en exercice, {self.needed} requis"

    def problems(self) -> list[str]:
        """What is wrong with it, in French."""
        members, present, out = Counter(self.members), {*self.present}, {*self.out}
        twice = [name for name, times in members.items() if times > 1]
        found = [
            f"{name} est écrit deux fois parmi les membres en exercice, ce qui fausse le quorum : distinguez deux "
            "homonymes, ou effacez une ligne"
            for name in twice
        ]
        found += [f"{name} n'est pas membre du conseil" for name in self.present if name not in members]
        gone = dict.fromkeys((*self.out, *self.elsewhere))
        found += [f"{name} sort sans être présent" for name in gone if name not in present]
        found += [
            f"{name} sort à deux titres : gardez « Sortis pour ce vote », ou « Sortis pour représenter la commune »"
            for name in self.elsewhere
            if name in out
        ]
        holders: dict[str, str] = {}
        givers = set[str]()
        for line in self.proxies:
            read = proxy(line)
            if not read:
                found.append(f"le pouvoir « {line} » ne se lit pas : écrivez « absent : mandataire »")
                continue
            giver, holder = read
            if giver in givers:
                found.append(f"pouvoir de {giver} : il est écrit deux fois")
            if giver not in members:
                found.append(f"pouvoir de {giver} : cette personne n'est pas membre du conseil")
            elif giver in present:
                found.append(f"pouvoir de {giver} : cette personne est présente")
            if holder not in present:
                found.append(f"pouvoir de {giver} : le mandataire {holder} n'est pas présent")
            if holder in holders:
                article = self.body.proxies.article
                found.append(f"{holder} a déjà le pouvoir de {holders[holder]} : un seul par élu ({article})")
            holders[holder] = giver
            givers.add(giver)
        return found


@dataclass(frozen=True)
class Vote:
    """A public vote, by name."""

    ayes: Sequence[str]
    noes: Sequence[str]
    abstentions: Sequence[str]
    accounts: bool = False
    """Whether the maire's accounts are voted: only a majority against refuses them (L1612-12)."""

    def problems(self, voters: Sequence[str]) -> list[str]:
        """What is wrong with it, in French."""
        found = []
        seen: set[str] = set()
        for name in (*self.ayes, *self.noes, *self.abstentions):
            if name in seen:
                found.append(f"{name} est compté deux fois")
            elif name not in voters:
                found.append(f"{name} n'est ni présent ni représenté")
            seen.add(name)
        return found

    @property
    def cast(self) -> bool:
        """Whether anybody voted."""
        return bool(self.ayes or self.noes or self.abstentions)

    def is_carried(self, president: str) -> bool:
        """Whether there is a majority of the votes cast; the president's prevails in a tie (L2121-20)."""
        if self.accounts:
            return len(self.noes) <= len(self.ayes)
        if len(self.ayes) == len(self.noes):
            return president in self.ayes
        return len(self.ayes) > len(self.noes)

    def missing(self) -> str:
        """What is still to be entered, in French; "" when it is decided."""
        return "" if self.cast else "le vote n'est pas saisi"

    def lines(self) -> list[tuple[str, str]]:
        """What pages and documents show: a label with its count, the names."""
        sides = (("Pour", self.ayes), ("Contre", self.noes), ("Abstentions", self.abstentions))
        return [(f"{label} ({len(names)})", ", ".join(names)) for label, names in sides if names]

    def sentence(self) -> str:
        """The result, as minutes say it."""
        if self.ayes and not self.noes and not self.abstentions:
            return f"à l'unanimité des suffrages exprimés ({_format_names(self.ayes, 'voix')} pour)"
        said = [f"{_format_names(self.ayes, 'voix')} pour", f"{_format_names(self.noes, 'voix')} contre"]
        if self.abstentions:
            said.append(_format_names(self.abstentions, "abstention"))
        return "par " + ", ".join(said)


def _format_names(names: Sequence[str], word: str) -> str:
    return counted(len(names), word)


def names_accounts(subject: str) -> bool:
    """Whether a projet's subject is that of the maire's accounts (L2121-14); the DGS says whether they are voted."""
    found = budget.of(subject)
    return found is not None and found.kind.accounts


def accounts_problems(head: str, sitting: Attendance, president: str) -> list[str]:
    """What forbids to vote the accounts of a maire, in French (L2121-14).

    Whose accounts they are goes out, « même s'il n'est plus en fonction », and the council elects who presides.

    Args:
        head: whose accounts they are; nothing for a former maire who left the council.
        sitting: who is there.
        president: who presides over this item.
    """
    if not head:
        return []
    found = []
    if head in sitting.here():
        found.append(f"{head} se retire au vote de ses comptes : notez-le parmi les sortis (L2121-14)")
    if head in sitting.elsewhere:
        found.append(
            f"{head} se retire au vote de ses comptes, sans compter dans le quorum : « Sortis pour ce vote » (L2121-14)"
        )
    if head in sitting.given():
        found.append(f"{head} ne vote pas ses comptes par pouvoir : retirez son pouvoir (L2121-14)")
    if president == head:
        found.append(f"le conseil élit un autre président que {head}, dont ce sont les comptes (L2121-14)")
    return found


def accounts_said(head: str, sitting: Attendance, president: str) -> str:
    """Say who leaves the vote of the accounts of a maire and who presides, or what is still to be noted (L2121-14).

    Args:
        head, sitting, president: as `accounts_problems` has them.
    """
    if not head:
        held = f" Préside : {president}." if president else ""
        return f"Comptes d'un ancien maire : le conseil élit qui préside ce point (L2121-14).{held}"
    if not president or accounts_problems(head, sitting, president):
        return (
            f"Comptes de {head}, qui peut assister à la discussion et se retire au moment du vote ; le conseil élit un "
            "autre président (L2121-14). À noter : « Sortis pour ce vote », « Président pour ce point »."
        )
    return f"Comptes de {head}, qui se retire au moment du vote : {president} préside ce point (L2121-14)."


# What councils call a nomination, or a presentation; the DGS says whether it is one.
_NOMINATION = re.compile(
    r"(?i)\b(?:d[ée]signations?|nominations?|[ée]lections?|repr[ée]sentante?s?|d[ée]l[ée]gu[ée]e?s?|suppl[ée]ante?s?|"
    r"d[ée]signer|nommer|[ée]lire)\b"
)


def names_nomination(subject: str) -> bool:
    """Whether a projet's subject speaks of a nomination or a presentation, which are secret (L2121-21)."""
    return bool(_NOMINATION.search(subject))


def public_nomination_problem(is_one: bool, secret: bool, waived: int | None, voters: int, body: law.Body) -> str:
    """Say that a nomination is put to a public vote without the council's unanimity, or where no text lets it, or "".

    Args:
        is_one: whether it is a nomination or a presentation.
        secret: whether the vote is secret.
        waived: how many voices were for a public vote; None when it is not noted.
        voters: how many have a voice.
        body: whose council votes.
    """
    if not is_one or secret:
        return ""
    if not body.nomination.value:
        return (
            f"une nomination se vote au scrutin secret, même si le conseil y renonce ({body.nomination.article}). À "
            "faire : choisissez un scrutin secret, ou dites que ce point n'est pas une nomination"
        )
    if waived is not None and waived == voters > 0:
        return ""
    told = "" if waived is None else f" ({counted(waived, 'voix')} sur {voters})"
    return (
        f"une nomination se vote au scrutin secret, sauf si le conseil décide le contraire à l'unanimité{told} "
        f"({body.nomination.article}). À faire : choisissez un scrutin secret, notez les voix pour y renoncer, ou "
        "dites que ce point n'est pas une nomination"
    )


def signs_problem(president: str, secretary: str, presided: Sequence[str], present: Sequence[str]) -> str:
    """Say that who signs a procès-verbal did not hold the meeting (L2121-15, L2121-23), or "".

    Args:
        president, secretary: who is said to sign.
        presided: who presided over the meeting or one of its items.
        present: who was there, at its opening or at an item.
    """
    if president not in presided or president not in present:
        held = ", ".join(name for name in presided if name in present)
        return f"{president} n'a pas présidé cette séance (L2121-15). À faire : écrivez qui l'a présidée : {held}"
    if secretary not in present:
        return f"{secretary} n'était pas présent à cette séance (L2121-15). À faire : écrivez le secrétaire de séance"
    if president == secretary:
        return "qui préside et qui tient le secrétariat signent tous deux (L2121-15) : écrivez deux personnes"
    return ""


def too_early(today: datetime.date, held: datetime.date) -> str:
    """Say that a meeting does not open before its day, or "".

    Its convocation names it, and the clear days are counted up to it (L2121-10 to L2121-12): a vote before it, under
    that date, would have neither.
    """
    if today >= held:
        return ""
    return (
        f"la séance est le {french_date(held, weekday=True)} : elle ne s'ouvre pas avant (L2121-10). À faire : si elle "
        "est avancée, reprenez l'ordre du jour et convoquez de nouveau"
    )


def posted_problem(day: datetime.date | None, sent: datetime.date, today: datetime.date) -> str:
    """Say that a convocation was not posted up or published on this day (L2121-10), or ""; nothing, where none is told.

    Args:
        day: the one that is told.
        sent: when the convocation left.
        today: day after which nothing is posted yet.
    """
    if day is None or sent <= day <= today:
        return ""
    return f"convocation affichée ou publiée le : une date du {french_date(sent)} au {french_date(today)} (L2121-10)"


def rank_of(number: str) -> tuple[int, str]:
    """What puts the numbers of a year in the order in which they were given: 2026_1000 comes after 2026_999."""
    return len(number), number


def second_problems(today: datetime.date, held: datetime.date | None, body: law.Body) -> list[str]:
    """What is wrong with the date of a second meeting, in French."""
    first = today + datetime.timedelta(body.second.value + 1)
    if held is None or held < first:
        return [
            f"seconde convocation : {body.second.value} jours francs au moins ({body.second.article}), donc à partir "
            f"du {french_date(first, weekday=True)}"
        ]
    return []


def to_give(counters: Mapping[int, int], returned: Sequence[str], year: int) -> tuple[int, str, tuple[str, ...]]:
    """Choose the number of the next délibération: one that was given back at this meeting, else the next of its year.

    Args:
        counters: how many were given, by year.
        returned: numbers that were given back at this meeting.
        year: of the meeting.

    Returns:
        How many are given then, the number, and those that are still given back.
    """
    if returned:
        number = min(returned, key=rank_of)
        return counters.get(year, 0), number, tuple(one for one in returned if one != number)
    return *next_number(counters, year), ()


def given_back(
    counters: Mapping[int, int], returned: Sequence[str], year: int, number: str
) -> tuple[int, tuple[str, ...]]:
    """Take a number back: the last ones of a year are as if they had never been given.

    Returns:
        How many are given then, and those that others follow: the next vote of the meeting takes them.
    """
    rank, left = counters.get(year, 0), {*returned, number}
    while (last := _ACT_NUMBER_FORMAT.format(year=year, rank=rank)) in left:
        left.remove(last)
        rank -= 1
    return rank, tuple(sorted(left, key=rank_of))


def next_number(counters: Mapping[int, int], year: int) -> tuple[int, str]:
    """Give the rank and the number of the next délibération of a year: 2026_001, as ACTES takes it."""
    rank = counters.get(year, 0) + 1
    return rank, _ACT_NUMBER_FORMAT.format(year=year, rank=rank)


def clear_days(sent: datetime.date, held: datetime.date) -> int:
    """Count the clear days between a convocation and its meeting, neither included (L2121-11)."""
    return max((held - sent).days - 1, 0)


# Follow-up of an adopted délibération, as the passerelle reports it.
STEPS = ("au_parapheur", "signee", "a_publier", "transmise", "acquittee")
STOPS = ("refusee", "en_erreur")
STEP_LABELS = {
    "au_parapheur": "Au parapheur",
    "signee": "Signée",
    "a_publier": "À transmettre à la préfecture et à publier par la commune",
    "transmise": "Transmise à la préfecture",
    "acquittee": "Reçue en préfecture",
    "refusee": "Refusée au parapheur",
    "en_erreur": "En erreur",
}


# Délibérations that are not transmitted to the préfecture (CGCT, L2131-2, I, 1°, a and b): executory once published
# (L2131-3). Everything else that the council decides is.
STAYS = {
    "voirie": "Tarifs des droits de voirie et de stationnement ; classement, déclassement, plans d'alignement et de "
    "nivellement, ouverture, redressement, élargissement des voies communales (a)",
    "personnel": "Taux de promotion pour l'avancement de grade ; affiliation ou désaffiliation au centre de gestion, "
    "conventions sur ses missions facultatives (b)",
}


def stays_problem(stays: str | None, subject: str, accounts: bool) -> str:
    """Say that a projet which is told not to be transmitted is one that always is (L1612-8, L1612-13, L2131-2), or "".

    Args:
        stays: why it is not transmitted, a key of `STAYS`; nothing when it is.
        subject: of the projet.
        accounts: whether the maire's accounts are voted.
    """
    found = budget.of(subject)
    if not stays or not (accounts or (found and found.kind.code)):
        return ""
    return "un budget ou un compte se transmet toujours (L2131-2) : effacez « Non transmissible à la préfecture »"


NOT_SENT = "Non transmissible à la préfecture (CGCT, L2131-2)"


def is_executory(step: str | None, stays: str | None) -> bool:
    """Whether what a person chose of a délibération may be published: the préfecture has it, or it is not to.

    Args:
        step: where the passerelle says that it is.
        stays: why it is not transmitted, a key of `STAYS`; nothing when it is.
    """
    return step == "acquittee" or (step == "a_publier" and bool(stays))


def received(text: str, held: datetime.date, today: datetime.date) -> datetime.date:
    """Read the day on which the préfecture received a délibération on paper.

    Args:
        text: ISO date.
        held: day of the meeting.
        today: day after which nothing is received yet.

    Raises:
        ValueError: the reason, in French.
    """
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError("Reçue en préfecture le : écrivez une date, par exemple 2026-11-27.") from None
    if not held <= day <= today:
        raise ValueError(f"Reçue en préfecture le : une date du {french_date(held)} au {french_date(today)}.")
    return day


def moves(now: str | None, told: str) -> bool:
    """Whether what is told is news: a step that is behind or already known is a repetition."""
    if now == "acquittee":
        return False
    if told in STOPS:
        return told != now
    return now not in STEPS or STEPS.index(told) > STEPS.index(now)
