"""The queue is everybody's, and goes by turns: the many acts of one commune keep waiting neither another's, nor what is
for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from flask import request
from passerelle.queue import THREADS, parts
from passerelle.web import create_app

from creatic_agent.identity import HEADER
from creatic_agent.web import PLACES
from testbed.chain import World
from testbed.connector import Authority
from testbed.patience import wait_for
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


def test_six_requests_of_one_commune_leave_the_database_to_another(world: World, authority: Authority) -> None:
    """They had the six connections of the pages' process, of which two threads waited for nothing."""
    service = (Path(__file__).parents[3] / "roles/passerelle/templates/passerelle-web.service.j2").read_text()
    assert f"--threads {THREADS} " in service
    store, _queue, chain = parts(world.config)
    app = create_app(world.config, store, chain)

    def headers(who: str) -> dict[str, str]:
        return {HEADER: quote((authority.folder / who / "cert.pem").read_text())}

    def announce(number: int) -> None:
        told = {"lettre": number, "recu_le": "2026-11-28", "fichiers": []}
        answers.append(app.test_client().post("/connecteur/lettres", json=told, headers=headers("connecteur")).status)

    answers: list[str] = []
    asking = [threading.Thread(target=announce, args=(rank,)) for rank in range(1, PLACES + 1)]
    waiting = "SELECT count(*) AS held FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    try:
        with psycopg.connect(world.config.database) as slow:
            slow.execute("SELECT pg_advisory_xact_lock(hashtextextended('apport gondecourt', 0))")
            for one in asking:
                one.start()
            wait_for(lambda: slow.execute(waiting).fetchone() == (PLACES,), "six requests that wait")
            began = time.monotonic()
            other = app.test_client().get("/connecteur/lettres", headers=headers("autre-connecteur"))
            assert other.status_code == 200 and time.monotonic() - began < 20
        for one in asking:
            one.join(60)
        assert answers == ["200 OK"] * PLACES
    finally:
        store.close()
