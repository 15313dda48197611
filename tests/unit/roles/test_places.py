"""Where things are in a role: what its tasks list is in vars/main.yml, and its main.yml is a table of contents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"
FILES = [f"cdg59.creatic.{module}" for module in ("file_set", "file_settings", "sshd_commit")]


def tasks(content: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in content:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part, []))


@pytest.mark.parametrize("role", sorted(path.name for path in ROLES.iterdir()))
def test_a_role_reads_like_a_table_of_contents(role: str) -> None:
    main = ROLES / role / "tasks" / "main.yml"
    assert len(main.read_text("utf-8").splitlines()) <= 80
    for path in sorted(main.parent.glob("*.yml")):
        for task in tasks(yaml.safe_load(path.read_text("utf-8"))):
            listed = [one for module in FILES for one in (task.get(module) or {}).get("files", []) if module in task]
            assert not any(isinstance(one, dict) for one in listed), f"{path.name}: {task['name']}: vars/main.yml"
