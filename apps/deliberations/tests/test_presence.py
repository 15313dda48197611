"""Who comes and goes while a council meets, from a point on."""

from __future__ import annotations

import pytest
from creatic.deliberations import presence
from creatic.deliberations.rules import Attendance

COUNCIL = ("Anne", "Bruno", "Claire", "Dina")


def sitting(*present: str, proxies: tuple[str, ...] = ()) -> Attendance:
    return Attendance(COUNCIL, present, proxies)


def test_what_members_announce_is_said_and_a_pouvoir_outranks_it() -> None:
    answers = {"Anne": presence.COMES, "Bruno": presence.EXCUSED, "Claire": presence.COMES}
    found = presence.announced(COUNCIL, answers, {"Claire": "Anne"})
    assert found == {
        "Anne": (presence.COMES, "sera présent(e)"),
        "Bruno": (presence.EXCUSED, "absent(e), excusé(e)"),
        "Claire": (presence.REPRESENTED, "donne pouvoir à Anne"),
        "Dina": ("", "n'a pas répondu"),
    }
    assert list(found) == list(COUNCIL)


@pytest.mark.parametrize("given", [{"Dina": "Bruno"}, {"Dina": "Claire", "Claire": "Anne"}])
def test_a_pouvoir_to_somebody_who_does_not_come_is_told(given: dict[str, str]) -> None:
    said = presence.announced(COUNCIL, {"Bruno": presence.EXCUSED}, given)["Dina"][1]
    assert said.endswith(", qui a dit ne pas venir")


def test_who_leaves_takes_the_pouvoir_that_they_bore_away() -> None:
    before = sitting("Anne", "Bruno", "Claire", proxies=("Dina : Bruno",))
    there, given = presence.leaves(before, "Bruno")
    assert (there, given) == (["Anne", "Claire"], [])
    assert presence.lapsed(before.proxies, given) == ["le pouvoir de Dina à Bruno ne compte plus"]


def test_who_leaves_may_give_theirs() -> None:
    there, given = presence.leaves(sitting("Anne", "Bruno", "Claire", proxies=("Dina : Claire",)), "Bruno", "Anne")
    assert (there, given) == (["Anne", "Claire"], ["Dina : Claire", "Bruno : Anne"])
    assert Attendance(COUNCIL, there, given).problems() == []


def test_who_arrives_votes_themselves_in_the_councils_order() -> None:
    before = sitting("Claire", "Anne", proxies=(" Bruno : Anne ", "Dina : Claire"))
    assert presence.arrives(before, "Bruno") == (["Anne", "Bruno", "Claire"], ["Dina : Claire"])


@pytest.mark.parametrize(
    ("who", "comes", "said"),
    [("Dina", False, "n'est pas dans la salle"), ("Anne", True, "est déjà dans la salle"),
     ("Zoé", True, "n'est pas membre du conseil")],
)  # fmt: skip # a table
def test_nobody_comes_or_goes_twice(who: str, comes: bool, said: str) -> None:
    """Two PCs that note the same one."""
    with pytest.raises(ValueError, match=said):
        _ = presence.arrives(sitting("Anne"), who) if comes else presence.leaves(sitting("Anne"), who)


def test_the_last_one_ends_the_meeting() -> None:
    with pytest.raises(ValueError, match="terminez la séance"):
        presence.leaves(sitting("Anne"), "Anne")


def test_movements_are_told_by_point() -> None:
    points = [(1, ("Anne", "Bruno")), (2, ("Anne",)), (3, ("Anne", "Bruno", "Dina"))]
    assert presence.movements(("Anne", "Bruno"), points) == {
        "Bruno": ["parti au point 2", "arrivé au point 3"],
        "Dina": ["arrivé au point 3"],
    }
    assert presence.movements(("Anne",), []) == {}
