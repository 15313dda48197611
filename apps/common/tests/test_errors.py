"""The one family of what is refused: a message for people, a cause for programs."""

from __future__ import annotations

import copy

import pytest

from creatic_agent.errors import CreaticError


class Refused(CreaticError, cause="refus"):
    """Of these tests."""


class Later(Refused):
    """Says no cause of its own."""


class Asked(Refused, cause="demande", misuse=True):
    """What was asked is at fault."""


def test_a_class_says_its_cause_and_an_error_a_closer_one() -> None:
    assert [one.cause for one in (CreaticError, Refused, Later, Asked)] == ["defaut", "refus", "refus", "demande"]
    assert [one.misuse for one in (CreaticError, Refused, Later, Asked)] == [False, False, False, True]
    close = Later("Le serveur ne répond pas.", "dns")
    assert (close.message, str(close), close.cause, Later.cause) == (*["Le serveur ne répond pas."] * 2, "dns", "refus")


def test_who_stands_at_a_door_catches_all_of_them() -> None:
    for kind in (Refused, Later, Asked):
        with pytest.raises(CreaticError, match="non"):
            raise kind("non")


def test_it_is_the_same_once_copied_as_between_processes() -> None:
    again = copy.copy(Later("non", "dns"))
    assert (type(again), again.message, again.cause) == (Later, "non", "dns")
