"""
Puts the pieces together; the only place that reads the clock, makes ids and knows every room.

    up      supervisor: embedded PostgreSQL, one `serve` and one `worker` process, restarted when they die
    serve   API, definitions, admission, deliveries
    worker  runs jobs; rescues those of workers that are gone
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from headrace.api.routes import api_wire
from headrace.core.errors import InvalidError, StoreUnavailableError
from headrace.core.plan import Limits
from headrace.core.ports import Dialect
from headrace.deliveries.dispatcher import Dispatcher
from headrace.deliveries.webhook import WebhookSender
from headrace.dialects.hotglue.after_link import AfterLink
from headrace.dialects.hotglue.compile import DIALECT as HOTGLUE
from headrace.dialects.hotglue.compile_v2 import read_connector_run
from headrace.dialects.hotglue.discover import Discovers, HotglueDiscover
from headrace.dialects.hotglue.doors import Doors
from headrace.dialects.hotglue.linking_wire import show_change
from headrace.dialects.hotglue.project import HotglueDialect
from headrace.dialects.hotglue.routes import hotglue_wire
from headrace.dialects.hotglue.run import RunFlows
from headrace.dialects.hotglue.schedules import SubmitScheduled
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.engine.command_steps import CommandSteps
from headrace.engine.executor import Executor
from headrace.engine.liveness import LOST_EXIT_CODE, Liveness
from headrace.engine.procrastinate import Node, ProcrastinateQueue, open_pool
from headrace.engine.ticker import Ticker
from headrace.engine.toolbox import Toolbox
from headrace.engine.worker import Worker, lasting
from headrace.http.server import create_app
from headrace.http.services_bundle import Services
from headrace.loop import every
from headrace.runners.environments import Environments
from headrace.runners.process import ShimPool
from headrace.services.access import Access
from headrace.services.admission import Admission
from headrace.services.announcements import Announcements
from headrace.services.attempts import Attempts
from headrace.services.connections import Linking
from headrace.services.flows import Flows
from headrace.services.jobs import Jobs
from headrace.services.pipeline_states import PipelineStates
from headrace.services.retention import Retention
from headrace.services.schedules import Schedules
from headrace.services.tenant_tokens import TenantTokens
from headrace.services.tenants import Tenants
from headrace.settings import Settings, load_settings
from headrace.store.connections import Connections
from headrace.store.database import Database, migrate
from headrace.store.deliveries import Deliveries
from headrace.store.files import FileStore
from headrace.store.logs import Logs
from headrace.store.nodes import Nodes
from headrace.store.schedules import Schedules as ScheduleStore
from headrace.store.sealing import Sealer, load_or_make_keys, parse_keys
from headrace.store.tenants import Tenants as TenantStore
from headrace.store.token_signing import TokenSigning
from headrace.store.workspaces import Workspaces
from headrace.telemetry import configure_logging
from headrace.up import LISTEN_FD, PARENT_FD

log = structlog.get_logger(__name__)

_WARM_SHIMS = 4  # 6 MB each; a burst beyond them pays a cold start


def now() -> datetime:
    return datetime.now(UTC)


def dialects() -> dict[str, Dialect]:
    """
    Give every dialect by name.
    """
    known: list[Dialect] = [HotglueDialect(), HotglueDiscover()]
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
            access=Access(workspaces, monotonic=time.monotonic, new_id=new_id),
            jobs=Jobs(database, sealer, queue, admission, announcements, logs),
            attempts=Attempts(database, sealer, connections, announcements, admission),
            flows=Flows(
                database,
                sealer,
                workspaces,
                connections,
                files,
                folder=settings.project.absolute() if settings.project else None,
                home=home,
                environ=os.environ,
                new_id=new_id,
            ),
            retention=Retention(
                database,
                files,
                keep_for=timedelta(days=settings.history_days) if settings.history_days else None,
            ),
            nodes=Nodes(database, ttl_seconds=settings.worker_ttl_seconds),
        )


async def run_worker(settings: Settings, url: str, stop: asyncio.Event) -> None:
    """
    Run jobs until *stop* is set; what still runs after the drain time is handed back.
    """
    home = settings.home.absolute()
    async with parts(settings, url) as p, ShimPool(warm=min(settings.slots, _WARM_SHIMS), spare=settings.slots) as pool:
        name = f"{socket.gethostname()}:{os.getpid()}"
        node_id = new_id()
        environments = Environments(home / "environments")
        commands = CommandSteps(p.files, environments, PipelineStates(p.database))
        executor = Executor(pool, Toolbox(environments), p.files, p.logs, commands=commands, clock=now)
        worker = Worker(
            p.attempts, executor, node_id=node_id, node_name=name, max_crashes=settings.max_crashes, clock=now
        )
        node = Node(
            name=name,
            slots=settings.slots,
            on_lost=_give_up,
            liveness=Liveness(settings.worker_ttl_seconds, settings.worker_beat_seconds),
            grace_seconds=settings.drain_seconds,
        )
        duties = [
            p.admission.run(),
            every(
                settings.worker_beat_seconds,
                lambda: p.nodes.beat(node_id, name=name, roles=["worker"], slots=settings.slots),
                name="beat",
            ),
            every(settings.worker_beat_seconds, lambda: p.queue.reap(settings.worker_ttl_seconds), name="rescue"),
        ]
        async with background(duties):
            p.admission.wake()
            await p.queue.work(worker.handle, node=node, stop=stop)


def _give_up(reason: str) -> None:
    """
    End this process at once: others may own its jobs by now. Every shim sees its socket close and ends its children.
    """
    log.error("worker gives up", reason=reason)
    os._exit(LOST_EXIT_CODE)


async def run_serve(settings: Settings, url: str, stop: asyncio.Event) -> None:
    """
    Answer requests, keep definitions and deliveries going, until *stop* is set.
    """
    listener = lent_listener()
    async with parts(settings, url) as p:
        await p.flows.reload()
        if settings.admin_key:
            await p.access.ensure_key(settings.admin_key.get_secret_value(), name="first admin key", role="admin")
        sender = WebhookSender(
            private_networks=settings.webhook_private_networks,
            timeout_seconds=settings.webhook_timeout_seconds,
            now=now,
        )
        dispatcher = Dispatcher(p.deliveries, p.announcements.secret_of, sender, chance=random.random)
        hotglue = hotglue_of(p)
        ticker = Ticker(hotglue.schedules)
        app = web_app(p, hotglue)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        server = QuietServer(config)
        duties = [
            p.admission.run(),
            every(1.0, p.flows.reload, name="definitions"),
            every(600.0, p.retention.tick, name="retention"),
            every(1.0, ticker.tick, name="schedules"),
            every(3600.0, hotglue.schedules.forget_old, name="schedule history"),
            dispatcher.run(),
        ]
        async with background(duties):
            serving = asyncio.create_task(server.serve(sockets=[listener] if listener else None))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            server.should_exit = True
            await serving
        await sender.close()


def web_app(p: Parts, hotglue: Tenancy) -> FastAPI:
    """
    Put every wire over the services.
    """
    settings = p.settings
    services = Services(
        access=p.access,
        jobs=p.jobs,
        flows=p.flows,
        deliveries=p.deliveries,
        nodes=p.nodes,
        not_ready=p.not_ready,
        run_flow=hotglue.run_flow,
    )
    return create_app(
        services,
        wires=[hotglue_wire(services, hotglue), api_wire(services)],
        body_limit_bytes=settings.body_limit_bytes,
        root_dialect=settings.root_dialect,
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


def hotglue_of(p: Parts) -> Tenancy:
    """
    Make what hotglue's paths ask.
    """
    limits, api_url = limits_of(p.settings), f"{p.settings.public_url}/hotglue"
    runs = partial(
        RunFlows,
        p.access,
        p.flows,
        p.jobs,
        limits=limits,
        api_url=api_url,
        now=now,
        new_id=new_id,
        chance=secrets.token_bytes,
    )
    run_flow, run_connector = runs(), runs(read=read_connector_run)
    tenants = TenantStore(p.database, p.sealer)
    tokens = TenantTokens(TokenSigning(p.database, p.sealer), now=now, monotonic=time.monotonic)
    schedules = Schedules(
        p.database,
        ScheduleStore(p.database, p.sealer),
        submit={HOTGLUE: SubmitScheduled(run_flow, run_connector)},
        new_id=new_id,
        misfire=p.settings.schedule_misfire,
        grace=timedelta(seconds=p.settings.schedule_grace_seconds),
    )
    discovers = Discovers(
        p.flows, p.jobs, limits=limits, api_url=api_url, now=now, new_id=new_id, chance=secrets.token_bytes
    )
    return Tenancy(
        doors=Doors(p.access, tokens),
        flows=p.flows,
        linking=Linking(p.database, p.connections, tenants, p.announcements, words=show_change, now=now, new_id=new_id),
        tenants=Tenants(p.database, tenants, p.files, p.jobs),
        tokens=tokens,
        run_flow=run_flow,
        run_connector=run_connector,
        discovers=discovers,
        schedules=schedules,
        after_link=AfterLink(schedules, discovers, run_flow, run_connector, now=now),
        now=now,
    )


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def background(duties: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """
    Run duties beside the block; they are cancelled when it is left.
    """
    tasks = [asyncio.create_task(duty) for duty in duties]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


ROLES: dict[str, Callable[[Settings, str, asyncio.Event], Awaitable[None]]] = {"serve": run_serve, "worker": run_worker}


def run_role(settings: Settings, role: str) -> int:
    """
    Run one role in this process until SIGTERM, SIGINT or the end of its supervisor; gives the exit code.

    Raises:
        InvalidError: there is no database to work with.
    """
    if settings.database_url is None:
        raise InvalidError(
            f"`headrace {role}` needs a database.",
            "Set HEADRACE_DATABASE_URL, or use `headrace up`, which brings its own.",
        )
    url = settings.database_url.get_secret_value()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        _watch_supervisor(loop)
        await lasting(lambda: migrate(url))
        await ROLES[role](settings, url, stop)

    configure_logging(level=settings.log_level, format=settings.log_format)
    uvloop.run(main())
    return 0


def _watch_supervisor(loop: asyncio.AbstractEventLoop) -> None:
    """
    End at once when the supervisor is gone: a server half of which lives on is worse than none.
    """
    descriptor = os.environ.pop(PARENT_FD, None)
    if descriptor is not None:
        loop.add_reader(int(descriptor), lambda: os._exit(0))


def lent_listener() -> socket.socket | None:
    """
    Give the listening socket that the supervisor lends; None when there is none.
    """
    descriptor = os.environ.pop(LISTEN_FD, None)
    return socket.socket(fileno=int(descriptor)) if descriptor is not None else None


if __name__ == "__main__":
    sys.exit(run_role(load_settings(), sys.argv[1]))
