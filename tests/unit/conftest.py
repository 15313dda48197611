"""What every unit test leaves as it found it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _umask_as_before() -> Iterator[None]:
    """Agents choose theirs when they start, in this very process where a test calls their entry point."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)
