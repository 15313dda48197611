"""The filter that gives each level its part of a list."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.filter.hardening import at_level

ENTRIES = [
    {"path": "/a", "mode": "0600", "niveau": "minimal"},
    {"path": "/b", "mode": "0600", "niveau": "enhanced"},
]


def test_a_level_includes_those_below() -> None:
    assert at_level(ENTRIES, "minimal") == [{"path": "/a", "mode": "0600"}]
    assert [entry["path"] for entry in at_level(ENTRIES, "enhanced")] == ["/a", "/b"]
    assert [entry["path"] for entry in at_level(ENTRIES, "high")] == ["/a", "/b"]


def test_going_down_takes_away_what_a_higher_level_had() -> None:
    assert at_level(ENTRIES, "minimal", absent=True)[1] == {"path": "/b", "state": "absent"}
    folder = {"path": "/d", "state": "directory", "niveau": "high"}
    assert at_level([folder], "minimal", absent=True) == [], "somebody else may have files there"


def test_an_unknown_level_is_refused_in_french() -> None:
    with pytest.raises(AnsibleFilterError, match="niveau « renforcé » inconnu : choisissez parmi minimal"):
        at_level(ENTRIES, "renforcé")
    with pytest.raises(AnsibleFilterError, match="niveau absent ou inconnu"):
        at_level([{"path": "/c"}], "minimal")
