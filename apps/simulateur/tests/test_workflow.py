"""Statuses as a pure function of time."""

from __future__ import annotations

import pytest
from tdt_simulator.workflow import SENT, Kind, acte_steps, current, helios_steps


def at(seconds: float, **options: object) -> int:
    """Return the status of an act posted at 100, ten seconds a step."""
    held = options.pop("held_since", None)
    steps = acte_steps(Kind.ACTE, 100, 100, 10, **options)  # type: ignore[arg-type] # options of acte_steps
    return current(steps, 100 + seconds, held).status  # type: ignore[arg-type] # a time or None


@pytest.mark.parametrize(
    ("seconds", "status"), [(-5, 1), (0, 1), (9.9, 1), (10, 2), (20, 3), (29.9, 3), (30, 4), (1e9, 4)]
)
def test_act(seconds: float, status: int) -> None:
    assert at(seconds) == status


def test_refused_act() -> None:
    assert [at(seconds, anomaly="non") for seconds in (0, 10, 20, 30)] == [1, 2, 3, -1]


def test_held_act_is_the_one_not_answered_yet() -> None:
    assert at(99, held_since=125) == SENT
    assert at(99, held_since=90) == SENT
    assert at(5, held_since=90) == 1
    assert at(99, held_since=131) == 4
    assert at(99, held_since=125, anomaly="non") == SENT


def test_waiting_act_waits() -> None:
    assert current(acte_steps(Kind.ACTE, 100, None, 10), 1e9).status == 17


def test_no_delay_goes_straight_to_the_end() -> None:
    assert current(acte_steps(Kind.ACTE, 100, 100, 0), 100).status == 4


def test_pes() -> None:
    assert [current(helios_steps(0, 10), now).status for now in (0, 10, 20, 30)] == [1, 2, 3, 8]
    assert current(helios_steps(0, 10, answer=4), 30).status == 4
    assert [current(helios_steps(0, 10, "non"), now).status for now in (0, 10, 20)] == [1, 2, -1]
