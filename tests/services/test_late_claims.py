"""
Work that a worker claims after its ticket went to another, because it slept, and that it leaves by ending itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from house import House
from item_kit import Batches, done

from headrace.core.fan_out import ItemEnd
from headrace.core.outcome import Succeeded
from headrace.core.state import JobState
from headrace.engine.procrastinate import Node, ProcrastinateQueue, open_pool
from headrace.engine.worker import Worker
from headrace.services.admission import Admission
from headrace.services.attempts import Attempts, Work
from headrace.services.item_attempts import ItemWork


class Steps:
    """
    Runs no step: the first attempt goes on until it is ended, a later one succeeds at once.
    """

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def run(self, work: Work, _journal: Any) -> tuple[Succeeded, tuple[()]]:
        if not self.begun.is_set():
            self.begun.set()
            await asyncio.Event().wait()
        return Succeeded(), ()


@asynccontextmanager
async def working(house: House, steps: Any) -> AsyncIterator[None]:
    """
    Run a worker on the real queue for the length of a block.
    """
    stop = asyncio.Event()
    async with open_pool(house.database.url) as pool:
        queue = ProcrastinateQueue(pool)
        admission = Admission(house.database, queue)
        attempts = Attempts(house.database, house.sealer, house.connections, house.announcements, admission)
        worker = Worker(
            attempts, steps, node_id=uuid4(), node_name="node", max_crashes=3, clock=lambda: datetime.now(UTC)
        )
        node = Node(name="node", slots=1, on_lost=lambda _reason: None, grace_seconds=0.1)
        admitting = asyncio.create_task(admission.run(every_seconds=0.05))
        running = asyncio.create_task(queue.work(worker.handle, node=node, stop=stop))
        yield
        stop.set()
        await running
        admitting.cancel()
        await asyncio.wait([admitting])


async def test_a_job_that_was_claimed_late_is_run_all_the_same(house: House) -> None:
    """
    The worker that has the ticket finds itself fenced, and claims the job anew.
    """
    job = await house.submit(key="k")
    steps = Steps()
    async with working(house, steps), asyncio.timeout(30):
        await steps.begun.wait()
        assert await house.attempts.claim(job.id, node_id=uuid4(), node_name="late") is not None
        while not (found := await house.job(job.id)).final:  # noqa: ASYNC110 - the database changes; there is nothing to wait on
            await asyncio.sleep(0.02)

    assert (found.state, found.attempt) == (JobState.COMPLETED, 3)


async def test_an_item_that_was_claimed_late_is_run_all_the_same(house: House) -> None:
    kit = Batches(house)
    job = await kit.submit(["only"])
    tries: list[ItemWork] = []

    async def function(work: ItemWork) -> ItemEnd:
        tries.append(work)
        if len(tries) == 1:
            late = await kit.attempts.claim(job.id, work.item.ordinal, node_id=uuid4(), node_name="late")
            assert late is not None
        return done()

    async with kit.workers(function):
        found = await kit.ended(job)

    assert (found.state, [work.claim.token for work in tries]) == (JobState.COMPLETED, [1, 3])
