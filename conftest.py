"""The costliest tests take turns in whole runs."""

from __future__ import annotations

import pytest

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
