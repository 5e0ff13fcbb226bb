"""
How fast tickets go through the engine, beside the least that PostgreSQL can do for the same: a table and SKIP LOCKED.

The yardstick is a queue without lanes, heartbeat, take-over or history: its figures say what the machine gives, not what to aim at.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

from headrace.core.queue import Claim, Ticket
from headrace.engine.liveness import Liveness
from headrace.engine.procrastinate import Node, ProcrastinateQueue, open_pool, schema_sql
from headrace.store.embedded import EmbeddedPostgres

Connection = psycopg.AsyncConnection[Any]
Figure = dict[str, Any]

SLOTS = 20
BULK = 10_000
NO_OPS = 2_000
SINGLES = 300
CHAIN = 100
RAW_TABLE = "CREATE TABLE raw (id bigserial PRIMARY KEY, body jsonb)"
RAW_TAKE = "DELETE FROM raw WHERE id = (SELECT id FROM raw ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING body"


def run() -> list[Figure]:
    """
    Measure on a durable server of its own, which is gone afterwards; takes about a minute.
    """
    return asyncio.run(_run())


async def _run() -> list[Figure]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-", dir="/tmp"))
    folder.chmod(0o711)
    user = "nobody" if os.getuid() == 0 else None
    server = EmbeddedPostgres(folder / "postgres", user=user, system_dir=folder / "system")
    url = await server.start()
    try:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute(schema_sql())
            await connection.execute(RAW_TABLE)
            await connection.commit()
            return [
                await bulk(connection),
                await no_ops(url, connection),
                *await latency(url, connection),
                await chain(url, connection),
                await take_over(url, connection),
            ]
    finally:
        await server.stop()
        await asyncio.to_thread(shutil.rmtree, folder)


async def bulk(connection: Connection) -> Figure:
    queue = ProcrastinateQueue(AsyncConnectionPool("", open=False))
    tickets = [Ticket(f"job {number}", 1, f"lane {number}") for number in range(BULK)]

    async def ours() -> None:
        for start in range(0, BULK, 500):
            await queue.put(connection, tickets[start : start + 500])
            await connection.commit()

    async def raw() -> None:
        for start in range(0, BULK, 500):
            bodies = [json.dumps({"job_id": ticket.job_id}) for ticket in tickets[start : start + 500]]
            await connection.execute("INSERT INTO raw (body) SELECT unnest(%s::jsonb[])", (bodies,))
            await connection.commit()

    figure = rate("tickets put, 500 per transaction", BULK / await seconds(ours), BULK / await seconds(raw))
    await connection.execute("TRUNCATE procrastinate_jobs CASCADE")
    await connection.execute("TRUNCATE raw")
    await connection.commit()
    return figure


async def no_ops(url: str, connection: Connection) -> Figure:
    started = Started()
    queue = ProcrastinateQueue(AsyncConnectionPool("", open=False))
    await queue.put(connection, [Ticket(f"job {number}", 1) for number in range(NO_OPS)])
    await connection.execute("INSERT INTO raw (body) SELECT '{}' FROM generate_series(1, %s)", (NO_OPS,))
    await connection.commit()

    async def ours() -> None:
        async with working(url, started):
            await started.times(NO_OPS)

    async def raw() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):  # as many connections as the engine's pool has
                group.create_task(drain_raw(url))

    figure = rate("no-op tickets done, one worker", NO_OPS / await seconds(ours), NO_OPS / await seconds(raw))
    return {**figure, "note": f"{SLOTS} slots; joining and leaving included"}


async def latency(url: str, connection: Connection) -> list[Figure]:
    started = Started()
    async with working(url, started) as queue:
        ours = []
        for number in range(SINGLES):
            await queue.put(connection, [Ticket(f"job {number}", 1)])
            await connection.commit()
            committed_at = time.perf_counter()
            await started.times(number + 1)
            ours.append((started.at[-1] - committed_at) * 1000)
            await asyncio.sleep(0.005)
    raw = await raw_latency(url, connection)
    return [
        delay("commit to handler, idle, p50", statistics.median(ours), statistics.median(raw)),
        delay("commit to handler, idle, p99", p99(ours), p99(raw)),
    ]


async def chain(url: str, connection: Connection) -> Figure:
    """
    From the end of one ticket's handler to the start of the next of its lane.
    """
    started, ended = Started(), Started()

    async def handle(ticket: Ticket, claim: Claim) -> None:
        await started(ticket, claim)
        await asyncio.sleep(0.005)
        await ended(ticket, claim)

    async with working(url, handle) as queue:
        await queue.put(connection, [Ticket(f"job {number}", 1, "lane") for number in range(CHAIN)])
        await connection.commit()
        await ended.times(CHAIN)
    gaps = [(start - end) * 1000 for end, start in zip(ended.at, started.at[1:], strict=False)]
    return delay("end of a handler to the next of its lane, p50", statistics.median(gaps), None)


async def take_over(url: str, connection: Connection) -> Figure:
    """
    From kill -9 of a worker process to the start of its ticket elsewhere, with the times that are the default.
    """
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.engine", url, cwd=Path(__file__).parents[1]
    )
    await until(connection, "SELECT count(*) = 1 FROM engine_workers")
    queue = ProcrastinateQueue(AsyncConnectionPool("", open=False))
    await queue.put(connection, [Ticket("job", 1, "lane")])
    await connection.commit()
    await until(connection, "SELECT count(*) = 1 FROM procrastinate_jobs WHERE status = 'doing'")
    started = Started()
    async with working(url, started) as survivor:
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
        died_at = time.perf_counter()
        while not await survivor.reap(Liveness().ttl_seconds):  # noqa: ASYNC110 - what a rescuer does
            await asyncio.sleep(Liveness().beat_seconds)
        await started.times(1)
    figure = delay("take-over after kill -9", started.at[0] - died_at, None)
    return {**figure, "unit": "s", "note": f"time to live {Liveness().ttl_seconds:g} s; goal 15 s"}


class Started:
    """
    A handler that notes when it was called.
    """

    def __init__(self) -> None:
        self.at: list[float] = []
        self._called = asyncio.Condition()

    async def __call__(self, ticket: Ticket, claim: Claim) -> None:
        self.at.append(time.perf_counter())
        async with self._called:
            self._called.notify_all()

    async def times(self, count: int) -> None:
        async with asyncio.timeout(120), self._called:
            await self._called.wait_for(lambda: len(self.at) >= count)


@asynccontextmanager
async def working(url: str, handler: Callable[[Ticket, Claim], Awaitable[None]]) -> AsyncIterator[ProcrastinateQueue]:
    stop = asyncio.Event()
    async with open_pool(url) as pool:
        queue = ProcrastinateQueue(pool)
        node = Node(name="bench", slots=SLOTS, on_lost=print)
        worker = asyncio.create_task(queue.work(handler, node=node, stop=stop))
        while queue.worker_id is None:  # noqa: ASYNC110 - joining is announced to nobody
            await asyncio.sleep(0.001)
        yield queue
        stop.set()
        await worker


async def drain_raw(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        while await (await own.execute(RAW_TAKE)).fetchone():
            pass


async def raw_latency(url: str, connection: Connection) -> list[float]:
    milliseconds = []
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as ears,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as hands,
    ):
        await ears.execute("LISTEN raw")
        for _ in range(SINGLES):
            await connection.execute("INSERT INTO raw (body) VALUES ('{}')")
            await connection.execute("NOTIFY raw")
            await connection.commit()
            committed_at = time.perf_counter()
            async for _ in ears.notifies(stop_after=1):
                await hands.execute(RAW_TAKE)
            milliseconds.append((time.perf_counter() - committed_at) * 1000)
            await asyncio.sleep(0.005)
    return milliseconds


async def until(connection: Connection, condition: str) -> None:
    async with asyncio.timeout(30):
        while True:
            row = await (await connection.execute(condition)).fetchone()
            await connection.commit()
            if row and row[0]:
                return
            await asyncio.sleep(0.02)


async def seconds(work: Callable[[], Awaitable[None]]) -> float:
    began_at = time.perf_counter()
    await work()
    return time.perf_counter() - began_at


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def rate(name: str, value: float, raw: float) -> Figure:
    return {
        "name": name, "value": round(value), "unit": "1/s", "ratio": round(value / raw, 3),
        "yardstick": f"SKIP LOCKED loop: {raw:.0f}/s", "note": "",
    }  # fmt: skip


def delay(name: str, value: float, raw: float | None) -> Figure:
    return {
        "name": name, "value": round(value, 2), "unit": "ms", "ratio": round(value / raw, 2) if raw else None,
        "yardstick": f"NOTIFY and SKIP LOCKED: {raw:.2f} ms" if raw else "", "note": "",
    }  # fmt: skip


async def hold(url: str) -> None:
    """
    Be the worker that is killed: it takes a ticket and keeps it.
    """

    async def handle(ticket: Ticket, claim: Claim) -> None:
        await asyncio.Event().wait()

    async with working(url, handle):
        await asyncio.Event().wait()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(hold(sys.argv[1]))
    else:
        print(json.dumps(run(), indent=2))
