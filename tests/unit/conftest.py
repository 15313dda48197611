"""What every unit test leaves as it found it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

COSTLY_TURNS = 4


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the costliest tests, a whole run (scripts/test without a name) has a quarter, by its number of commits."""
    number = os.environ.get("CREATIC_WHOLE_RUN", "")
    if not number:
        return
    costly = [item for item in items if item.get_closest_marker("costly")]
    waiting = {item for rank, item in enumerate(costly) if rank % COSTLY_TURNS != int(number) % COSTLY_TURNS}
    config.hook.pytest_deselected(items=[*waiting])
    items[:] = [item for item in items if item not in waiting]


@pytest.fixture(autouse=True)
def _umask_as_before() -> Iterator[None]:
    """Agents choose theirs when they start, in this very process where a test calls their entry point."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)
