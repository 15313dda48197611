"""What progress says of what a rollout is busy with."""

from __future__ import annotations

import pytest

from creatic.evidence import steps
from testbed.control_node import REPO


def test_each_role_has_its_phrase_and_no_other() -> None:
    assert {*steps.ROLES} == {one.name for one in (REPO / "roles").iterdir() if one.is_dir()}


@pytest.mark.parametrize(
    ("task", "role", "said"),
    [
        ("Place | Take the server's turn", "", "place des communes sur les serveurs"),
        ("firewall : tables | Ensure the rules are loaded", "firewall", "pare-feu"),
        ("GED | Ensure its application is there", "", "préparation de la suite"),
    ],
)
def test_progress_is_no_name_of_a_task(task: str, role: str, said: str) -> None:
    assert steps.phrase(task, role) == said
