"""The law of each kind of body, row by row: the values that programs take, each with its article."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest

from creatic_agent import law
from creatic_agent.law import Publicity, Standing

READ, CHECK, OPEN = Standing.READ, Standing.TO_CHECK, Standing.UNSETTLED
THIRD, QUARTER = Fraction(1, 3), Fraction(1, 4)


def told(body: law.Body, *names: str) -> list[tuple[Any, str, Standing]]:
    """Values, articles and standings of some rules."""
    return [(one.value, one.source, one.standing) for one in (getattr(body, name) for name in names)]


SMALL, MIDDLE, LARGE, COMMUNITY, SYNDICATE, CCAS, CIAS, SCHOOLS, OTHER = law.TABLE


def test_every_rule_of_every_row_says_its_article_and_what_is_known_of_it() -> None:
    for body in law.TABLE:
        rules = list(body.rules())
        assert len(rules) == 29 and len({label for label, _rule in rules}) == 29
        for label, rule in rules:
            assert rule.said and rule.article and isinstance(rule.standing, Standing), (body.label, label)
            assert re.search(r"\d", rule.article), (body.label, label)
            assert not rule.said.endswith("."), (body.label, label)


def test_a_conseil_municipal_under_1000_inhabitants() -> None:
    assert told(SMALL, "notice", "floor", "urgency", "shortens", "renewal", "second") == [
        (3, "L2121-11", READ), (3, "L2121-11", READ), (1, "L2121-11", READ), ("maire", "L2121-11", READ),
        (3, "L2121-7", READ), (3, "L2121-17", READ),
    ]  # fmt: skip # a table
    assert told(SMALL, "sending", "quorum", "leaving", "proxies", "procedure") == [
        (True, "L2121-10", READ), (Fraction(1, 2), "L2121-17", READ), (True, "L2131-11", READ),
        (1, "L2121-20", CHECK), (False, "L2121-8", READ),
    ]  # fmt: skip # a table
    assert told(SMALL, "named", "secret", "nomination", "tie", "closed", "accounts") == [
        (QUARTER, "L2121-21", READ), (THIRD, "L2121-21", READ), (True, "L2121-21", READ), (True, "L2121-20", CHECK),
        (3, "L2121-18", CHECK), (True, "L2121-14", CHECK),
    ]  # fmt: skip # a table
    assert told(SMALL, "minutes", "listing", "open", "publicity", "register", "retention") == [
        (7, "L2121-15", READ), (7, "L2121-25", READ), (True, "L2121-15 et L2121-25", READ),
        (Publicity.CHOICE, "L2131-1, IV", READ), ("papier", "R2121-9", READ), (None, "R212-12 du CP", READ),
    ]  # fmt: skip # a table
    assert told(SMALL, "presides", "secretary", "signs", "contract", "processing") == [
        ("maire", "L2121-14", CHECK), ("membre", "L2121-15", CHECK), ("maire et secrétaire", "L2121-23", READ),
        (True, "RGPD, 28", CHECK), (True, "RGPD, 30", CHECK),
    ]  # fmt: skip # a table
    assert not SMALL.asks_note(999) and SMALL.note.article == "L2121-12"


def changed(body: law.Body, other: law.Body) -> set[str]:
    """Names of what two rows do not say alike."""
    return {name for name in vars(body) if getattr(body, name) != getattr(other, name)}


def test_a_conseil_municipal_from_1000_to_3499_inhabitants() -> None:
    assert changed(MIDDLE, SMALL) == {"label", "procedure"}
    assert told(MIDDLE, "procedure") == [(True, "L2121-8", CHECK)]


def test_a_conseil_municipal_from_3500_inhabitants_on() -> None:
    assert changed(LARGE, MIDDLE) == {"label", "notice", "floor", "urgency", "shortens", "note", "publicity"}
    assert told(LARGE, "notice", "urgency", "shortens", "publicity") == [
        (5, "L2121-12", READ), (1, "L2121-12", READ), ("maire", "L2121-12", READ),
        (Publicity.ON_LINE, "L2131-1, III", READ),
    ]  # fmt: skip # a table
    assert LARGE.asks_note(3500) and not LARGE.asks_note(3499) and LARGE.asks_note(0)


def test_a_conseil_communautaire() -> None:
    """CE, 22 July 2015, n° 383072: its first meeting is convened as any other."""
    assert told(COMMUNITY, "notice", "floor", "urgency", "renewal", "note", "closed", "publicity") == [
        (5, "L5211-1", READ), (5, "L5211-1", READ), (1, "L5211-1", READ), (None, "L5211-8", READ),
        (0, "L5211-1", READ), (5, "L5211-11", READ), (Publicity.ON_LINE, "L5211-3", READ),
    ]  # fmt: skip # a table
    assert told(COMMUNITY, "quorum", "second", "nomination", "listing", "signs") == [
        (Fraction(1, 2), "L2121-17, par renvoi de L5211-1", READ), (3, "L2121-17, par renvoi de L5211-1", READ),
        (True, "L2121-21, par renvoi de L5211-1", READ), (7, "L2121-25, par renvoi de L5211-1", READ),
        ("président et secrétaire", "L2121-23, par renvoi de L5211-1", READ),
    ]  # fmt: skip # a table
    assert told(COMMUNITY, "retention", "contract") == told(LARGE, "retention", "contract")
    assert COMMUNITY.asks_note(10)


def test_a_comite_syndical() -> None:
    """It chooses how its acts are published whatever its population: L5211-3 sends it to IV, never to III."""
    assert changed(SYNDICATE, COMMUNITY) == {"kind", "label", "council", "publicity"}
    assert told(SYNDICATE, "publicity") == [(Publicity.CHOICE, "L5211-3", READ)]


def test_a_ccas() -> None:
    assert told(CCAS, "notice", "floor", "urgency", "shortens", "renewal", "second", "quorum") == [
        (3, "R123-16 du CASF", READ), (3, "R123-16 du CASF", READ), (None, "R123-16 du CASF", READ),
        ("", "R123-16 du CASF", READ), (None, "R123-16 du CASF", READ), (3, "R123-17 du CASF", CHECK),
        (Fraction(1, 2), "R123-17 du CASF", CHECK),
    ]  # fmt: skip # a table
    assert told(CCAS, "named", "secret", "nomination", "closed", "presides") == [
        (None, "R123-18 du CASF", OPEN), (THIRD, "R123-18 du CASF", CHECK), (False, "R123-18 du CASF", CHECK),
        (None, "L133-5 du CASF", CHECK), ("président", "L123-6 du CASF", READ),
    ]  # fmt: skip # a table
    assert told(CCAS, "minutes", "listing", "open", "publicity", "leaving") == [
        (None, "L2121-15", OPEN), (None, "L2121-25", OPEN), (False, "L133-5 du CASF", READ),
        (Publicity.CHOICE, "L2131-12", CHECK), (True, "L2131-11, par renvoi de L2131-12", CHECK),
    ]  # fmt: skip # a table
    assert CCAS.asks_note(3500) and CCAS.asks_note(0) and not CCAS.asks_note(400)


def test_a_cias() -> None:
    assert changed(CIAS, CCAS) == {"kind", "label", "note", "presides", "by_commune"}
    assert told(CIAS, "note") == [(0, "R123-16 du CASF", OPEN)]


def test_a_caisse_des_ecoles_has_almost_no_text() -> None:
    settled = {name for name in vars(SCHOOLS) if getattr(getattr(SCHOOLS, name), "standing", OPEN) is not OPEN}
    assert settled == {"presides", "publicity", "signs", "retention", "contract", "processing"}
    assert told(SCHOOLS, "notice", "floor", "urgency", "open", "presides") == [
        (5, "L2121-12", OPEN), (1, "L2121-12", OPEN), (None, "L2121-12", OPEN), (None, "L133-5 du CASF", OPEN),
        ("président", "R212-26 du code de l'éducation", READ),
    ]  # fmt: skip # a table


def test_what_no_text_speaks_of_has_the_longest_rules() -> None:
    assert told(OTHER, "notice", "urgency", "publicity", "open") == [
        (5, "L2121-12", OPEN), (None, "L2121-12", OPEN), (Publicity.ON_LINE, "L2131-1, III", OPEN),
        (None, "L133-5 du CASF", OPEN),
    ]  # fmt: skip # a table


@pytest.mark.parametrize(
    ("people", "row"), [(0, LARGE), (1, SMALL), (999, SMALL), (1000, MIDDLE), (3499, MIDDLE), (3500, LARGE)]
)
def test_a_commune_has_the_row_of_its_size(people: int, row: law.Body) -> None:
    assert law.of(law.COMMUNE, people) == law.of("", people) == row


def test_two_populations_count_each_for_its_own() -> None:
    found = law.of(law.COMMUNE, 3600, 3400)
    assert changed(found, LARGE) == {"publicity"} and found.publicity == SMALL.publicity
    assert law.of(law.COMMUNE, 3400, 3600).publicity == LARGE.publicity


@pytest.mark.parametrize("kind", [*law.ENTITIES, "d'une version à venir", "Commune"])
def test_another_body_has_its_own_row_whatever_its_size(kind: str) -> None:
    assert law.of(kind) == law.of(kind, 900, 9000)
    assert law.of(kind).kind == (kind if kind in law.ENTITIES else "autre")
    assert law.rows(kind) == ((law.of(kind),) if kind in law.ENTITIES else ())


def test_what_the_sizes_say_alike_is_said_once() -> None:
    found = [label for label, _rule in law.told(law.rows(law.COMMUNE))]
    assert found.count("Quorum") == 1
    assert [one for one in found if one.startswith("Délai de convocation")] == [
        f"Délai de convocation – {body.label}" for body in (SMALL, MIDDLE, LARGE)
    ]
    assert [label for label, _rule in law.told([CCAS])] == [label for label, _rule in CCAS.rules()]


def test_doubt_is_said() -> None:
    assert (law.doubt(CCAS.notice), law.doubt(CCAS.publicity)) == ("", " [à vérifier]")
    assert law.doubt(OTHER.notice) == " [non fixé]" and set(law.MEANINGS) == set(Standing)
