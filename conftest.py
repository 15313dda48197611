"""What all tests have: the applications' packages, the turns of the costliest, and what each leaves as it found it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from testbed import apps

sys.path[:0] = apps.sources()

COSTLY_TURNS = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--costly", type=int, help="of the tests marked costly, the quarter that this number falls on")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other three quarters, if a number is given (scripts/run_tests.py)."""
    number = config.getoption("--costly")
    if number is None:
        return
    costly = [item for item in items if item.get_closest_marker("costly")]
    waiting = {item for rank, item in enumerate(costly) if (rank - number) % COSTLY_TURNS}
    config.hook.pytest_deselected(items=[*waiting])
    items[:] = [item for item in items if item not in waiting]


@pytest.fixture(autouse=True)
def _umask_as_before() -> Iterator[None]:
    """Agents choose theirs when they start, in this very process where a test calls their entry point."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)
