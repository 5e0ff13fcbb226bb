"""
One item in the hands of a worker that cannot go on with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from house import House, open_house
from item_kit import Batches, Function, HeldItem, done

from headrace.core.errors import StoreUnavailableError
from headrace.core.fan_out import Item, ItemEnd
from headrace.core.job import Job
from headrace.core.queue import Ticket
from headrace.engine.item_worker import ItemWorker
from headrace.services.item_attempts import ItemWork

MAX_CRASHES = 3


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path) as house:
        yield house


@pytest.fixture
def batches(house: House) -> Batches:
    return Batches(house)


async def _item(batches: Batches, job: Job, ordinal: int = 0) -> Item:
    return (await batches.fan_outs.items(job.id, after=ordinal - 1))[0]


async def _handle(batches: Batches, function: Function, job: Job, ordinal: int = 0) -> None:
    """
    Let a worker handle the ticket of an item.
    """
    worker = ItemWorker(
        batches.attempts,
        function,
        node_id=uuid4(),
        node_name="node-1",
        max_crashes=MAX_CRASHES,
        clock=lambda: datetime.now(UTC),
    )
    await worker.handle(Ticket(str(job.id), 0, step=ordinal), HeldItem(await _item(batches, job, ordinal)))


async def test_a_store_that_is_away_is_no_crash_of_the_worker(batches: Batches) -> None:
    """
    However often an item's ticket comes again for it, the item is not parked as one that kills its worker.
    """
    away = MAX_CRASHES + 1

    async def function(work: ItemWork) -> ItemEnd:
        if work.claim.token <= away:
            raise StoreUnavailableError("The file store did not answer.", "Try again.")
        return done(1)

    job = await batches.submit(["a"])
    await batches.admitted(slots=1)
    for _ in range(away):
        with pytest.raises(StoreUnavailableError):
            await _handle(batches, function, job)
        assert await batches.states(job) == ["admitted"]
    await _handle(batches, function, job)

    item = await _item(batches, job)
    assert (str(item.state), item.crashes, item.failures) == ("completed", 0, 0)
    outcomes = [attempt.outcome for attempt in await batches.fan_outs.attempts(job.id, 0)]
    assert outcomes == ["interrupted"] * away + ["succeeded"]


async def test_a_worker_that_is_stopped_while_it_claims_an_item_gives_it_back(batches: Batches) -> None:
    """
    The claim may be on its way already; nobody has tried the item, and nobody has died.
    """

    async def function(_work: ItemWork) -> ItemEnd:
        raise AssertionError("it is not to be tried")

    job = await batches.submit(["a", "b"])
    await batches.admitted(slots=2)
    await batches.claim(job, 0)  # the job is known from here on
    async with batches.house.database.transaction() as connection:
        await connection.execute("select from step where ordinal = 1 for update")
        handled = asyncio.create_task(_handle(batches, function, job, 1))
        await batches.house.until_locked_out(1)
        handled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handled

    async def claimed() -> bool:
        return (await _item(batches, job, 1)).attempt == 1

    await batches.until(claimed)
    item = await _item(batches, job, 1)
    assert (str(item.state), item.crashes) == ("admitted", 0)
