"""
The queue port on Procrastinate, hardened.

`ProcrastinateQueue` is the one door: admission puts and revokes through it, every node's worker runs `work`, every node's rescuer calls
`reap`. See `headrace.core.queue` for what it promises, `hardening` for how the engine is held to that, `liveness` for the times.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

import procrastinate
from procrastinate import schema
from procrastinate.job_context import JobContext
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from headrace.core.errors import RetriableError, StoreUnavailableError
from headrace.core.queue import Claim, Connection, Handler, Refill, Ticket
from headrace.engine.hardening import TASK, ComeBack, EntryClaim, TicketManager, TicketWorker
from headrace.engine.liveness import Liveness
from headrace.engine.membership import Membership
from headrace.engine.outage import AbandonedError, unanswered
from headrace.engine.queries import ask

QUEUE_NAME: Final = "jobs"

log = logging.getLogger(__name__)


def schema_sql() -> str:
    """
    Give the DDL of the engine as its package ships it, then ours on top; for an empty database, once.

    Many statements with literal percent signs: execute it without parameters. Our part stands with the migrations, which run the same.
    """
    ours = resources.files("headrace.store.migrations").joinpath("versions/0001_queue.sql").read_text("utf-8")
    return f"{schema.SchemaManager.get_schema()}\n{ours}"


def open_pool(conninfo: str, *, max_size: int = 4) -> AsyncConnectionPool[Any]:
    """
    Make the pool that suits the engine; the caller opens and closes it.

    Each of the engine's statements is a transaction of its own, so autocommit saves two round trips of three. A dead connection is found by
    use, and the use repeated. Giving up a reconnect early keeps the pauses between tries short after a long outage. The pool's word on each
    failed try is not logged: the engine says once that the database is away, and once that it is back.
    """
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    return AsyncConnectionPool(
        conninfo,
        min_size=0,
        max_size=max_size,
        reconnect_timeout=2.0,
        kwargs={"autocommit": True, "application_name": "headrace-engine"},
        open=False,
    )


@dataclass(frozen=True, slots=True)
class Node:
    """
    How one worker takes part.

    Args:
        name: of the machine or process, for people.
        slots: tickets in hand at once.
        on_lost: ends all children of this process, at once, without the event loop or the database. Called from another thread when
            this node may no longer act, with a sentence that says why; bears being called twice.
        on_live: told after each heartbeat until when this node may act, in `boot_seconds`; its children have to end then without it, should it
            be stopped.
        poll_seconds: fetches without being told this often. Each heartbeat tells of a ticket whose announcement has gone astray, so this
            is for what only a fetch finds: tickets that this worker holds and does not know of.
        grace_seconds: when asked to stop, how long running handlers may go on before they are cancelled.
    """

    name: str
    slots: int
    on_lost: Callable[[str], None]
    liveness: Liveness = field(default_factory=Liveness)
    on_live: Callable[[float], None] = lambda _until: None
    poll_seconds: float = 30.0
    grace_seconds: float = 30.0


class ProcrastinateQueue:
    """
    Implements `headrace.core.queue.Queue`, and the worker's side of it.

    Args:
        pool: the worker's and reaper's connections (`open_pool`); `put`, `revoke` and `free_slots` use their caller's and need none.
        queue_name: tickets of one name are for workers of that name only.
    """

    def __init__(self, pool: AsyncConnectionPool[Any], *, queue_name: str = QUEUE_NAME) -> None:
        self._pool = pool
        self._queue_name = queue_name
        self._connector = procrastinate.PsycopgConnector()
        self._membership: Membership | None = None
        self._manager: TicketManager | None = None

    @property
    def worker_id(self) -> int | None:
        """
        The id under which `work` is a member now.
        """
        return self._membership.worker_id if self._membership is not None and self._membership.joined else None

    async def put(self, connection: Connection, tickets: Sequence[Ticket]) -> None:
        if not tickets:
            return
        await ask(
            connection,
            "put",
            queue_name=self._queue_name,
            task_name=TASK,
            job_ids=[ticket.job_id for ticket in tickets],
            tokens=[ticket.token for ticket in tickets],
            lanes=[ticket.lane for ticket in tickets],
            priorities=[ticket.priority for ticket in tickets],
            steps=[ticket.step for ticket in tickets],
        )

    async def revoke(self, connection: Connection, job_id: str) -> list[Ticket]:
        rows = await ask(connection, "revoke", job_id=job_id, queue_name=self._queue_name)
        return [_ticket(row) for row in rows]

    async def free_slots(self, connection: Connection) -> int:
        rows = await ask(connection, "free_slots", queue_name=self._queue_name)
        return int(rows[0][0])

    async def settle(self, connection: Connection, claims: Sequence[Claim]) -> None:
        entries = [claim for claim in claims if isinstance(claim, EntryClaim)]
        assert len(entries) == len(claims)  # noqa: S101 - this queue gives out no others
        await EntryClaim.settle_all(connection, entries)

    def refilling(self) -> AbstractContextManager[Refill]:
        return nullcontext(_take_nothing) if self._manager is None else self._manager.refilling(self._queue_name)

    async def reap(self, ttl_seconds: float, connection: Connection | None = None) -> list[Ticket]:
        """
        Strike off the members that were silent for *ttl_seconds*, put their tickets back, and return those.

        Every node calls this about once per heartbeat, all with the same ttl; of several at once one acts. With *connection* it acts in
        the caller's transaction. The tickets come again unchanged, token included: see `Ticket`.

        Raises:
            StoreUnavailableError: nothing was done; safe to call again.
        """
        values = {"worker_id": None, "ttl_seconds": ttl_seconds}
        try:
            if connection is not None:
                return [_ticket(row) for row in await ask(connection, "reap", **values)]
            async with self._pool.connection() as own:
                return [_ticket(row) for row in await ask(own, "reap", **values)]
        except Exception as error:
            if not unanswered(error):
                raise
            raise StoreUnavailableError("The database did not answer.", "Try again in a moment.") from error

    async def work(self, handler: Handler, *, node: Node, stop: asyncio.Event) -> None:
        """
        Hand tickets to *handler*, up to `node.slots` at once, until *stop* is set and the last handler has ended.

        Joins as soon as the database answers and rides out its outages; a membership that was lost on the way is followed by a new one,
        with a new id. One call at a time. What the handler does decides over its ticket: returning takes it off the queue; raising brings it
        back after a pause (it is logged here, and never given up); being cancelled brings it back at once.

        On *stop* nothing new is fetched; handlers still running after `node.grace_seconds` are cancelled, and are expected to end. The
        process ends by itself (exit code 70) when this worker was taken for dead, or cannot end its work in time after losing contact.
        """
        await self._connector.open_async(self._pool)
        halt = asyncio.Event()  # asked to stop, or this task was cancelled
        while not (stop.is_set() or halt.is_set()):
            membership = Membership(
                self._pool,
                node=node.name,
                slots=node.slots,
                queue_name=self._queue_name,
                liveness=node.liveness,
                abandoned=lambda: stop.is_set() or halt.is_set(),
                on_lost=node.on_lost,
                on_live=node.on_live,
            )
            self._membership = membership
            try:
                await self._worker(handler, membership, node, stop_asked=stop, halt=halt).run()  # type: ignore[no-untyped-call]  # the engine's signature says nothing
            except AbandonedError:
                return
            finally:
                self._membership = self._manager = None

    def _worker(
        self, handler: Handler, membership: Membership, node: Node, *, stop_asked: asyncio.Event, halt: asyncio.Event
    ) -> TicketWorker:
        app = procrastinate.App(connector=self._connector)
        manager = TicketManager(self._connector, self._pool, membership, halted=halt.is_set)
        app.job_manager = self._manager = manager

        async def run(context: JobContext, *, job_id: str, token: int, step: int | None) -> None:
            job = context.job
            ticket = Ticket(job_id=job_id, token=token, lane=job.lock, priority=job.priority, step=step)
            try:
                await handler(ticket, EntryClaim(membership, job, forget=manager.forget))
            except RetriableError as error:
                log.warning("The handler of job %s could not go on; its ticket comes back. %s", job_id, error)
                raise
            except Exception:
                log.exception("The handler of job %s failed; its ticket comes back.", job_id)
                raise

        app.task(name=TASK, queue=self._queue_name, retry=ComeBack(), pass_context=True)(run)
        return TicketWorker(
            app,
            membership,
            stop_asked=stop_asked,
            halt=halt,
            queues=[self._queue_name],
            name=node.name,
            concurrency=node.slots,
            fetch_job_polling_interval=node.poll_seconds,
            shutdown_graceful_timeout=node.grace_seconds,
        )


def _ticket(row: TupleRow) -> Ticket:
    job_id, token, lane, priority, step = row
    return Ticket(job_id=job_id, token=token, lane=lane, priority=priority, step=step)


async def _take_nothing(_connection: Connection, _slots: int) -> None:
    """No worker runs here that a ticket could be taken for."""
