"""Journeys that restart machines open their disks, and know that they can before they stop one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

JOURNEYS = Path(__file__).parents[3] / "playbooks" / "journeys"
OPENS = "tasks/open_disks.yml"


def tasks(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tasks in their order, those of plays and blocks included; of a block, not what rescues it."""
    found = []
    for one in content:
        inner = tasks(one.get("tasks", []) + one.get("block", []))
        found += inner or [one]
    return found


def order(file: str) -> list[str]:
    """What each task of a journey runs, by its module; the command's first words."""
    read = tasks(yaml.safe_load((JOURNEYS / file).read_text(encoding="utf-8")))
    told = []
    for task in read:
        command = task.get("ansible.builtin.command", {}).get("argv", [])
        module = next((key for key in task if "." in key), "")
        told.append(task.get("ansible.builtin.import_tasks") or " ".join(map(str, command[:2])) or module)
    return told


def test_a_node_that_was_restarted_is_open_before_it_serves() -> None:
    told = order("patch_archive_node.yml")
    assert told.index("ansible.builtin.reboot") < told.index(OPENS) < told.index("creatic-archive remettre")


def test_every_key_is_tried_before_a_node_is_stopped() -> None:
    told = order("patch_archive.yml")
    assert told.index(OPENS) < told.index("creatic-archive bilan")


def test_one_file_opens_for_all() -> None:
    assert order("open_disks.yml") == [OPENS]
    [task] = yaml.safe_load((JOURNEYS / OPENS).read_text(encoding="utf-8"))
    assert task["ansible.builtin.include_role"] == {"name": "encrypted_raid", "tasks_from": "open"}
    assert "encrypted_raid_volumes" in task["when"]
