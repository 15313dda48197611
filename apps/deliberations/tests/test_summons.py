"""Whether each member was convened: sent or handed over, in time, of a convocation that its head approved."""

from __future__ import annotations

import datetime

import pytest
from creatic.deliberations import delays, summons
from creatic.deliberations.mailing import ACCEPTED, HANDED, PAPER, REFUSED, UNSURE
from creatic.deliberations.summons import Sending

from creatic_agent import law

HELD = datetime.date(2026, 12, 10)
IN_TIME, LATE = datetime.date(2026, 12, 4), datetime.date(2026, 12, 5)
BODY = law.of(law.COMMUNE, 9000)
LARGE = delays.delay(BODY)  # five clear days
MAIL = "amina@loos.test"


def said(*sendings: Sending) -> str:
    return " ; ".join(summons.problems(sendings, LARGE, HELD, BODY))


def test_a_meeting_that_convened_nobody_does_not_open() -> None:
    """CE, 9 March 2007, n° 290687."""
    assert "aucune convocation n'est partie (L2121-10)" in said()


@pytest.mark.parametrize("one", [Sending("Amina", MAIL, ACCEPTED, IN_TIME), Sending("Amina", PAPER, HANDED, IN_TIME),
                                 Sending("Amina", MAIL, HANDED, IN_TIME),
                                 Sending("Amina", MAIL, UNSURE, IN_TIME, IN_TIME)])  # fmt: skip # a case a line
def test_who_was_sent_or_handed_it_was_convened(one: Sending) -> None:
    assert said(one) == ""


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (Sending("Amina", PAPER, ""), "remise sur papier n'est pas notée : Amina"),
        (
            Sending("Amina", PAPER, "", None, IN_TIME),
            "remise sur papier n'est pas notée : Amina",
        ),  # who asked for paper
        (Sending("Amina", MAIL, ""), "le relais de courriel n'a pas prise : Amina"),
        (Sending("Amina", MAIL, "", None, IN_TIME), "le relais de courriel n'a pas prise"),  # nothing left yet
        (Sending("Amina", MAIL, REFUSED, IN_TIME), "le relais de courriel n'a pas prise"),
        (Sending("Amina", MAIL, REFUSED, IN_TIME, IN_TIME), "le relais de courriel n'a pas prise"),
        (Sending("Amina", MAIL, UNSURE, IN_TIME), "le relais de courriel n'a pas prise"),
        (Sending("Amina", MAIL, "d'une version à venir", IN_TIME), "le relais de courriel n'a pas prise"),
        (Sending("Amina", MAIL, ACCEPTED, None), "le relais de courriel n'a pas prise"),
        (Sending("Amina", MAIL, ACCEPTED, LATE), "partie trop tard : Amina (le 5 décembre 2026) (L2121-12)"),
        (Sending("Amina", PAPER, HANDED, LATE), "partie trop tard"),
        (Sending("Amina", MAIL, UNSURE, IN_TIME, LATE), "partie trop tard"),
    ],
)
def test_one_member_who_was_not_is_enough(one: Sending, why: str) -> None:
    found = said(Sending("Bruno", MAIL, ACCEPTED, IN_TIME), one)
    assert why in found and "Bruno" not in found


def test_a_shorter_delay_is_the_meetings_own() -> None:
    one = Sending("Amina", MAIL, ACCEPTED, LATE)
    assert summons.problems([one], delays.delay(law.of(law.COMMUNE, 900)), HELD, BODY) == []


@pytest.mark.parametrize(
    ("kept", "now", "told"),
    [("", "a", "le président ne l'a pas approuvée"), ("a", "a", ""), ("a", "b", "a changé depuis que le président"),
     ("", "", "ne l'a pas approuvée")],
)  # fmt: skip # a case a line
def test_what_leaves_is_what_its_head_approved(kept: str, now: str, told: str) -> None:
    found = summons.approval_problem("président", kept, now, "L2121-10")
    assert (told in found and "L2121-10" in found) if told else found == ""


@pytest.mark.parametrize("state", [ACCEPTED, REFUSED, UNSURE, HANDED])
@pytest.mark.parametrize("opened", [None, IN_TIME])
def test_what_the_meeting_does_not_open_for_is_recalled_till_then(state: str, opened: datetime.date | None) -> None:
    """An élu who opened their papers in the space took a refused mail out of the list, and the meeting stayed shut."""
    one = Sending("Amina", MAIL, state, IN_TIME, opened)
    assert one.to_review is bool(said(one))
