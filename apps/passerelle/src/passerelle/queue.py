"""The queue: procrastinate, on the acts' own database. One process works it (systemd sees to that).

It is everybody's: what looks, writes and convenes for all comes first, then the acts, one of each commune in turn.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision, SyncPsycopgConnector
from procrastinate.jobs import Job, Status
from psycopg.rows import tuple_row

from creatic_agent.act import Act

from . import contracts, convocations, eliminations, executory, filing, letters, mail, metrics, register, returns
from .chain import Chain
from .config import Config
from .errors import Away, HandoverError, Refused
from .files import Files
from .mail import Post, Recall
from .steps import after
from .store import SCHEMA, Store

log = logging.getLogger("passerelle")
for _name in ("procrastinate", "psycopg.pool"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # not a line for each job
_ADVANCE, _LOOK, _WRITE, _ELIMINATE = "avancer", "relever", "écrire", "éliminer"
_CONVENE, _COUNCIL, _RECALL, _FILE = "convoquer", "conseil", "rappeler", "classer"
_STUCK = 1200  # seconds after which a job that is not finished is nobody's: its end could not be written
# What the table of acts says of itself once `Queue._bring_back` is done.
_LAST = "publication en dernier"
_FIRST = 1  # priority of what is for all; acts have 0, and less of a commune that has others waiting
_AHEAD = """SELECT count(*) FROM (SELECT 1 FROM procrastinate_jobs AS job JOIN acte ON acte.reference = job.lock
  WHERE job.status IN ('todo', 'doing') AND acte.commune = (SELECT commune FROM acte WHERE reference = %s)
  LIMIT 1000) AS waiting"""
THREADS = 8
"""Of the pages' process (role passerelle): each has its connection, so that a SIREN with six requests leaves two."""
_ATTEMPTS = 8  # of what should not happen; a server that is away is waited for without end


class Retry(BaseRetryStrategy):
    """Twice as long each time, up to a limit."""

    def __init__(self, config: Config) -> None:
        self._first, self._longest = config.retry, config.retry_max

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        """When a failed job is tried again: always, `Queue.advance` having put aside what must not be."""
        delay = min(self._longest, self._first * 2 ** min(job.attempts, 16))
        return RetryDecision(retry_in={"milliseconds": int(delay * 1000)})


