"""What is wrong with one commune's meeting keeps no other's: its convocations leave, its lists go on line."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from apps.deliberations.tests.beside_plone import Transient, module

NOW = datetime.datetime(2026, 12, 1, 9, tzinfo=datetime.UTC)
TODAY = datetime.date(2026, 12, 1)


class Meeting(SimpleNamespace):
    """One of a commune, that is wrong or not."""

    def __init__(self, commune: str, wrong: Exception | None = None) -> None:
        super().__init__(commune=commune, wrong=wrong)

    def moment(self) -> datetime.datetime:
        if self.wrong:
            raise self.wrong
        return datetime.datetime(2026, 12, 24, 18, 30)

    def absolute_url(self) -> str:
        return f"https://site.test/{self.commune}"

    def label(self) -> str:
        return "Conseil municipal"

    def UID(self) -> str:
        return self.commune


def commune_of(meeting: Any) -> Any:
    return SimpleNamespace(title=meeting.commune, getId=lambda: meeting.commune)


# An hour that was emptied, a file that is lost.
WRONG = [TypeError("fromisoformat: argument must be str"), KeyError("POSKeyError")]


@pytest.fixture(params=WRONG, ids=["no hour", "no file"])
def meetings(request: pytest.FixtureRequest) -> list[Meeting]:
    return [Meeting("bergues"), Meeting("bouvines", request.param), Meeting("loos")]


@pytest.fixture
def convening(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = module(monkeypatch, "convening", "places", "gestures", "reading", "watch", "written")
    mail = {"version": 1, "objet": "", "texte": "", "pieces": (), "le": "2026-11-30T08:00:00+00:00"}
    monkeypatch.setattr(found, "commune_of", commune_of)
    monkeypatch.setattr(found, "mails", lambda meeting: (mail,))
    monkeypatch.setattr(found, "_unsent_members", lambda meeting, mail: meeting.moment() and [{"elu": "Anne Petit"}])
    monkeypatch.setattr(found, "sendings", lambda meeting: [])
    return found


def waiting(found: Any, patch: pytest.MonkeyPatch, meetings: list[Meeting]) -> None:
    patch.setattr(found, "folders", lambda: iter([meetings]))
    patch.setattr(found, "_pending_meetings", iter)


def test_convocations_of_others_leave(convening: Any, monkeypatch: pytest.MonkeyPatch, meetings: list[Meeting]) -> None:
    waiting(convening, monkeypatch, meetings)
    assert [one["commune"] for one in convening.to_send("https://site.test")] == ["bergues", "loos"]
    assert convening.figures(NOW) == {"convocation_en_attente": 2, "convocation_a_revoir": 0}


def test_two_at_once_are_done_again(convening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting(convening, monkeypatch, [Meeting("loos", Transient())])
    with pytest.raises(Transient):
        convening.to_send("https://site.test")


@pytest.fixture
def aftermath(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lists that are all due; `put` on line."""
    found = module(
        monkeypatch, "aftermath", "places", "convening", "documents", "gestures", "publishing", "subjects", "watch"
    )
    found.put = []
    monkeypatch.setattr(found, "commune_of", commune_of)
    monkeypatch.setattr(found, "_pending_meetings", iter)
    monkeypatch.setattr(found, "_is_due", lambda meeting, today: True)
    monkeypatch.setattr(found, "publish_list", lambda meeting, today: found.put.append(meeting.commune))
    told = found.deadlines.Deadline(found.deadlines.LIST, TODAY)
    monkeypatch.setattr(found, "waiting", lambda meeting: meeting.moment() and [told])
    return found


def test_lists_of_others_go_on_line(aftermath: Any, meetings: list[Meeting]) -> None:
    aftermath.convening.folders.return_value = [meetings]
    found = aftermath.turn(TODAY)
    assert found["listes"] == ["bergues, Conseil municipal", "bouvines, Conseil municipal", "loos, Conseil municipal"]
    assert found["echecs"] == ["bouvines, Conseil municipal"]


def test_a_list_that_fails_is_told_late_all_the_same(aftermath: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(meeting: Any, today: datetime.date) -> None:
        raise ValueError("le document ne se dessine pas")

    monkeypatch.setattr(aftermath, "publish_list", fail)
    aftermath.convening.folders.return_value = [[Meeting("loos")]]
    late = TODAY + datetime.timedelta(30)
    found = aftermath.turn(late)
    assert (found["listes"], found["echecs"]) == ([], ["loos, Conseil municipal"])
    assert found["retards"][aftermath.deadlines.LIST] == 1
