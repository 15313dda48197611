"""What a commune may bring to the database of all of them: beside stand-ins of Plone."""

from __future__ import annotations

import datetime
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.deliberations.tests import beside_plone

_MORE = ("AccessControl", "Acquisition", "BTrees", "BTrees.Length", "BTrees.OOBTree", "ZODB", "ZODB.blob")
TODAY = datetime.date(2026, 12, 2)


class Refusal(Exception):
    """What is said of a request that is refused."""


class Length:
    """A number that two requests change at once."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __call__(self) -> int:
        return self.value

    def change(self, more: int) -> None:
        self.value += more


class Blob:
    """A file of the database, new or not."""

    def __init__(self, size: int, folder: Path, oid: str | None = None, changed: bool = False) -> None:
        self._p_oid, self._p_changed = oid, changed
        self._path = folder / str(id(self))
        with self._path.open("wb") as file:
            file.truncate(size)

    def open(self, _mode: str) -> io.BufferedReader:
        return self._path.open("rb")


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> Any:
    having: dict[str, dict[str, Any]] = {
        "Acquisition": {"aq_base": lambda thing: thing},
        "BTrees.Length": {"Length": Length},
        "BTrees.OOBTree": {"OOBTree": dict},
        "ZODB.blob": {"Blob": Blob},
        "creatic.deliberations.configuration": {"GROUPS": {"redacteurs": "Redacteur", "dgs": "DGS"}},
    }
    found = beside_plone.module(monkeypatch, "shares", "watch", "configuration", more=_MORE, having=having)
    portal = SimpleNamespace()
    found.api.portal.get = lambda: portal
    found.api.exc.CannotGetPortalError = KeyError
    found.api.user.is_anonymous = lambda: False
    acting(found, "loos-dgs", "wavrin-redacteurs", "AuthenticatedUsers")

    def refuse(_thing: Any, said: str, _name: str) -> None:
        raise Refusal(said)

    found.watch.refuse = refuse
    return found


def acting(shares: Any, *groups: str, may: str = "") -> None:
    """Have somebody of these groups act."""
    user = SimpleNamespace(getGroups=lambda: groups, getId=lambda: "une.personne")
    manager = SimpleNamespace(getUser=lambda: user, checkPermission=lambda name, _where: name == may)
    shares.getSecurityManager = lambda: manager


def brought(shares: Any, *written: Any, length: int = 60, whose: str = "loos", aside: Any = ()) -> None:
    """What a request does that writes these."""
    shares.watch.written = lambda _connection: list(written)
    there = SimpleNamespace(index=aside) if aside else None
    connection = SimpleNamespace(isReadOnly=lambda: False, _savepoint_storage=there)
    root = SimpleNamespace(_p_jar=connection)
    shares.apart.WHOSE.set(whose)
    environ = {"CONTENT_LENGTH": str(length)}
    shares.check(SimpleNamespace(request=Request(environ, root)))


class Request:
    """A request of Zope's."""

    def __init__(self, environ: dict[str, str], root: Any) -> None:
        self.environ, self._root = environ, root

    def __getitem__(self, _name: str) -> Any:
        return [self._root]


def holding(*blobs: Blob) -> Any:
    """Content that has files."""
    return SimpleNamespace(
        title="plan", **{f"file{rank}": SimpleNamespace(_blob=one) for rank, one in enumerate(blobs)}
    )


@pytest.mark.parametrize(
    ("days", "more", "said"),
    [
        ({}, 1_000_000_000, ""),
        ({}, 1_000_000_001, "0 Mo aujourd'hui"),
        ({"2026-12-02": 950_000_000}, 60_000_000, "950 Mo aujourd'hui"),
        ({"2026-12-01": 1_000_000_000}, 60_000_000, ""),
        ({f"2026-11-{day}": 900_000_000 for day in (10, 11, 12)}, 400_000_000, "2700 Mo en trente jours"),
        ({f"2026-11-{day:02}": 900_000_000 for day in (1, 2, 3, 4)}, 900_000_000, ""),
    ],
)
def test_a_share_is_of_a_day_and_of_a_month(shares: Any, days: dict[str, int], more: int, said: str) -> None:
    found = shares.problem(days, TODAY, more)
    assert said in found and bool(said) is bool(found)


def test_what_is_sent_counts_and_keeps_no_other_commune_from_it(shares: Any) -> None:
    """One account filled thirty gigabytes in a quarter of an hour: the site of all communes had no place to write."""
    thing = holding()
    for _time in range(7):
        brought(shares, thing, length=133_000_000)
    with pytest.raises(Refusal, match="931 Mo aujourd'hui"):
        brought(shares, thing, length=133_000_000)
    brought(shares, thing, length=60_000_000)
    brought(shares, thing, length=133_000_000, whose="wavrin")


def test_nobody_uses_anothers_share_by_writing_on_its_pages(shares: Any) -> None:
    acting(shares, "loos-redacteurs", "wavrin-institution_managers")
    for _time in range(7):
        brought(shares, holding(), length=133_000_000, whose="wavrin")
    with pytest.raises(Refusal):
        brought(shares, holding(), length=133_000_000, whose="loos")
    acting(shares, "AuthenticatedUsers")  # of no commune
    brought(shares, holding(), length=133_000_000, whose="wavrin")
    acting(shares, "wavrin-dgs")
    brought(shares, holding(), length=999_000_000, whose="wavrin")


def test_a_copy_counts_what_it_copies(shares: Any, tmp_path: Path) -> None:
    """Sixty bytes (`@copy`) wrote two hundred million."""
    new, known, changed, aside = (
        Blob(300_000_000, tmp_path), Blob(900_000_000, tmp_path, "1"), Blob(300_000_000, tmp_path, "2", changed=True),
        Blob(350_000_000, tmp_path, "3"),
    )  # fmt: skip # a list
    brought(shares, holding(known), holding(new, changed))
    with pytest.raises(Refusal, match="600 Mo aujourd'hui, sur 1000 "):
        brought(shares, holding(known), aside, aside, holding(aside), Blob(60_000_000, tmp_path), aside=("3",))


def test_small_changes_count_too_and_reading_does_not(shares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "DAY_MAX", 50_000)
    for _time in range(9):
        brought(shares)
    brought(shares, holding())
    brought(shares, holding())
    with pytest.raises(Refusal):
        brought(shares, holding())


@pytest.mark.parametrize("who", ["nobody", "passerelle"])
def test_who_works_for_all_is_not_counted(shares: Any, who: str) -> None:
    if who == "nobody":  # whose login is noted, say
        shares.api.user.is_anonymous = lambda: True
    else:
        acting(shares, may="creatic.deliberations: Passerelle")
    for _time in range(20):
        brought(shares, holding(), length=200_000_000)
