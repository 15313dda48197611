"""What the acts of a meeting are archived with: its convocations, its list, its procès-verbal once it is settled."""

from __future__ import annotations

import datetime
import hashlib
import io
from types import SimpleNamespace
from typing import Any

import pytest

from apps.deliberations.tests.beside_plone import Uncommitted, module

DAY = datetime.date(2026, 12, 18)
SITE = "https://delib.test"


class Missing(Exception):
    """There is no such page."""


class Held:
    """A file of the site: its text, and where its blob is once it is committed."""

    def __init__(self, name: str, path: str = "") -> None:
        self.data, self.path, self.opened, self._blob = name.encode(), path, 0, self

    def _p_activate(self) -> None:
        """It is read from the database."""

    def committed(self) -> str:
        if not self.path:
            raise Uncommitted
        return self.path

    def open(self) -> io.BytesIO:
        self.opened += 1
        return io.BytesIO(self.data)


file = Held


@pytest.fixture
def papers(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = module(
        monkeypatch, "papers", "aftermath", "convocation", "places", having={"zExceptions": {"NotFound": Missing}}
    )
    monkeypatch.setattr(found, "meeting_of", lambda projet: projet.meeting)
    monkeypatch.setattr(found.aftermath, "settled", lambda meeting: meeting.settled)
    monkeypatch.setattr(found.aftermath, "listed", lambda meeting: meeting.listed)
    monkeypatch.setattr(found.aftermath, "on_line", lambda told: told.get("en_ligne"))
    monkeypatch.setattr(found.convocation, "approval", lambda meeting: {"par": "claire", "le": "x", "empreinte": "y"})
    monkeypatch.setattr(found, "stream_data", lambda one: one.data)
    return found


def projet(**changes: Any) -> Any:
    told: dict[str, Any] = {
        "date": datetime.date(2026, 11, 26),
        "label": lambda: "Conseil municipal du 26 novembre 2026",
        "UID": lambda: "s1",
        "portal_type": "seance",
        "settled": {"le": DAY, "president": "Claire Dubois", "secretaire": "Amina Benali", "remarques": "Rien"},
        "proces_verbal": file("pv"),
        "listed": {"en_ligne": DAY, "publication": "liste"},
        "dispatches": lambda: (("2026-11-14T08:00:00+00:00", file("c1"), file("note 1")),
                               ("2026-11-16T08:00:00+00:00", file("c2"), file("note 2"))),
    }  # fmt: skip # a table
    return SimpleNamespace(UID=lambda: "p1", portal_type="projet", meeting=SimpleNamespace(**(told | changes)))


def test_each_paper_is_told_with_its_digest_and_its_address(papers: Any) -> None:
    papers.api.content.get = lambda UID: SimpleNamespace(file=file("liste"))
    told = papers.of(projet(), SITE)
    assert [one["nom"] for one in told["pieces"]] == [
        "convocation-1.pdf", "convocation-2.pdf", "liste.pdf", "proces-verbal.pdf",
    ]  # fmt: skip # a list of words
    assert [one["sha256"] for one in told["pieces"]] == [
        hashlib.sha256(one).hexdigest() for one in (b"c1", b"c2", b"liste", b"pv")
    ]
    assert told["pieces"][3]["url"] == f"{SITE}/@@seance-piece?uid=s1&piece=proces-verbal"
    assert told["arrete"] == {"le": "2026-12-18", "president": "Claire Dubois", "secretaire": "Amina Benali"}
    assert told["convocation_approuvee"] == {"par": "claire", "le": "x"}
    assert "note" not in str(told)


def test_a_paper_is_read_once_however_often_it_is_told(papers: Any) -> None:
    """The passerelle asks of each act, a thousand times, what its meeting has."""
    listed, minutes = Held("liste", "/blobs/1/a.blob"), Held("pv", "/blobs/2/a.blob")
    papers.api.content.get = lambda UID: SimpleNamespace(file=listed)
    told = [papers.of(projet(proces_verbal=minutes), SITE) for _act in range(5)]
    assert all(one == told[0] for one in told) and (listed.opened, minutes.opened) == (1, 1)
    again = Held("autre", "/blobs/2/b.blob")  # another transaction
    found = papers.of(projet(proces_verbal=again), SITE)["pieces"][3]
    assert found["sha256"] == hashlib.sha256(b"autre").hexdigest()
    again.data, again.path = b"change", ""  # by this one
    found = papers.of(projet(proces_verbal=again), SITE)["pieces"][3]
    assert found["sha256"] == hashlib.sha256(b"change").hexdigest()


def test_nothing_is_told_before_the_minutes_are_settled(papers: Any) -> None:
    assert papers.of(projet(settled={}), SITE) is None
    found = {"a": projet(settled={}), "b": SimpleNamespace(portal_type="seance"), "c": None, "d": projet(listed={})}
    papers.api.content.get = lambda UID: found[UID]
    [told] = papers.told([*"abcd"], SITE)
    assert [one["nom"] for one in told["pieces"]] == ["convocation-1.pdf", "convocation-2.pdf", "proces-verbal.pdf"]


@pytest.mark.parametrize("piece", ["liste", "convocation-3", "note", "", "../x"])
def test_what_is_no_paper_of_it_is_not_given(papers: Any, piece: str) -> None:
    page = papers.Paper()
    page.request = SimpleNamespace(form={"uid": "s1", "piece": piece}, response=None)
    papers.api.content.get = lambda UID: projet(listed={}).meeting
    with pytest.raises(Missing):
        page()
    page.request.form["piece"] = "proces-verbal"
    assert page() == b"pv"
    papers.api.content.get = lambda UID: projet(settled={}).meeting
    with pytest.raises(Missing):
        page()
