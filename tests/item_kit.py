"""
Fan-outs for tests: jobs of items, and workers that run a plain Python function for each of them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
from house import House

from headrace.core.fan_out import Item, ItemEnd, NewItem, Wanted
from headrace.core.job import Job
from headrace.core.outcome import Cause, Failed, Succeeded
from headrace.core.plan import Automation, FanOut, OnTaken, Plan
from headrace.engine.item_worker import ItemWorker
from headrace.engine.procrastinate import Node, ProcrastinateQueue, open_pool
from headrace.services.admission import Admission
from headrace.services.fan_outs import FanOuts
from headrace.services.item_attempts import ItemAttempts, ItemWork
from headrace.services.item_logins import ItemLogins
from headrace.store.auth_sessions import AuthSessions
from headrace.store.database import Connection

DEADLINE_SECONDS = 60.0
FAN_OUT = FanOut(
    item=Automation(name="item", project="demo"), retry_base_seconds=0.01, retry_limit_seconds=0.01, max_attempts=1
)
BROKEN = Failed(Cause("item", "It broke."))

Function = Callable[[ItemWork], Coroutine[Any, Any, ItemEnd]]


def done(result: Any = None, *wanted: str) -> ItemEnd:
    """
    Success, with further items by name.
    """
    return ItemEnd(
        outcome=Succeeded(),
        result=msgspec.json.encode(result),
        wanted=tuple(Wanted(name=name, input=b"{}") for name in wanted),
    )


class HeldItem:
    """
    What a worker of the test holds: settling takes the item's ticket off the queue in the caller's transaction.
    """

    worker_id = 1
    lost = False

    def __init__(self, item: Item) -> None:
        self._item = item

    async def settle(self, connection: Connection) -> None:
        await connection.execute(
            "delete from procrastinate_jobs where args ->> 'job_id' = %(job_id)s and (args ->> 'step')::integer = %(step)s",
            {"job_id": str(self._item.job_id), "step": self._item.ordinal},
        )

    def settled(self) -> None:
        """The ticket is gone; nobody holds it here."""


class Batches:
    """
    Submits fan-outs and steers them; a test plays their workers by hand, or lets `workers` do it.
    """

    def __init__(self, house: House) -> None:
        self.house = house
        self.login_good_for = timedelta(seconds=60)
        self.fan_outs = FanOuts(house.database, house.sealer, house.queue, house.admission, house.announcements)
        self.attempts = self.attempts_over(house.admission)
        self._ids = itertools.count(1)

    def attempts_over(self, admission: Admission) -> ItemAttempts:
        house = self.house
        return ItemAttempts(
            house.database,
            house.sealer,
            house.queue,
            house.announcements,
            admission,
            item_id=lambda: f"added-{uuid4()}",
            chance=lambda: 0.0,
            logins=ItemLogins(
                AuthSessions(house.database, house.sealer),
                house.sealer,
                house.queue,
                house.announcements,
                new_id=uuid4,
                item_id=lambda: f"check-{uuid4()}",
                good_for=self.login_good_for,
            ),
        )

    async def submit(
        self,
        names: list[str],
        *,
        key: str | None = None,
        on_taken: OnTaken = OnTaken.QUEUE,
        priority: int = 0,
        max_attempts: int = 1,
        tenant: str = "acme",
        **options: Any,
    ) -> Job:
        items = tuple(
            NewItem(
                id=f"item-{next(self._ids)}",
                name=name,
                input=b"{}",
                timeout_seconds=60.0,
                max_attempts=max_attempts,
            )
            for name in names
        )
        plan = Plan(fan_out=msgspec.structs.replace(FAN_OUT, **options), key=key, on_taken=on_taken, priority=priority)
        new = replace(self.house.new_job(tenant=tenant), items=items)
        return (await self.house.jobs.submit(new, plan)).job

    async def admitted(self, slots: int) -> list[str]:
        """
        Admit with *slots* slots in all; gives the names of the items that have a ticket, in the queue's order.
        """
        await self.house.admit(slots)
        names = []
        for ticket in await self.house.tickets():
            if ticket.step is not None:
                items = await self.fan_outs.items(UUID(ticket.job_id), after=ticket.step - 1, limit=1)
                names.append(items[0].name)
        return names

    async def claim(self, job: Job, ordinal: int) -> ItemWork:
        """
        Take an item as a worker does: its ticket is in a worker's hands then.
        """
        await self.house.database.run(
            """
            update procrastinate_jobs set status = 'doing'
            where args ->> 'job_id' = %(job_id)s and (args ->> 'step')::integer = %(step)s
            """,
            {"job_id": str(job.id), "step": ordinal},
        )
        work = await self.attempts.claim(job.id, ordinal, node_id=uuid4(), node_name="node-1")
        assert work is not None
        return work

    async def lose_worker(self, work: ItemWork) -> None:
        """
        Put an item's ticket back on the queue, as the rescue of a dead worker's tickets does.
        """
        await self.house.database.run(
            """
            update procrastinate_jobs set status = 'todo'
            where args ->> 'job_id' = %(job_id)s and (args ->> 'step')::integer = %(step)s
            """,
            {"job_id": str(work.job.id), "step": work.item.ordinal},
        )

    async def settle(self, work: ItemWork, end: ItemEnd) -> None:
        await self.attempts.settle(work, end, ticket=HeldItem(work.item), now=datetime.now(UTC))

    async def states(self, job: Job) -> list[str]:
        return [str(item.state) for item in await self.fan_outs.items(job.id, limit=20_000)]

    async def job(self, job: Job) -> Job:
        return await self.house.job(job.id)

    @asynccontextmanager
    async def workers(self, function: Function, *, count: int = 1, slots: int = 4) -> AsyncIterator[None]:
        """
        Run items through the real engine for the length of a `with`: *count* workers of *slots* slots each.
        """
        house = self.house
        async with AsyncExitStack() as stack:
            stop = asyncio.Event()
            workers = []
            for number in range(count):
                pool = open_pool(house.database.url)
                await stack.enter_async_context(pool)
                queue = ProcrastinateQueue(pool)
                admission = Admission(house.database, queue)
                worker = ItemWorker(
                    self.attempts_over(admission),
                    function,
                    node_id=uuid4(),
                    node_name=f"node-{number}",
                    max_crashes=3,
                    clock=lambda: datetime.now(UTC),
                )
                node = Node(name=f"node-{number}", slots=slots, on_lost=_never, grace_seconds=0.1)
                workers.append(asyncio.create_task(queue.work(worker.handle, node=node, stop=stop)))
                workers.append(asyncio.create_task(admission.run(every_seconds=0.05)))
            try:
                yield
            finally:
                stop.set()
                await asyncio.gather(*workers[::2])
                for duty in workers[1::2]:
                    duty.cancel()
                await asyncio.gather(*workers[1::2], return_exceptions=True)

    async def ended(self, job: Job) -> Job:
        """
        Wait until a job has ended.
        """
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (found := await self.job(job)).final:  # noqa: ASYNC110 - the database changes; there is nothing to wait on
                await asyncio.sleep(0.02)
        return found

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await condition():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)


def _never(reason: str) -> None:
    raise AssertionError(reason)
