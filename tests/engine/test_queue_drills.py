"""
What `headrace.core.queue` promises, while processes and the database die.

Worker processes write a trace of what they do (`workload.py`); the judgement is made from that alone, by the database's clock.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from engine_drill import WorkerProcess, prepare, until, value
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from headrace.core.queue import Ticket
from headrace.engine.liveness import LOST_EXIT_CODE
from headrace.engine.procrastinate import ProcrastinateQueue
from headrace.store.embedded import EmbeddedPostgres

Connection = psycopg.AsyncConnection[Any]
StartWorker = Callable[..., WorkerProcess]

TTL_SECONDS = 3.0
BEAT_SECONDS = TTL_SECONDS / 5
EMPTY = "SELECT count(*) = 0 FROM procrastinate_jobs"

# Within a lane, by the order of the trace, every start but the last must be followed by an end of the same job.
OVERLAPS = """
SELECT count(*) FROM (
    SELECT what, job_id, lead(what) OVER lane AS next_what, lead(job_id) OVER lane AS next_job
    FROM trace WHERE lane IS NOT NULL WINDOW lane AS (PARTITION BY lane ORDER BY id)
) AS step
WHERE what = 'start' AND NOT (next_what = 'end' AND next_job = job_id) AND next_what IS NOT NULL
"""

# As above, but a start without an end is what a handler leaves that the restart interrupted.
OVERLAPS_OF_ENDS = """
SELECT count(*) FROM (
    SELECT what, job_id, lag(what) OVER lane AS last_what, lag(job_id) OVER lane AS last_job
    FROM trace WHERE lane IS NOT NULL WINDOW lane AS (PARTITION BY lane ORDER BY id)
) AS step
WHERE what = 'end' AND NOT (last_what = 'start' AND last_job = job_id)
"""


@pytest.fixture(scope="module")
async def own_server() -> AsyncIterator[EmbeddedPostgres]:
    """
    A durable server that a drill may kill.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-drill-", dir="/tmp"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(
        folder / "postgres", user="nobody" if os.getuid() == 0 else None, system_dir=folder / "system"
    )
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(folder)


@pytest.fixture
async def own_url(own_server: EmbeddedPostgres) -> str:
    """
    A database with the engine's schema on that server, for one test.
    """
    url = await own_server.start()
    name = f"drill_{secrets.token_hex(6)}"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    own = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    await prepare(own)
    return own


async def produce(url: str, queue: ProcrastinateQueue, *, seconds: float, lanes: int, hold_seconds: float) -> int:
    """
    Put tickets of random lanes and priorities, four at a time, each in a transaction that stays open for a random while.
    """
    put = 0
    end_at = asyncio.get_running_loop().time() + seconds
    chance = random.Random(7)

    async def producer() -> None:
        nonlocal put
        async with await psycopg.AsyncConnection.connect(url) as own:
            while asyncio.get_running_loop().time() < end_at:
                ticket = Ticket(secrets.token_hex(8), 1, f"lane {chance.randrange(lanes)}", chance.randint(1, 5))
                await queue.put(own, [ticket])
                await asyncio.sleep(chance.random() * hold_seconds)
                await own.commit()
                put += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(producer())
    return put


async def race(url: str, connection: Connection, start_worker: StartWorker, *, seconds: float) -> None:
    queue = ProcrastinateQueue(AsyncConnectionPool(url, open=False))
    workers = [start_worker(url, f"n{number}", slots=8, poll=1) for number in range(4)]
    await until(url, "SELECT count(*) = 4 FROM engine_workers")
    put = await produce(url, queue, seconds=seconds, lanes=8, hold_seconds=0.03)
    await until(url, EMPTY, seconds=60 + seconds)

    assert await value(connection, OVERLAPS) == 0
    assert await value(connection, "SELECT count(DISTINCT job_id) FROM trace WHERE what = 'end'") == put
    assert await value(connection, "SELECT count(*) FROM trace WHERE what = 'end'") == put
    assert all(worker.alive for worker in workers)
    assert all(not worker.log.read_text() for worker in workers)


