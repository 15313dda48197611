"""Papers of a meeting, for the dossiers de preuve: to the passerelle alone, once the minutes are settled."""

from __future__ import annotations

import pytest

from testbed.deliberations import MANAGER, Site
from tests.profiles.deliberations.conftest import Act

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine


def test_nothing_is_told_of_a_meeting_whose_minutes_are_not_settled(site: Site, act: Act) -> None:
    assert site.done("passerelle", "POST", "/@seances", {"uids": [act.uid]}) == {"results": []}


def test_nobody_else_asks(site: Site, act: Act) -> None:
    meeting = site.done(MANAGER, "GET", act.meeting)["UID"]
    for login in ("", MANAGER):
        assert site.api(login, "POST", "/@seances", {"uids": [act.uid]}).status == 401, login
    for piece in ("proces-verbal", "convocation-1", "liste"):
        assert site.ask("GET", f"/@@seance-piece?uid={meeting}&piece={piece}").status in (302, 401), piece
