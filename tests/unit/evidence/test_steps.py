"""What progress says of what a rollout is busy with."""

from __future__ import annotations

import re

import pytest

from creatic.evidence import steps
from testbed.control_node import REPO

NAMED = re.compile(r"^ *(?:- )?name: ([A-Z][A-Za-z ]+) \| ", re.MULTILINE)


def test_each_role_has_its_phrase_and_no_other() -> None:
    assert {*steps.ROLES} == {one.name for one in (REPO / "roles").iterdir() if one.is_dir()}


def test_each_part_that_playbooks_name_has_its_phrase_and_no_other() -> None:
    names = (name for one in (REPO / "playbooks").rglob("*.yml") for name in NAMED.findall(one.read_text("utf-8")))
    assert {*steps.PARTS} == {*names}


@pytest.mark.parametrize(
    ("task", "role", "said"),
    [
        ("Place | Take the server's turn", "", "place des communes sur les serveurs"),
        ("firewall : tables | Ensure the rules are loaded", "firewall", "pare-feu"),
        ("Nobody | Knows what this is", "", "préparation de la suite"),
    ],
)
def test_progress_is_no_name_of_a_task(task: str, role: str, said: str) -> None:
    assert steps.phrase(task, role) == said
