"""
The pieces that every role shares, put together; the only place that reads the clock and makes ids.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from headrace.core.errors import StoreUnavailableError
from headrace.core.plan import Limits
from headrace.core.ports import Dialect
from headrace.dialects.hotglue.access_tokens import HotglueAccessToken
from headrace.dialects.hotglue.discover import HotglueDiscover
from headrace.dialects.hotglue.project import HotglueDialect
from headrace.dialects.hotglue.real_time import HotglueRealTime
from headrace.dialects.intuned.dialect import IntunedDialect
from headrace.dialects.matatika.project import MatatikaDialect
from headrace.engine.procrastinate import ProcrastinateQueue, open_pool
from headrace.services.access import Access
from headrace.services.admission import Admission
from headrace.services.announcements import Announcements
from headrace.services.attempts import Attempts
from headrace.services.deployments import Deployments
from headrace.services.flows import Flows
from headrace.services.job_keys import JobKeys
from headrace.services.jobs import Jobs
from headrace.services.retention import Retention
from headrace.settings import Settings
from headrace.store.connections import Connections
from headrace.store.database import Database
from headrace.store.deliveries import Deliveries
from headrace.store.deployments import Deployments as DeploymentStore
from headrace.store.files import FileStore
from headrace.store.logs import Logs
from headrace.store.nodes import Nodes
from headrace.store.sealing import Sealer, load_or_make_keys, parse_keys
from headrace.store.workspaces import Workspaces

log = structlog.get_logger(__name__)


def now() -> datetime:
    return datetime.now(UTC)


def dialects() -> dict[str, Dialect]:
    """
    Give every dialect by name.
    """
    known: list[Dialect] = [
        HotglueDialect(),
        HotglueDiscover(),
        HotglueAccessToken(),
        HotglueRealTime(),
        IntunedDialect(),
        MatatikaDialect(),
    ]
    return {dialect.name: dialect for dialect in known}


def new_id() -> UUID:
    """
    Make an id whose order is that of its making (RFC 9562 version 7), so that indexes grow at their end.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | secrets.randbits(80)
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything the roles share, opened."""

    settings: Settings
    database: Database
    sealer: Sealer
    files: FileStore
    logs: Logs
    workspaces: Workspaces
    connections: Connections
    deliveries: Deliveries
    queue: ProcrastinateQueue
    admission: Admission
    announcements: Announcements
    access: Access
    jobs: Jobs
    attempts: Attempts
    flows: Flows
    deployments: Deployments
    retention: Retention
    nodes: Nodes

    async def not_ready(self) -> Sequence[str]:
        """
        Say why this process should get no requests yet.
        """
        reasons = []
        try:
            await self.database.one("select 1 as one")
        except StoreUnavailableError as error:
            reasons.append(error.reason)
        if not self.flows.loaded:
            reasons.append("The definitions are not loaded yet.")
        return reasons


@asynccontextmanager
async def parts(settings: Settings, url: str) -> AsyncIterator[Parts]:
    """
    Open the database and build the services over it.
    """
    home = settings.home.absolute()
    if settings.secret_keys:
        sealer = Sealer(parse_keys(settings.secret_keys.get_secret_value()))
    else:
        sealer = Sealer(await asyncio.to_thread(load_or_make_keys, home / "secret.keys"))
    database = Database(url, size=settings.database_pool)
    engine_pool = open_pool(url)
    async with AsyncExitStack() as stack:
        await database.open()
        stack.push_async_callback(database.close)
        await engine_pool.open()
        stack.push_async_callback(engine_pool.close)
        files = FileStore(
            settings.storage_url or str(home / "files"),
            scratch=home / "scratch",
            options=dict(settings.storage_options),
        )
        logs = Logs(database, files)
        workspaces = Workspaces(database)
        connections = Connections(database, sealer)
        queue = ProcrastinateQueue(engine_pool)
        admission = Admission(database, queue)
        announcements = Announcements(database, workspaces, sealer, dialects(), monotonic=time.monotonic, new_id=new_id)
        flows = Flows(
            database,
            sealer,
            workspaces,
            connections,
            files,
            folder=settings.project.absolute() if settings.project else None,
            home=home,
            environ=os.environ,
            new_id=new_id,
        )
        yield Parts(
            settings=settings,
            database=database,
            sealer=sealer,
            files=files,
            logs=logs,
            workspaces=workspaces,
            connections=connections,
            deliveries=Deliveries(database),
            queue=queue,
            admission=admission,
            announcements=announcements,
            access=Access(workspaces, monotonic=time.monotonic, new_id=new_id, job_keys=JobKeys(database, sealer)),
            jobs=Jobs(database, sealer, queue, admission, announcements, logs),
            attempts=Attempts(database, sealer, connections, announcements, admission),
            flows=flows,
            deployments=Deployments(database, DeploymentStore(database, sealer), flows, files),
            retention=Retention(
                database,
                files,
                keep_for=timedelta(days=settings.history_days) if settings.history_days else None,
            ),
            nodes=Nodes(database, ttl_seconds=settings.worker_ttl_seconds),
        )


def limits_of(settings: Settings) -> Limits:
    """
    Give the limits of a step for which no definition sets any.
    """
    return Limits(
        wall_seconds=settings.wall_seconds,
        no_progress_seconds=settings.no_progress_seconds,
        memory_bytes=settings.memory_bytes,
        log_bytes=settings.log_bytes,
        grace_seconds=settings.grace_seconds,
    )


def _end_with(duty: asyncio.Task[None]) -> None:
    if not duty.cancelled():
        log.critical("duty ended", duty=repr(duty.get_coro()), exc_info=duty.exception())
        os.kill(os.getpid(), signal.SIGTERM)


@asynccontextmanager
async def background(duties: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """
    Run duties beside the block; they are cancelled when it is left.

    No duty ends by itself. One that does has a defect, and a process that goes on without it looks well and is not: it ends, as
    it would when asked to, so that its supervisor starts it anew.
    """
    tasks = [asyncio.create_task(duty) for duty in duties]
    for task in tasks:
        task.add_done_callback(_end_with)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