async def test_workers_race_for_lanes_and_none_overlaps_or_dies(
    url: str, connection: Connection, start_worker: StartWorker
) -> None:
    """
    Four workers, eight lanes, mixed priorities, producers that hold their transactions: each ticket once, one at a time per lane.
    """
    await race(url, connection, start_worker, seconds=2)


@pytest.mark.chaos
async def test_workers_race_for_lanes_for_long(url: str, connection: Connection, start_worker: StartWorker) -> None:
    """
    The same for a minute.
    """
    await race(url, connection, start_worker, seconds=60)


async def test_a_killed_worker_is_taken_over_within_the_time_to_live_and_a_beat(
    url: str, connection: Connection, queue: ProcrastinateQueue, start_worker: StartWorker
) -> None:
    """
    kill -9: by the database's clock the next start comes no later than ttl + one beat after the death.
    """
    first = start_worker(url, "first", hold=60, ttl=TTL_SECONDS)
    await until(url, "SELECT count(*) = 1 FROM engine_workers")
    await queue.put(connection, [Ticket("a", 1, "lane")])
    await connection.commit()
    await until(url, "SELECT count(*) = 1 FROM trace WHERE what = 'start'")
    start_worker(url, "second", hold=0, ttl=TTL_SECONDS)
    await until(url, "SELECT count(*) = 2 FROM engine_workers")
    died_at = await value(connection, "SELECT clock_timestamp()")
    await connection.commit()
    first.end()
    await until(url, EMPTY)

    ends = await value(connection, "SELECT string_agg(node, ' ') FROM trace WHERE what = 'end'")
    taken_over_at = await value(connection, "SELECT max(at) FROM trace WHERE what = 'start'")
    assert ends == "second"
    # One second for a busy machine to start a handler in.
    assert (taken_over_at - died_at).total_seconds() < TTL_SECONDS + BEAT_SECONDS + 1.0


async def test_a_worker_that_slept_finds_itself_fenced(
    url: str, connection: Connection, queue: ProcrastinateQueue, start_worker: StartWorker
) -> None:
    """
    SIGSTOP past the time to live: another takes over; woken up, the first ends its children and itself and writes nothing.
    """
    sleeper = start_worker(url, "sleeper", hold=TTL_SECONDS, ttl=TTL_SECONDS)
    await until(url, "SELECT count(*) = 1 FROM engine_workers")
    await queue.put(connection, [Ticket("a", 1, "lane"), Ticket("b", 1, "lane")])
    await connection.commit()
    await until(url, "SELECT count(*) = 1 FROM trace WHERE what = 'start'")
    os.kill(sleeper.pid, signal.SIGSTOP)
    start_worker(url, "other", hold=0.2, ttl=TTL_SECONDS)
    await until(url, "SELECT count(*) >= 1 FROM trace WHERE what = 'start' AND node = 'other'")
    os.kill(sleeper.pid, signal.SIGCONT)
    exit_code = await sleeper.exit_code()
    await until(url, EMPTY)

    assert exit_code == LOST_EXIT_CODE
    assert "lost" in sleeper.log.read_text()
    assert await value(connection, "SELECT count(*) FROM trace WHERE node = 'sleeper'") == 1
    assert await value(connection, "SELECT string_agg(job_id, ' ' ORDER BY id) FROM trace WHERE what = 'end'") == "a b"


