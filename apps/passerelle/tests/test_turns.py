"""The queue is everybody's, and goes by turns: the many acts of one commune keep waiting neither another's, nor what is
for all."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from flask import request

from testbed.chain import World
from testbed.servers import Answer, error

_MANY = 60


def taken() -> None:
    """The parapheur takes its time, as it does for each file."""


def put_off() -> Answer:
    """It never takes what they are, which each is tried again for."""
    return error(503, "Plus tard.")


@pytest.mark.parametrize("answered", [taken, put_off])
def test_the_many_acts_of_one_commune_let_another_s_through(
    world: World, answered: Callable[[], Answer | None]
) -> None:
    """They wait already when the other one is adopted: what looks for it comes first, and its act soon after."""
    for rank in range(_MANY):
        world.deliberations.adopt(f"d{rank}")
    world.chain.arrivals.look()
    deposited: list[str] = []

    def slow() -> Answer | None:
        if request.method != "POST" or not request.path.endswith("/dossiers/"):
            return None
        time.sleep(0.2)  # what the check of a file takes
        deposited.append(request.form["reference"])
        return answered()

    world.parapheur.failure = slow
    other = world.deliberations.adopt("autre", "la-madeleine")
    world.run(lambda: other in deposited or len(deposited) > 3 * _MANY, timeout=120)
    assert deposited.index(other) < _MANY // 2


def test_acts_of_a_commune_keep_their_order(world: World) -> None:
    for rank in range(5):
        world.deliberations.adopt(f"d{rank}")
        world.chain.arrivals.look()
    with world.store.transaction() as connection:
        rows = connection.execute("SELECT lock, priority FROM procrastinate_jobs ORDER BY priority DESC, id").fetchall()
    assert [(row["lock"], row["priority"]) for row in rows] == [(f"deliberations:d{rank}", -rank) for rank in range(5)]
