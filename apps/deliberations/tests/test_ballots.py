"""Secret votes: ballots without names, majorities, elections in three rounds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from creatic.deliberations.ballots import Election, Secret, asked_by_too_few, read_round
from creatic.deliberations.rules import Attendance

from creatic_agent import law

VOTERS = [f"Élu {rank}" for rank in range(11)]


def test_a_secret_vote_counts_ballots_and_names_nobody() -> None:
    vote = Secret(6, 3, 1, 1)
    assert vote.problems(VOTERS) == []
    assert vote.is_carried("Élu 0")
    assert vote.sentence() == "au scrutin secret, par 6 bulletins pour, 3 contre, 1 blanc, 1 nul"
    assert vote.lines() == [
        ("Pour", "6 bulletins"),
        ("Contre", "3 bulletins"),
        ("Blancs", "1 bulletin"),
        ("Nuls", "1 bulletin"),
    ]


def test_more_ballots_than_voters_is_refused() -> None:
    said = "12 bulletins pour 11 votants, présents ou représentés"
    assert Secret(6, 4, 1, 1).problems(VOTERS) == [said]
    assert Secret(6, 4, None, 1).problems(VOTERS) == []


def test_the_president_does_not_prevail_in_a_secret_tie() -> None:
    assert not Secret(3, 3, None, None).is_carried("Élu 0")


def test_what_is_not_counted_is_shown_as_such_and_the_refusal_names_it() -> None:
    """Empty is not 0: a page that showed 0 refused what it seemed to have."""
    vote = Secret(3, None, None, None)
    assert vote.lines() == [
        ("Pour", "3 bulletins"), ("Contre", "non saisi"), ("Blancs", "non saisi"), ("Nuls", "non saisi"),
    ]  # fmt: skip # a table
    assert list(vote.empty()) == ["bulletins_contre"]
    said = "le dépouillement n'est pas saisi en entier : « bulletins contre » est vide, écrivez 0 s'il n'y en a pas"
    assert vote.missing() == said
    assert list(Secret(None, 2, 1, None).empty()) == ["bulletins_pour"]
    assert Secret(3, 0, None, None).lines()[1:] == [("Contre", "0 bulletin"), ("Blancs", "0 bulletin"),
                                                    ("Nuls", "0 bulletin")]  # fmt: skip # a table


def test_nothing_is_decided_before_ballots_are_counted() -> None:
    assert not Secret(None, None, None, None).cast
    assert Secret(None, 0, None, None).cast
    assert Secret(None, None, None, None).missing() == "le dépouillement n'est pas saisi : bulletins pour et contre"
    assert Secret(0, 0, None, None).missing() == ""


FIRST = "Anne Petit : 5, Luc Roux : 5, blancs : 1"
THIRD_TIE = [FIRST, FIRST, FIRST]


@pytest.mark.parametrize(
    ("rounds", "eldest", "elected"),
    [
        (["Anne Petit : 6, Luc Roux : 5"], "", "Anne Petit"),
        (["Anne Petit : 5, Luc Roux : 4, blancs : 2"], "", "Anne Petit"),  # blank ballots are not cast
        (["Anne Petit : 5, Luc Roux : 4, Blanc : 1, Bulletins nuls : 1"], "", "Anne Petit"),  # however it is written
        (["Blancs : 8, Anne Petit : 2, NUL(S) : 1"], "", "Anne Petit"),
        (["Blanche Nulle : 6, Luc Blanc : 5"], "", "Blanche Nulle"),
        ([FIRST], "", ""),
        ([FIRST, "Anne Petit : 6, Luc Roux : 4"], "", "Anne Petit"),
        ([FIRST, FIRST, "Anne Petit : 5, Luc Roux : 4, Zoé Blin : 2"], "", "Anne Petit"),  # relative majority
        (THIRD_TIE, "", ""),
        (THIRD_TIE, "Luc Roux", "Luc Roux"),
        (["blancs : 11"], "", ""),
        ([], "", ""),
    ],
)
def test_who_is_elected(rounds: list[str], eldest: str, elected: str) -> None:
    found = Election(rounds, eldest)
    assert found.problems(VOTERS) == []
    assert (found.elected(), found.is_carried("")) == (elected, bool(elected))


@pytest.mark.parametrize(
    ("rounds", "said"),
    [
        ([], "aucun tour de scrutin n'est saisi"),
        ([FIRST], "personne n'a la majorité absolue au premier tour : un deuxième tour est nécessaire (L2122-7)"),
        (
            [FIRST, FIRST],
            "personne n'a la majorité absolue au deuxième tour : un troisième tour est nécessaire",
        ),
        (THIRD_TIE, "égalité au troisième tour : indiquez le plus âgé, qui est élu (L2122-7)"),
        (["Anne Petit : 6"], ""),
    ],
)
def test_what_an_election_still_lacks(rounds: list[str], said: str) -> None:
    found = Election(rounds, "").missing()
    assert found.startswith(said) if said else not found


@pytest.mark.parametrize(
    ("rounds", "eldest", "said"),
    [
        (["Anne Petit 6"], "", "le tour « Anne Petit 6 » ne se lit pas"),
        (["Anne : 2, Anne : 3"], "", "le tour « Anne : 2, Anne : 3 » compte deux fois Anne"),
        (["Anne : 6, Abstentions : 2"], "", "le tour « Anne : 6, Abstentions : 2 » compte des abstentions"),
        (
            ["Anne : 6, blanc : 1, Blancs : 1"],
            "",
            "le tour « Anne : 6, blanc : 1, Blancs : 1 » compte deux fois blancs",
        ),
        (["Anne : 9, Luc : 3"], "", "tour 1 : 12 bulletins pour 11 votants"),
        (["Anne : 6, Luc : 3", "Anne : 7"], "", "tour 1 : Anne est déjà élu à la majorité absolue"),
        ([*THIRD_TIE, FIRST], "", "trois tours au plus (L2122-7)"),
        ([FIRST], "Luc Roux", "le plus âgé ne départage qu'une égalité au troisième tour : effacez « Luc Roux »"),
        (THIRD_TIE, "Zoé", "Zoé n'est pas à égalité : Anne Petit ou Luc Roux"),
    ],
)
def test_a_wrong_election_is_told(rounds: list[str], eldest: str, said: str) -> None:
    [found] = Election(rounds, eldest).problems(VOTERS)
    assert found.startswith(said)


def test_an_election_in_words() -> None:
    found = Election([FIRST, "Anne Petit : 6, Luc Roux : 4"], "")
    assert found.sentence() == (
        "au scrutin secret, au deuxième tour, par 6 voix pour Anne Petit (10 suffrages exprimés, majorité absolue)"
    )
    assert found.lines()[0] == (
        "Premier tour",
        "Anne Petit : 5 voix, Luc Roux : 5 voix, blancs : 1, nuls : 0 ; suffrages exprimés : 10, majorité absolue : 6",
    )
    assert found.lines()[-1] == ("Élu", "Anne Petit")
    assert Election(THIRD_TIE, "Luc Roux").sentence() == (
        "au scrutin secret, au troisième tour, par l'âge, à égalité de voix, pour Luc Roux "
        "(10 suffrages exprimés, majorité relative)"
    )


def test_a_third_round_without_any_voice_elects_nobody_and_is_decided() -> None:
    found = Election([FIRST, FIRST, "blancs : 10, nuls : 1"], "")
    assert (found.missing(), found.is_carried("Anne Petit"), found.problems(VOTERS)) == ("", False, [])
    assert found.sentence() == "au scrutin secret, sans que personne ne soit élu"
    assert ("Troisième tour", "blancs : 10, nuls : 1 ; suffrages exprimés : 0") in found.lines()


def test_of_tied_lists_the_oldest_on_average_is_elected() -> None:
    assert "moyenne d'âge est la plus élevée (L2122-7-2)" in Election(THIRD_TIE, "").missing()


@pytest.mark.parametrize(
    ("counts", "accounts", "carried"),
    [((4, 4), True, True), ((4, 4), False, False), ((3, 4), True, False), ((0, 0), True, True), ((5, 4), False, True)],
)
def test_accounts_are_refused_by_a_majority_against_alone_even_in_secret(
    counts: tuple[int, int], accounts: bool, carried: bool
) -> None:
    assert Secret(*counts, 1, 0, accounts=accounts).is_carried("Anne Petit") is carried


@pytest.mark.parametrize(
    ("asking", "present", "said"),
    [
        (3, 9, ""),
        (4, 10, ""),
        (9, 9, ""),
        (3, 10, "scrutin secret : 3 demandes pour 10 présents, il en faut le tiers (L2121-21)"),
        (0, 9, "scrutin secret : 0 demande pour 9 présents, il en faut le tiers (L2121-21)"),
        (10, 9, "scrutin secret : 10 demandes pour 9 présents"),
        (None, 9, "scrutin secret : notez combien de présents le demandent, ou choisissez un autre scrutin (L2121-21)"),
    ],
)
def test_a_third_of_who_is_there_asks_for_a_secret_vote(asking: int | None, present: int, said: str) -> None:
    assert asked_by_too_few(asking, present, law.of(law.COMMUNE).secret) == said


@pytest.mark.parametrize("blanks", [f"{' ' * 2_000}x", f"x{' ' * 100_000}y"])
@pytest.mark.parametrize("read", [read_round, lambda line: Attendance((), (), [line]).given()])
def test_blanks_without_end_keep_nobody_from_the_site(read: Callable[[str], object], blanks: str) -> None:
    began = time.process_time()
    with contextlib.suppress(ValueError):
        read(blanks)
    assert time.process_time() - began < 1, "Python's expressions hold all threads of the site"
