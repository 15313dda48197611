"""Fixtures: a gateway in memory-backed folders, its scanner beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4]))

from testbed.sae import FakeClamd, Gateway
from tests.unit.in_memory import in_memory  # noqa: F401 - the fixture tmp_path


@pytest.fixture
def clamd(tmp_path: Path) -> Iterator[FakeClamd]:
    """A scanner that works."""
    scanner = FakeClamd(tmp_path / "clamd.ctl")
    yield scanner
    scanner.stop()


@pytest.fixture
def gateway(tmp_path: Path, clamd: FakeClamd) -> Gateway:
    """A gateway with two accounts, Gondecourt and Loos."""
    return Gateway(tmp_path)
