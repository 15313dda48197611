"""Fixtures: a gateway in memory-backed folders, its scanner beside it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.unit.archive_gateway.gateway_harness import FakeClamd, Gateway


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """pytest's fixture, in memory where there is some: a versement calls fsync a dozen times."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


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
