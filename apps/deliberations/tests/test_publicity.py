"""What goes on line by the kind of an institution: by itself, by hand, act by act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from creatic.deliberations import publicity


@pytest.mark.parametrize(
    ("kind", "helps", "goes"),
    [
        ("commune", True, True),
        ("syndicat", True, True),
        ("ccas", True, False),
        ("ccas", False, False),  # whatever its file says
        ("cias", False, False),
        ("caisse_des_ecoles", True, False),
        ("caisse_des_ecoles", False, True),
        ("autre", True, False),
        ("autre", False, True),
        ("", False, False),
        (None, False, False),
        ("Commune", False, False),
        ("commune ", False, False),
    ],
)
def test_an_unknown_kind_is_the_strictest(kind: str | None, helps: bool, goes: bool) -> None:
    assert publicity.is_open(kind, helps) is goes


@pytest.mark.parametrize("helps", [None, 0, "", "false"])
def test_only_a_file_that_says_so_opens_a_council(helps: Any) -> None:
    assert publicity.is_open("autre", helps) is False


@dataclass
class Thing:
    portal_type: str = "seance"
    title: str = ""
    creatic_type: str | None = None
    creatic_aides: bool = True


def test_it_is_the_institution_that_says_it_not_what_is_in_it_nor_its_name() -> None:
    meeting = Thing("seance", creatic_type="commune")
    ccas = Thing("Institution", "Commune de Loos", "ccas")
    commune = Thing("Institution", "CCAS et mairie de Loos", "commune")
    assert publicity.of([meeting, ccas, commune]) is False
    assert publicity.of([meeting, commune]) is True
    assert publicity.of([meeting, Thing("Institution", "Loos")]) is False
    assert publicity.of([meeting]) is False


@pytest.mark.parametrize(
    ("is_public", "collective", "may"),
    [(True, False, True), (True, True, True), (False, True, True), (False, False, False)],
)
def test_an_individual_decision_never_goes(is_public: bool, collective: bool, may: bool) -> None:
    assert publicity.may_go(is_public, collective) is may


def test_what_is_chosen_is_said_not_guessed() -> None:
    word: Any = "oui"
    assert publicity.may_go(False, word) is False


@pytest.mark.parametrize(
    ("is_public", "document", "state", "refused"),
    [
        (True, "liste", "published", False),
        (True, "arrete", "planned", False),
        (False, "liste", "published", True),
        (False, "proces_verbal", "published", True),
        (False, "arrete", "planned", True),  # a clock would put it on line
        (False, "autre", "planned", True),
        (False, "arrete", "published", False),
        (False, "arrete", "d'une version à venir", True),
    ],
)
def test_by_hand_neither_lists_nor_minutes_nor_what_a_clock_publishes(
    is_public: bool, document: str, state: str, refused: bool
) -> None:
    said = publicity.by_hand(is_public, document, state)
    assert bool(said) is refused
    assert not refused or "L133-5" in said


@pytest.mark.parametrize("said", [publicity.NOTHING_ALONE, publicity.INDIVIDUAL])
def test_pages_say_why_with_the_articles(said: str) -> None:
    assert "CASF, L133-5" in said and "226-13" in said
