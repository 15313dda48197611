"""Secret votes, without Plone: ballots are counted, never named (CGCT L2121-21), and elections take up to three rounds.

Elections of the maire and of the adjoints: CGCT L2122-7, L2122-7-2; other nominations: L2121-21. Messages are French.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from creatic_agent import law

PUBLIC, THIRD, NOMINATION, ELECTION = "public", "secret_tiers", "secret_nomination", "election"
MODES = {
    PUBLIC: "Scrutin public, par nom",
    THIRD: "Scrutin secret, demandé par le tiers des présents",
    NOMINATION: "Scrutin secret, nomination ou présentation",
    ELECTION: "Élection au scrutin secret, jusqu'à trois tours",
}
_MAX_COUNT_DIGITS = 4  # of a count
_BLANK, _VOID = "blancs", "nuls"
# What is no candidate, however it is written: Blancs, blanc, bulletins nuls.
_NOBODY = re.compile(r"(?i)(?:(?:bulletin|vote)s?\s+)?(?:(?P<blank>blanc)|(?P<void>nul)|abstention)(?:s|\(s\))?")
NOT_ENTERED = "non saisi"
_MAX_ROUNDS_COUNT = 3
_ROUNDS = ("premier", "deuxième", "troisième")


def counted(number: int, word: str) -> str:
    """Write a count: 1 bulletin, 2 bulletins, 2 voix."""
    plural = word if word.endswith("x") or number < 2 else f"{word}s"
    return f"{number} {plural}"


def asked_by_too_few(asking: int | None, present: int, secret: law.Rule[Fraction]) -> str:
    """Say that a secret vote was not asked for by enough of who is there themselves, or "".

    Args:
        asking: how many ask for it, None when it is not noted.
        present: how many are in the room.
        secret: what the law asks of this council.
    """
    if asking is None:
        return (
            "scrutin secret : notez combien de présents le demandent, ou choisissez un autre scrutin "
            f"({secret.article})"
        )
    if asking > present:
        return f"scrutin secret : {counted(asking, 'demande')} pour {counted(present, 'présent')}"
    if asking < present * secret.value:
        return (
            f"scrutin secret : {counted(asking, 'demande')} pour {present} présents, il en faut le tiers "
            f"({secret.article})"
        )
    return ""


def too_many(ballots: int, voters: int) -> list[str]:
    """Say that more ballots were found than there are voters."""
    if ballots > voters:
        return [f"{counted(ballots, 'bulletin')} pour {voters} votants, présents ou représentés"]
    return []


@dataclass(frozen=True)
class Secret:
    """A secret vote on a projet. None: not counted yet."""

    ayes: int | None
    noes: int | None
    blank: int | None
    void: int | None
    accounts: bool = False
    """Whether the maire's accounts are voted: only a majority against refuses them (L1612-12)."""

    @property
    def cast(self) -> bool:
        """Whether anything is counted."""
        return any(count is not None for count in self._entered_counts)

    @property
    def _entered_counts(self) -> tuple[int | None, ...]:
        return self.ayes, self.noes, self.blank, self.void

    def problems(self, voters: Sequence[str]) -> list[str]:
        """What is wrong with it, in French."""
        return too_many(sum(count or 0 for count in self._entered_counts), len(voters))

    def missing(self) -> str:
        """What is still to be entered, in French; "" when it is decided."""
        empty = self.empty()
        if not empty:
            return ""
        if not self.cast:
            return "le dépouillement n'est pas saisi : bulletins pour et contre"
        return f"le dépouillement n'est pas saisi en entier : {' ; '.join(empty.values())}"

    def empty(self) -> dict[str, str]:
        """What must be counted and is not, by field, in French: none found is a count, and is written."""
        counts = {"bulletins_pour": ("bulletins pour", self.ayes), "bulletins_contre": ("bulletins contre", self.noes)}
        return {
            field: f"« {said} » est vide, écrivez 0 s'il n'y en a pas"
            for field, (said, count) in counts.items()
            if count is None
        }

    def is_carried(self, _president: str) -> bool:
        """Whether there is a majority of the votes cast; the president's does not prevail (L2121-20)."""
        ayes, noes = self.ayes or 0, self.noes or 0
        return noes <= ayes if self.accounts else ayes > noes

    def sentence(self) -> str:
        """The result, as minutes say it."""
        said = [f"{counted(self.ayes or 0, 'bulletin')} pour", f"{self.noes or 0} contre"]
        return f"au scrutin secret, par {', '.join([*said, *self._missing_counts()])}"

    def _missing_counts(self) -> list[str]:
        return [counted(count, word) for count, word in ((self.blank, "blanc"), (self.void, "nul")) if count]

    def lines(self) -> list[tuple[str, str]]:
        """What pages and documents show: a label, what was counted."""
        counts = (("Pour", self.ayes), ("Contre", self.noes), ("Blancs", self.blank), ("Nuls", self.void))
        known = not self.missing()  # then who counted found neither blank nor void ballots
        return [
            (label, NOT_ENTERED if count is None and not known else counted(count or 0, "bulletin"))
            for label, count in counts
        ]


