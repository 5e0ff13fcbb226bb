"""
A database with the engine's schema, and workers in this process or as processes of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from engine_drill import DEADLINE_SECONDS, LISTENING, WorkerProcess, prepare, until
from psycopg_pool import AsyncConnectionPool

from headrace.core.queue import Handler
from headrace.engine.liveness import Liveness
from headrace.engine.procrastinate import Node, ProcrastinateQueue, open_pool


@pytest.fixture
async def url(empty_database_url: str) -> str:
    await prepare(empty_database_url)
    return empty_database_url


@pytest.fixture
async def connection(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """
    A connection without autocommit: what a test does on it is one transaction until it commits.
    """
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield connection


@pytest.fixture
async def pool(url: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    async with open_pool(url) as pool:
        yield pool


@pytest.fixture
def queue(pool: AsyncConnectionPool[Any]) -> ProcrastinateQueue:
    return ProcrastinateQueue(pool)


@pytest.fixture
def working(queue: ProcrastinateQueue, url: str) -> Callable[..., Any]:
    """
    Run a handler as a worker in this process for the length of a `with`; it listens when it is entered.

    Only announcements can explain progress: it polls once a minute, and its heart beats seldom, unless the test says otherwise.
    """

    @asynccontextmanager
    async def working(handler: Handler, *, slots: int = 4, **options: Any) -> AsyncIterator[asyncio.Event]:
        seldom: dict[str, Any] = {"poll_seconds": 60.0, "liveness": Liveness(ttl_seconds=240.0, beat_seconds=60.0)}
        node = Node(name="here", slots=slots, on_lost=_never, **{**seldom, **options})
        stop = asyncio.Event()
        worker = asyncio.create_task(queue.work(handler, node=node, stop=stop))
        try:
            await until(url, f"SELECT count(*) > 0 {LISTENING}")
            yield stop
        finally:
            stop.set()
            async with asyncio.timeout(DEADLINE_SECONDS):
                await worker

    return working


def _never(reason: str) -> None:
    raise AssertionError(reason)


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    workers: list[WorkerProcess] = []

    def start(url: str, node: str, **options: float) -> WorkerProcess:
        workers.append(WorkerProcess(url, node, tmp_path / f"{node}.log", **options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()
        print(f"--- {worker.node}\n{worker.log.read_text()}")
