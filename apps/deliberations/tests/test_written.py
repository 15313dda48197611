"""What élus write of their coming, beside stand-ins of Plone: the rules of a pouvoir are in `test_proxies`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from creatic.deliberations.rules import Attendance

from apps.deliberations.tests.beside_plone import module

ANNE, BRUNO, CLAIRE = COUNCIL = ["Anne", "Bruno", "Claire"]


class Meeting(SimpleNamespace):
    """One that was convened."""

    def __init__(self) -> None:
        super().__init__(state="convoquee", convoques=COUNCIL, presents=[], pouvoirs=[], versions=1)
        self.aq_base, self.aq_parent = self, SimpleNamespace(objectValues=list)

    def attendance(self) -> Attendance:
        return Attendance(self.convoques, self.presents, self.pouvoirs)

    def dispatches(self) -> list[int]:
        return list(range(self.versions))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = module(monkeypatch, "written", "watch")
    found.api.content.get_state.side_effect = lambda meeting: meeting.state
    found.notes = notes = []
    found.watch.note.side_effect = lambda _meeting, said: notes.append(said)
    return found


def told(written: Any, meeting: Meeting) -> dict[str, str]:
    return {name: what for name, (what, _when) in written.answers(meeting).items()}


def test_an_answer_is_changed_till_the_meeting_opens_and_each_is_traced(written: Any) -> None:
    meeting = Meeting()
    assert written.answer(meeting, ANNE, "present") == "Réponse notée : sera présent(e)."
    assert written.answer(meeting, ANNE, "excuse") == "Réponse notée : absent(e), excusé(e)."
    assert told(written, meeting) == {ANNE: "excuse"} and not meeting.presents
    assert written.notes == [
        "Réponse dans l'espace des élus : Anne, sera présent(e)",
        "Réponse dans l'espace des élus : Anne, absent(e), excusé(e)",
    ]
    for state in ("ouverte", "close", "en_preparation", "annulee"):
        meeting.state = state
        with pytest.raises(ValueError, match="n'attend plus de réponse"):
            written.answer(meeting, ANNE, "present")
    assert told(written, meeting) == {ANNE: "excuse"}


@pytest.mark.parametrize("what", ["", "pouvoir", "presents", "PRESENT"])
def test_another_word_is_no_answer(written: Any, what: str) -> None:
    meeting = Meeting()
    with pytest.raises(ValueError, match="présent"):
        written.answer(meeting, ANNE, what)
    assert not told(written, meeting) and not written.notes


def test_an_answer_is_of_the_convocation_that_it_was_given_to(written: Any) -> None:
    meeting = Meeting()
    written.answer(meeting, ANNE, "present")
    meeting.versions = 2  # another day, perhaps
    assert not told(written, meeting) and written.announced(meeting)[ANNE] == ("", "n'a pas répondu")


def test_the_last_word_counts_between_an_answer_and_a_pouvoir(written: Any) -> None:
    meeting = Meeting()
    written.answer(meeting, ANNE, "present")
    written.give(meeting, ANNE, BRUNO, False)
    assert not told(written, meeting) and written.announced(meeting)[ANNE] == ("pouvoir", "donne pouvoir à Bruno")
    written.answer(meeting, ANNE, "present")
    assert written.standing(meeting) == {} and told(written, meeting) == {ANNE: "present"}
    assert written.written(meeting)[ANNE].revoked and "Pouvoir révoqué" in written.notes[-2]
    written.give(meeting, CLAIRE, BRUNO, False)  # who bears none any more


def test_a_pouvoir_that_the_commune_noted_is_told(written: Any) -> None:
    meeting = Meeting()
    meeting.presents, meeting.pouvoirs = [BRUNO], ["Anne : Bruno"]
    assert "noté par la mairie : prévenez-la" in written.answer(meeting, ANNE, "present")