async def test_an_immediate_restart_of_the_database_loses_nothing(
    own_server: EmbeddedPostgres, own_url: str, start_worker: StartWorker
) -> None:
    """
    The database dies twice under load: workers live on, each ticket ends exactly once, no two of a lane overlap.
    """
    url = own_url
    workers = [start_worker(url, f"n{number}", slots=8, hold=0.02) for number in range(2)]
    await until(url, "SELECT count(*) = 2 FROM engine_workers")
    for sent in (signal.SIGQUIT, signal.SIGKILL):
        async with await psycopg.AsyncConnection.connect(url) as connection:
            names = [f"{sent.name} {number}" for number in range(120)]
            tickets = [Ticket(name, 1, f"lane {number % 16}") for number, name in enumerate(names)]
            await ProcrastinateQueue(AsyncConnectionPool(url, open=False)).put(connection, tickets)
        await until(url, f"SELECT count(*) > 40 FROM trace WHERE what = 'end' AND job_id LIKE '{sent.name}%'")
        assert own_server.pid is not None
        os.kill(own_server.pid, sent)
        await own_server.watch()
        await own_server.start()
    await until(url, EMPTY, seconds=60)

    async with await psycopg.AsyncConnection.connect(url) as connection:
        ended = await value(connection, "SELECT count(*) FROM trace WHERE what = 'end'")
        assert ended == await value(connection, "SELECT count(DISTINCT job_id) FROM trace WHERE what = 'end'") == 240
        # A job may have started twice: once in a transaction that the restart undid.
        assert await value(connection, OVERLAPS_OF_ENDS) == 0
    assert all(worker.alive for worker in workers)


async def outage(
    own_server: EmbeddedPostgres, url: str, start_worker: StartWorker, *, seconds: float, ttl: float
) -> None:
    worker = start_worker(url, "here", slots=2, hold=0.7 * ttl, ttl=ttl)  # cancelled at 0.6
    await until(url, "SELECT count(*) = 1 FROM engine_workers")
    async with await psycopg.AsyncConnection.connect(url) as connection:
        tickets = [Ticket("a", 1, "lane"), Ticket("b", 1, "lane"), Ticket("c", 1)]
        await ProcrastinateQueue(AsyncConnectionPool(url, open=False)).put(connection, tickets)
    await until(url, "SELECT count(*) = 2 FROM trace WHERE what = 'start'")
    await own_server.stop()
    await asyncio.sleep(seconds)  # the drill itself: how long the database is away
    await own_server.start()
    await until(url, EMPTY)

    async with await psycopg.AsyncConnection.connect(url) as connection:
        ends = await value(connection, "SELECT string_agg(job_id, ' ' ORDER BY job_id) FROM trace WHERE what = 'end'")
        members = await value(connection, "SELECT count(DISTINCT worker_id) FROM trace")
        assert await value(connection, OVERLAPS_OF_ENDS) == 0
    assert ends == "a b c"
    assert members == 2
    assert worker.alive
    text = worker.log.read_text()
    assert text.count("\nlost ") == 1
    assert text.count("trying again until it does") <= 2  # once by the worker, once by the one that follows it


async def test_a_worker_outlives_an_outage_but_its_membership_and_children_do_not(
    own_server: EmbeddedPostgres, own_url: str, start_worker: StartWorker
) -> None:
    """
    Out of contact for longer than the time to live: children are ended, the process stays, joins again and does the work anew.
    """
    await outage(own_server, own_url, start_worker, seconds=TTL_SECONDS + 1, ttl=TTL_SECONDS)


@pytest.mark.chaos
async def test_a_worker_outlives_an_outage_of_a_minute(
    own_server: EmbeddedPostgres, own_url: str, start_worker: StartWorker
) -> None:
    """
    The same with the times that are the default.
    """
    await outage(own_server, own_url, start_worker, seconds=60, ttl=10.0)


async def test_a_worker_whose_event_loop_is_stuck_ends_its_children_and_itself(
    url: str, connection: Connection, queue: ProcrastinateQueue, start_worker: StartWorker
) -> None:
    """
    No heartbeat, however alive the process is: it is gone before another takes over.
    """
    stuck = start_worker(url, "stuck", hold=-1, ttl=TTL_SECONDS)
    await until(url, "SELECT count(*) = 1 FROM engine_workers")
    await queue.put(connection, [Ticket("a", 1, "lane")])
    await connection.commit()
    exit_code = await stuck.exit_code()
    died_at = await value(connection, "SELECT clock_timestamp()")
    await connection.commit()
    start_worker(url, "other", hold=0, ttl=TTL_SECONDS)
    await until(url, EMPTY)

    taken_over_at = await value(connection, "SELECT max(at) FROM trace WHERE what = 'start'")
    assert exit_code == LOST_EXIT_CODE
    assert "lost" in stuck.log.read_text()
    assert died_at < taken_over_at
