"""A pouvoir that an élu writes on the site: to whom, how many, how often (CGCT, L2121-20)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from creatic.deliberations import proxies
from creatic.deliberations.proxies import Written

COUNCIL = ("Marc Leroy", "Amina Benali", "Bruno Carpentier", "Élise Delattre")
AMINA, BRUNO, ELISE = COUNCIL[1:]
WHEN = "2026-11-28T09:00:00+00:00"
GIVEN = {ELISE: Written(BRUNO, WHEN)}


def problem(
    holder: str,
    written: Mapping[str, Written] | None = None,
    noted: Mapping[str, str] | None = None,
    before: Sequence[Mapping[str, str]] = (),
    ill: bool = False,
) -> str:
    return proxies.problem(AMINA, holder, ill, COUNCIL, written or {}, noted or {}, before)


def test_a_pouvoir_is_given_to_a_colleague_who_is_convened() -> None:
    assert problem(BRUNO) == ""
    for holder in (AMINA, "Luc Roux", ""):
        assert "autre membre du conseil" in problem(holder)


def test_a_member_bears_one_alone_whoever_noted_it() -> None:
    for given in ({"written": GIVEN}, {"noted": {ELISE: BRUNO}}):
        assert f"{BRUNO} a déjà le pouvoir de {ELISE}" in problem(BRUNO, **given)
    assert problem(BRUNO, {ELISE: Written(BRUNO, WHEN, revoked=WHEN)}) == ""  # was taken back
    assert problem(BRUNO, {AMINA: Written(BRUNO, WHEN)}) == ""  # their own, again
    assert proxies.borne(BRUNO, GIVEN, {}) == ELISE and proxies.borne(AMINA, GIVEN, {}) == ""


@pytest.mark.parametrize(
    ("before", "ill", "refused"),
    [
        ([{AMINA: BRUNO}] * 2, False, False),
        ([{AMINA: BRUNO}] * 3, False, True),
        ([{AMINA: BRUNO}] * 5, False, True),
        ([{AMINA: BRUNO}] * 3, True, False),
        ([{}, *[{AMINA: BRUNO}] * 3], False, False),  # was there last time
        ([{AMINA: BRUNO}, {}, {AMINA: BRUNO}], False, False),
    ],
)
def test_not_more_than_three_meetings_in_a_row_but_for_illness(
    before: list[dict[str, str]], ill: bool, refused: bool
) -> None:
    assert ("trois séances précédentes" in problem(BRUNO, before=before, ill=ill)) is refused
