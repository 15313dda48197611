"""Who may use a shared control node: these accounts and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.access import operators
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError

GROUP = "creatic-operateurs"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(operators, "run", lambda command, _error: found.append(" ".join(command)))
    return found


def system(root: Path, members: str, others: str = "") -> Path:
    """A system of two persons, where sudo is for a group."""
    (root / "etc").mkdir()
    people = "".join(
        f"{name}:x:{1000 + rank}:100::/home/{name}:/bin/bash\n" for rank, name in enumerate(("lea", "ali"))
    )
    (root / "etc/passwd").write_text(people)
    (root / "etc/group").write_text(f"{GROUP}:x:900:{members}\nsystemd-journal:x:901:{others}\n")
    return root


def test_members_are_exactly_those(tmp_path: Path, asked: list[str]) -> None:
    [group, journal] = operators.apply(GROUP, ["lea"], root=system(tmp_path, "ali"))
    assert (group.before, group.after) == ("ali", "lea")
    assert (journal.name, journal.after) == ("lea", "membre de systemd-journal")
    assert asked == [f"gpasswd --members lea {GROUP}", "usermod --append --groups systemd-journal lea"]


def test_who_is_there_already_changes_nothing(tmp_path: Path, asked: list[str]) -> None:
    assert operators.apply(GROUP, ["lea", "ali", "lea"], root=system(tmp_path, "lea,ali", "ali,lea")) == []
    assert asked == []


def test_the_last_one_leaves(tmp_path: Path, asked: list[str]) -> None:
    assert operators.apply(GROUP, [], check=True, root=system(tmp_path, "lea"))
    assert asked == []
    operators.apply(GROUP, [], root=tmp_path)
    assert asked == [f"gpasswd --members  {GROUP}"]


def test_an_account_that_is_not_there_keeps_everything_as_it_is(tmp_path: Path, asked: list[str]) -> None:
    with pytest.raises(StateError, match=r"pas de compte camille, leo\. À faire : créez-le"):
        operators.apply(GROUP, ["lea", "leo", "camille"], root=system(tmp_path, ""))
    assert asked == []
