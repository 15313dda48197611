"""The nomenclature of ACTES in words: a matter is chosen, not typed."""

from __future__ import annotations

import pytest
from creatic.deliberations import matters, rules


def test_each_matter_is_said_in_words_under_its_domain() -> None:
    assert matters.title("7.5") == "7.5 – Finances locales : Subventions"
    assert {code[0] for code in matters.LABELS} == set(rules.MATTERS)
    assert all(rules.MATTER.fullmatch(code) for code in matters.LABELS)
    assert matters.USUAL in matters.LABELS


def test_they_are_in_the_order_of_their_numbers() -> None:
    found = list(matters.listed())
    assert found.index("7.9") < found.index("7.10") < found.index("8.1")


@pytest.mark.parametrize(("code", "known"), [
    ("5.2", True), ("5.2.1", True), ("7.10", True), ("5.9", False), ("5", False), ("5.2.x", False), ("", False),
])  # fmt: skip # a table
def test_a_finer_matter_is_one_where_its_first_levels_are(code: str, known: bool) -> None:
    assert matters.is_known(code) is known


def test_what_an_act_has_is_among_what_is_chosen_from() -> None:
    assert matters.listed("5.2.1")["5.2.1"] == "5.2.1 – Institutions et vie politique : Fonctionnement des assemblées"
    assert "5.2.1" not in matters.listed()
