"""The fuzz run, a part of scripts/test by its name: what comes from outside, spoilt at random, for each parser.

Bounded: so many examples for each (CREATIC_FUZZ, 300 by default), a time of the processor for each example, and memory
for all. What was found once is kept in .cache/fuzz, and tried first.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.unit.in_memory import in_memory  # noqa: F401 - the fixture tmp_path

FOUND = Path(__file__).parents[2] / ".cache" / "fuzz"
MEMORY = 3 << 30  # bytes of data that the whole run may have

settings.register_profile(
    "creatic",
    max_examples=int(os.environ.get("CREATIC_FUZZ") or 300),
    deadline=None,  # the processor's time is asked instead (spoilt.py): this machine may be at something else
    database=DirectoryBasedExampleDatabase(FOUND),
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("creatic")


@pytest.fixture(scope="session", autouse=True)
def bounded_memory() -> Iterator[None]:
    """A parser that fills the memory ends in a MemoryError, which is a traceback."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)
