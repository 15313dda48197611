"""The page of the evening, whatever a commune brings: beside stand-ins of Plone."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from apps.deliberations.tests.beside_plone import module

_MORE = (
    "z3c", "z3c.form", "z3c.form.validator", "zope", "zope.event", "zope.interface", "zope.lifecycleevent",
    "zope.schema",
)  # fmt: skip # a list of words


def item(uid: str, members: list[str], cast: bool) -> Any:
    found = MagicMock(scrutin="public", tours=[], pour=[], contre=[], abstentions=[])
    found.UID.return_value = uid
    found.vote.return_value.cast = cast
    found.attendance.return_value = MagicMock(present=members)
    found.attendance.return_value.voters.return_value = members
    found.attendance.return_value.represented.return_value = {}
    return found


@pytest.fixture
def evening(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, int]]:
    """How many voices, one by one, the page has of each item: of so many items and members."""
    beside = ("aftermath", "content", "convocation", "gestures", "pages", "places", "reading", "watch", "written")
    found = module(monkeypatch, "conducting", *beside, more=_MORE)
    found.api.content.get_state.side_effect = lambda thing: getattr(thing, "state", "ouverte")
    found.aftermath.talks.return_value = {}

    def shown(items: int, members: int, asked: str = "") -> dict[str, int]:
        council = [f"Élu {rank}" for rank in range(members)]
        agenda = [item(f"p{rank}", council, cast=rank == 0) for rank in range(items)]
        for one in agenda:
            one.state = "inscrit"
        view = found.Conducting()
        view.context = SimpleNamespace(convoques=council, projets=lambda *_states: agenda)
        view.request = SimpleNamespace(form={"point": asked})
        return {row["uid"]: len(row["votants"]) for row in view.points()}

    return shown


def test_a_usual_meeting_shows_the_voices_of_all_its_items(evening: Callable[..., dict[str, int]]) -> None:
    assert set(evening(15, 33).values()) == {33}


def test_a_large_meeting_shows_those_of_the_next_item_and_of_the_one_that_is_asked_for(
    evening: Callable[..., dict[str, int]],
) -> None:
    assert {uid: count for uid, count in evening(21, 50).items() if count} == {"p1": 50}
    assert {uid: count for uid, count in evening(21, 50, "p12").items() if count} == {"p1": 50, "p12": 50}
    assert {uid: count for uid, count in evening(21, 50, "elsewhere").items() if count} == {"p1": 50}