@dataclass(frozen=True)
class Round:
    """A round of an election: what each candidate or list got."""

    voices: dict[str, int]
    blank: int
    void: int

    @property
    def ballots(self) -> int:
        """How many were found."""
        return self.expressed + self.blank + self.void

    @property
    def expressed(self) -> int:
        """Votes cast: neither blank nor void ballots are (code électoral, L65, L66)."""
        return sum(self.voices.values())

    def first(self) -> list[str]:
        """Who has most votes; several in a tie, none when nobody has any."""
        most = max(self.voices.values(), default=0)
        return [name for name, count in self.voices.items() if most and count == most]

    def elected(self) -> str:
        """Who has more than half of the votes cast, or ""."""
        return next((name for name, count in self.voices.items() if count * 2 > self.expressed), "")


def read_round(line: str) -> Round:
    """Read « Anne Petit : 12, Luc Roux : 9, blancs : 1, nuls : 0 ».

    Raises:
        ValueError: the reason, in French.
    """
    voices: dict[str, int] = {}
    for part in line.split(","):
        name, _colon, count = (text.strip() for text in part.partition(":"))
        if not (name and count.isdecimal() and len(count) <= _MAX_COUNT_DIGITS):
            raise ValueError(
                f"le tour « {line} » ne se lit pas : écrivez « Anne Petit : 12, Luc Roux : 9, blancs : 1, nuls : 0 »"
            )
        nobody = _NOBODY.fullmatch(name)
        if nobody:
            name = _BLANK if nobody["blank"] else _VOID if nobody["void"] else ""
        if not name:
            raise ValueError(f"le tour « {line} » compte des abstentions : ce ne sont pas des bulletins, retirez-les")
        if name in voices:
            raise ValueError(f"le tour « {line} » compte deux fois {name}")
        voices[name] = int(count)
    return Round(
        {name: count for name, count in voices.items() if name not in (_BLANK, _VOID)},
        voices.get(_BLANK, 0),
        voices.get(_VOID, 0),
    )


