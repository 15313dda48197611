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


def test_what_is_part_of_nothing_known_keeps_what_is_said_of_it() -> None:
    assert steps.phrase("Nobody | Knows what this is", other="Listes de confiance") == "Listes de confiance"
    assert steps.phrase(steps.key("Mayan | Ensure", "mayan")) == steps.ROLES["mayan"]


def test_a_step_that_others_interrupt_counts_as_one() -> None:
    clock = steps.Clock({"documents": {"mayan": 412.0}})
    for at, step, end in ((10, "mayan", 20), (20, "mayan", 40), (45, "pki_client", 50), (50, "mayan", 60)):
        clock.start("documents", step, at)
        clock.end("documents", end)
    assert clock.spent == {"documents": {"mayan": 40, "pki_client": 5}}
    assert clock.at("documents") == ("mayan", 20, 412.0)
    clock.pause()  # machines that wait for others are in no step
    clock.end("documents", 5000)
    clock.start("documents", "Servers", 5000)
    clock.end("documents", 5003)
    clock.start("relais", "mayan", 5000)
    assert clock.spent["documents"] == {"mayan": 40, "pki_client": 5, "Servers": 3}
    assert clock.at("relais") == ("mayan", 5000, 0)