class Queue:
    """Jobs put in the queue with what they are about, in one transaction."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._app = App(connector=SyncPsycopgConnector(conninfo=config.database))

    def defer(self, connection: psycopg.Connection[Any], reference: str) -> None:
        """Have an act's next hand-over made, one at a time for each act, after those of its commune that wait."""
        with connection.cursor(row_factory=tuple_row) as cursor:
            [(ahead,)] = cursor.execute(_AHEAD, (reference,)).fetchall()
        task = self._app.configure_task(_ADVANCE, lock=reference, connection=connection, priority=-ahead)
        task.defer(reference=reference)

    def hurry(self, reference: str) -> None:
        """Forget the tries that wait for their hour: another one was just put in the queue."""
        with self._app.open():
            later = [job for job in self._app.job_manager.list_jobs(lock=reference, status="todo") if job.scheduled_at]
            for job in later:
                self._app.job_manager.cancel_job_by_id(job.id or 0, delete_job=True)

    def prepare(self) -> None:
        """Make the tables that are not there yet."""
        with psycopg.connect(self._config.database) as connection:
            connection.execute(SCHEMA)
            connection.execute(returns.SCHEMA)
            connection.execute(letters.SCHEMA)
            connection.execute(eliminations.SCHEMA)
            connection.execute(register.SCHEMA)
            connection.execute(convocations.SCHEMA)
            connection.execute(contracts.SCHEMA)
            connection.execute(executory.SCHEMA.encode())
            connection.execute(mail.SCHEMA)
            register.part(connection)
            register.catch_up(connection)
            self._bring_back(connection)
            made = connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()
        if made == (None,):
            with self._app.open():
                self._app.schema_manager.apply_schema()

    def _bring_back(self, connection: psycopg.Connection[Any]) -> None:
        """Once: acts that wait at the publication since it came before the GED and the versement still have these."""
        [told] = connection.execute("SELECT obj_description('acte'::regclass, 'pg_class')").fetchall()
        if told == (_LAST,):
            return
        waiting = connection.execute("SELECT reference, commune, donnees FROM acte WHERE etape = 'publication'")
        for reference, commune, data in waiting.fetchall():
            act = Act.from_wire(data)
            step = after("aracte", self._config, commune, act.circuit, act.goes)
            Store.change(connection, reference, step=step)
        connection.execute(psycopg.sql.SQL("COMMENT ON TABLE acte IS {}").format(_LAST))

    def recover(self) -> int:
        """Put back what a killed process was doing; for the one process that works, before it begins."""
        return asyncio.run(self._recover())

    async def _recover(self) -> int:
        async with App(connector=PsycopgConnector(conninfo=self._config.database)).open_async() as app:
            found = list(await app.job_manager.list_jobs_async(status="doing"))
            for job in found:
                if job.queueing_lock:  # a look that was cut short: another one may wait already, the next is near
                    await app.job_manager.finish_job_by_id_async(job.id or 0, Status.FAILED, delete_job=True)
                else:
                    await app.job_manager.retry_job_by_id_async(job.id or 0, retry_at=datetime.now(UTC))
        return len(found)

    def work(self, chain: Chain, store: Store, **options: Any) -> None:
        """Work until SIGTERM. Raises psycopg.Error, ConnectorException when the database goes away."""
        app = App(connector=PsycopgConnector(conninfo=self._config.database))
        post = Post(self._config, letters.Letters(store, Files(self._config.folder)))

        @app.task(name=_ADVANCE, retry=Retry(self._config))
        def _avancer(reference: str) -> None:
            advance(chain, reference)

        @app.periodic(cron=_cron(self._config.look_every))
        @app.task(name=_LOOK, queueing_lock=_LOOK, lock=_LOOK, priority=_FIRST)
        def _relever(timestamp: int) -> None:
            try:
                chain.arrivals.look()
            except Exception as error:  # noqa: BLE001 # logged; the periodic job runs again
                log.warning("Relève incomplète : %s", error)
            metrics.publish(self._config, store)
            if store.stuck(_STUCK):
                log.error("Un travail ne finit pas : la passerelle repart.")
                os.kill(os.getpid(), signal.SIGTERM)

        gone = eliminations.Eliminations(self._config, store, Files(self._config.folder))
        papers = filing.Filing(self._config, store, Files(self._config.folder), chain.servers.ged)
        summons = convocations.Convocations(self._config, store, chain.servers.deliberations)

        def council() -> None:
            here = "deliberations" in self._config.servers
            metrics.publish_council(self._config, chain.servers.deliberations().council() if here else None)

        minute = "* * * * *"
        _turn(app, _WRITE, minute, lambda: post.send(datetime.now(letters.PARIS).date()), "Courriels non partis")
        recall = Recall(self._config, store, post)
        hourly = "17 * * * *"
        _turn(app, _RECALL, hourly, lambda: recall.send(datetime.now(letters.PARIS).date()), "Rappels non partis")
        _turn(app, _ELIMINATE, minute, gone.work, "Éliminations en attente")
        if "ged" in self._config.servers:
            _turn(app, _FILE, "*/5 * * * *", papers.turn, "Courriers pas encore classés dans la GED")
        _turn(app, _CONVENE, minute, summons.turn, "Convocations non envoyées")
        _turn(app, _COUNCIL, "*/15 * * * *", council, "Échéances des conseils non relevées")
        app.run_worker(
            concurrency=self._config.concurrency,
            delete_jobs="successful",
            fetch_job_polling_interval=1.0,
            shutdown_graceful_timeout=60.0,
            **options,
        )


def _turn(app: App, name: str, cron: str, work: Callable[[], object], failed: str) -> None:
    """Have something done again and again, one at a time; what fails is told (French), and waits for the next turn."""

    @app.periodic(cron=cron)
    @app.task(name=name, queueing_lock=name, lock=name, priority=_FIRST)
    def _done(timestamp: int) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 # logged; the periodic job runs again
            log.warning("%s : %s", failed, error)


def advance(chain: Chain, reference: str) -> None:
    """Make an act's hand-overs until one is not due.

    What is to be tried again is raised; what is not goes to the dead letters.
    """
    try:
        while chain.advance(reference):
            pass
    except Away as error:
        chain.delay(reference, str(error))
        raise
    except psycopg.OperationalError:
        raise
    except Exception as error:
        expected = isinstance(error, HandoverError)
        known = str(error) if expected else f"erreur inattendue ({error!r})"
        if not isinstance(error, Refused) and chain.delay(reference, known, failed=True) < _ATTEMPTS:
            raise
        log.error("« %s » est mis de côté : %s", reference, known, exc_info=not expected)
        chain.block(reference, known[:1].upper() + known[1:])


def _cron(seconds: int) -> str:
    """A look every so many seconds, as croniter says it (seconds last)."""
    return f"* * * * * */{seconds}" if seconds < 60 else f"*/{seconds // 60} * * * *"


@contextmanager
def alone(config: Config) -> Iterator[None]:
    """Refuse to work beside another process. Raises BlockingIOError."""
    with (config.folder / "verrou").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def parts(config: Config, **options: Any) -> tuple[Store, Queue, Chain]:
    """The store, the queue and the chain of a configuration."""
    store, queue = Store(config.database, connections=max(config.concurrency + 2, THREADS)), Queue(config)
    return store, queue, Chain(config, store, Files(config.folder), queue.defer, **options)