@dataclass(frozen=True)
class Election:
    """An election: a line for each round, and the eldest of who tie in the third."""

    lines_read: Sequence[str]
    eldest: str

    @property
    def cast(self) -> bool:
        """Whether a round is entered."""
        return bool(self.lines_read) or bool(self.eldest)

    def rounds(self) -> list[Round]:
        """Its rounds. Raises ValueError, see `read_round`."""
        return [read_round(line) for line in self.lines_read]

    def problems(self, voters: Sequence[str]) -> list[str]:
        """What is wrong with it, in French."""
        try:
            rounds = self.rounds()
        except ValueError as error:
            return [str(error)]
        found = []
        for rank, one in enumerate(rounds, 1):
            found += [f"tour {rank} : {said}" for said in too_many(one.ballots, len(voters))]
            if one.elected() and rank < len(rounds):
                found.append(f"tour {rank} : {one.elected()} est déjà élu à la majorité absolue")
        if len(rounds) > _MAX_ROUNDS_COUNT:
            found.append("trois tours au plus (L2122-7)")
        if self.eldest and not self._tied_candidates(rounds):
            found.append(f"le plus âgé ne départage qu'une égalité au troisième tour : effacez « {self.eldest} »")
        elif self.eldest and self.eldest not in self._tied_candidates(rounds):
            found.append(f"{self.eldest} n'est pas à égalité : {' ou '.join(self._tied_candidates(rounds))}")
        return found

    @staticmethod
    def _tied_candidates(rounds: list[Round]) -> list[str]:
        first = rounds[_MAX_ROUNDS_COUNT - 1].first() if len(rounds) == _MAX_ROUNDS_COUNT else []
        return first if len(first) > 1 else []

    def elected(self) -> str:
        """Who is elected: by more than half in rounds one and two, by most in the third, then by age."""
        try:
            rounds = self.rounds()
        except ValueError:
            return ""
        if not rounds:
            return ""
        if len(rounds) < _MAX_ROUNDS_COUNT:
            return rounds[-1].elected()
        first = rounds[_MAX_ROUNDS_COUNT - 1].first()
        return first[0] if len(first) == 1 else self.eldest if self.eldest in first else ""

    def missing(self) -> str:
        """What is still to be entered, in French; "" when somebody is elected."""
        if not self.lines_read:
            return "aucun tour de scrutin n'est saisi"
        if self.elected():
            return ""
        if len(self.lines_read) < _MAX_ROUNDS_COUNT:
            return (
                f"personne n'a la majorité absolue au {_ROUNDS[len(self.lines_read) - 1]} tour : "
                f"un {_ROUNDS[len(self.lines_read)]} tour est nécessaire (L2122-7)"
            )
        if not self._tied_candidates(
            self.rounds()
        ):  # blank and void ballots alone: nobody is elected, and that is decided
            return ""
        return (
            "égalité au troisième tour : indiquez le plus âgé, qui est élu (L2122-7) ; entre des listes, celle dont la "
            "moyenne d'âge est la plus élevée (L2122-7-2)"
        )

    def is_carried(self, _president: str) -> bool:
        """Whether somebody is elected."""
        return bool(self.elected())

    def sentence(self) -> str:
        """The result, as minutes say it."""
        rounds, name = self.rounds(), self.elected()
        if not name:
            return "au scrutin secret, sans que personne ne soit élu"
        how = "par l'âge, à égalité de voix," if self.eldest else f"par {rounds[-1].voices[name]} voix"
        majority = "majorité absolue" if rounds[-1].elected() else "majorité relative"
        return (
            f"au scrutin secret, au {_ROUNDS[len(rounds) - 1]} tour, {how} pour {name} "
            f"({rounds[-1].expressed} suffrages exprimés, {majority})"
        )

    def lines(self) -> list[tuple[str, str]]:
        """What pages and documents show: each round, who is elected."""
        found = []
        for rank, one in enumerate(self.rounds()):
            got = [f"{name} : {counted(count, 'voix')}" for name, count in one.voices.items()]
            rest = [f"blancs : {one.blank}", f"nuls : {one.void}"]
            absolute = one.expressed // 2 + 1
            said = f"{', '.join([*got, *rest])} ; suffrages exprimés : {one.expressed}"
            if rank < _MAX_ROUNDS_COUNT - 1:
                said += f", majorité absolue : {absolute}"
            found.append((f"{_ROUNDS[rank].capitalize()} tour", said))
        name = self.elected()
        return [*found, ("Élu", name)] if name else found
