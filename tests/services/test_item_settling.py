"""
Tries of one job that end at the same time are written down together, and each as if it were alone.
"""

from __future__ import annotations

import asyncio

import pytest
from house import House
from item_kit import BROKEN, Batches, HeldItem, done

from headrace.core.errors import FencedError
from headrace.core.fan_out import ItemEnd
from headrace.core.job import Job
from headrace.core.queue import Connection
from headrace.core.state import JobState
from headrace.services.item_attempts import ItemWork


@pytest.fixture
def batches(house: House) -> Batches:
    return Batches(house)


class LostTicket(HeldItem):
    """
    A ticket that another worker was given.
    """

    async def settle(self, connection: Connection) -> None:
        raise FencedError("Another worker was given this work.")


async def _settled_at_once(
    batches: Batches, ends: list[tuple[ItemWork, ItemEnd]], *, lost: int | None = None
) -> list[BaseException | None]:
    """
    Let tries end in the same moment; *lost* has no ticket any more.
    """
    asked = [
        batches.attempts.settle(
            work,
            end,
            ticket=(LostTicket if work.item.ordinal == lost else HeldItem)(work.item),
            now=work.job.created_at,
        )
        for work, end in ends
    ]
    return list(await asyncio.gather(*asked, return_exceptions=True))


async def _claimed(batches: Batches, job: Job, count: int) -> list[ItemWork]:
    await batches.admitted(slots=count)
    return [await batches.claim(job, ordinal) for ordinal in range(count)]


async def _transactions(batches: Batches, job: Job) -> list[str]:
    rows = await batches.house.database.all(
        "select xmin::text as tx from step where job_id = %(id)s order by ordinal", {"id": job.id}
    )
    return [row["tx"] for row in rows]


async def test_tries_that_end_together_are_one_transaction_in_their_order(batches: Batches) -> None:
    """
    Each has its own end, event and successors.
    """
    job = await batches.submit(list("abcde"), max_attempts=2)
    works = await _claimed(batches, job, 4)
    ends = [done("a"), done("d", "x"), ItemEnd(outcome=BROKEN), done("b", "y", "z")]
    order = [works[0], works[3], works[2], works[1]]

    errors = await _settled_at_once(batches, list(zip(order, ends, strict=True)))

    assert errors == [None] * 4
    items = await batches.fan_outs.items(job.id)
    assert [str(item.state) for item in items[:4]] == ["completed", "completed", "retryable", "completed"]
    assert [(item.name, item.parent) for item in items[5:]] == [("x", 3), ("y", 1), ("z", 1)]
    transactions = await _transactions(batches, job)
    assert len(set(transactions[:4])) == 1
    told = await batches.house.database.all(
        "select data ->> 'ordinal' as nth from event where job_id = %(id)s and kind like 'step-%%' order by id",
        {"id": job.id},
    )
    assert [row["nth"] for row in told] == ["0", "3", "1"]


@pytest.mark.parametrize("lost", ["item", "ticket"])
async def test_one_that_is_fenced_takes_no_other_with_it(batches: Batches, lost: str) -> None:
    """
    Whether its item or its ticket is another's: it alone is refused, and nothing of it is written.
    """
    job = await batches.submit(list("abcd"))
    works = await _claimed(batches, job, 4)
    if lost == "item":
        await batches.claim(job, 2)

    errors = await _settled_at_once(
        batches,
        [(work, done(work.item.name, "more")) for work in works],
        lost=2 if lost == "ticket" else None,
    )

    assert [type(error) for error in errors] == [type(None), type(None), FencedError, type(None)]
    items = await batches.fan_outs.items(job.id)
    assert [str(item.state) for item in items[:4]] == ["completed", "completed", "running", "completed"]
    assert [item.parent for item in items[4:]] == [0, 1, 3]


async def test_the_end_of_a_job_is_decided_once_by_the_last_of_its_items(batches: Batches) -> None:
    job = await batches.submit(list("abcd"), key="one")
    works = await _claimed(batches, job, 4)

    await _settled_at_once(batches, [(work, done()) for work in works])

    ended = await batches.job(job)
    assert ended.items is not None
    assert (ended.state, ended.items.completed, ended.items.unfinished) == (JobState.COMPLETED, 4, 0)
    told = await batches.house.database.all(
        "select kind from event where job_id = %(id)s and kind like 'job-%%' order by id", {"id": job.id}
    )
    assert [row["kind"] for row in told if row["kind"] in ("job-completed", "job-cancelled")] == ["job-completed"]
    assert await batches.house.tickets() == []


async def test_items_beyond_those_wanted_are_cancelled_when_several_end_together(batches: Batches) -> None:
    """
    What an item asked for in the moment in which the job has enough is not begun either.
    """
    job = await batches.submit(list("abcdef"), max_items=3)
    works = await _claimed(batches, job, 3)

    await _settled_at_once(batches, [(work, done(None, "more")) for work in works])

    ended = await batches.job(job)
    assert ended.items is not None
    assert (ended.state, ended.items.completed, ended.items.cancelled) == (JobState.COMPLETED, 3, 6)


async def test_items_that_are_claimed_together_have_each_a_try_of_their_own(batches: Batches) -> None:
    """
    One that is asked for twice, as after a take-over, is the later one's.
    """
    job = await batches.submit(list("abc"))
    await batches.admitted(slots=3)
    first = await batches.claim(job, 0)

    asked = [batches.claim(job, ordinal) for ordinal in (2, 1, 0, 1)]
    works = await asyncio.gather(*asked)

    assert [(work.item.ordinal, work.claim.token) for work in works] == [(2, 1), (1, 1), (0, 2), (1, 2)]
    with pytest.raises(FencedError):
        await batches.settle(first, done())
