"""What anybody sends to a door writes nothing in its machine's journal, nor in its share of the collector."""

from __future__ import annotations

from pathlib import Path

ROLES = Path(__file__).parents[3] / "roles"


def test_no_door_says_what_it_could_not_read() -> None:
    """At any other level, gunicorn writes of each request that is none: its method, up to four kilobytes of it."""
    told = {
        line: path.name
        for path in ROLES.glob("*/templates/*.service.j2")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("ExecStart=") and "gunicorn " in line
    }
    assert len(told) >= 5
    assert [name for line, name in told.items() if " --log-level error " not in line] == []
