"""
What jobs of items promise: order, exact limits, growth, retries, pause, resume, end, and that a worker's death costs its items alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from house import House
from item_kit import BROKEN, Batches, done

from headrace.core.errors import FencedError, FinalStateError, InvalidError
from headrace.core.fan_out import ItemEnd
from headrace.core.outcome import Cause, Failed, Interrupted
from headrace.core.plan import OnTaken
from headrace.core.state import JobState
from headrace.services.item_attempts import ItemWork


@pytest.fixture
def batches(house: House) -> Batches:
    return Batches(house)


async def test_items_start_in_the_order_of_the_list(batches: Batches) -> None:
    """
    One after the other, and those that were added come last.
    """
    job = await batches.submit(["a", "b", "c"], max_concurrent=1)

    started = []
    for ordinal in range(4):
        (name,) = await batches.admitted(slots=5)
        started.append(name)
        work = await batches.claim(job, ordinal)
        batches.house.queue.slots = 0
        await batches.settle(work, done(None, *(["d"] if name == "a" else [])))

    assert started == ["a", "b", "c", "d"]
    assert (await batches.job(job)).state is JobState.COMPLETED


async def test_a_job_without_items_is_refused(batches: Batches) -> None:
    with pytest.raises(InvalidError):
        await batches.submit([])


async def test_a_job_of_items_takes_no_slot_itself(batches: Batches) -> None:
    """
    With one slot, one item runs.
    """
    job = await batches.submit(["a", "b"])

    assert await batches.admitted(slots=1) == ["a"]
    running = await batches.job(job)
    assert running.state is JobState.RUNNING
    assert running.items is not None
    assert (running.items.total, running.items.live, running.items.unfinished) == (2, 1, 2)


async def test_whoever_finishes_an_item_admits_the_next_in_the_same_transaction(batches: Batches) -> None:
    """
    The limit is never undershot while there is work.
    """
    job = await batches.submit(["a", "b", "c", "d"], max_concurrent=2)
    assert await batches.admitted(slots=4) == ["a", "b"]

    await batches.settle(await batches.claim(job, 0), done())

    assert [ticket.step for ticket in await batches.house.tickets()] == [1, 2]


async def test_never_more_items_than_the_limit_are_in_flight_with_four_workers(batches: Batches) -> None:
    """
    The limit is exact: reached, and never passed.
    """
    now, most, reached = 0, 0, asyncio.Event()

    async def function(_work: ItemWork) -> ItemEnd:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 3:
            reached.set()
        await reached.wait()
        now -= 1
        return done()

    async with batches.workers(function, count=4, slots=4):
        job = await batches.submit([f"n{number}" for number in range(120)], max_concurrent=3)
        ended = await batches.ended(job)

    assert most == 3
    assert ended.items is not None
    assert (ended.state, ended.items.completed, ended.items.unfinished) == (JobState.COMPLETED, 120, 0)


async def test_jobs_of_one_pool_share_its_size(batches: Batches) -> None:
    """
    A project's capacity holds over all its jobs, and the job with fewer items in flight goes first.
    """
    await batches.submit(["a1", "a2", "a3", "a4"], pool="p", pool_size=2)
    await batches.submit(["b1", "b2"], pool="p", pool_size=2)
    await batches.submit(["c1"], pool="q", pool_size=1)

    admitted = await batches.admitted(slots=10)

    assert sorted(admitted) == ["a1", "b1", "c1"]


async def test_a_run_of_higher_priority_does_not_wait_for_a_long_list(batches: Batches) -> None:
    first = await batches.submit([f"long{number}" for number in range(50)], pool="p", pool_size=1)
    await batches.admitted(slots=1)
    await batches.submit(["urgent"], pool="p", pool_size=1, priority=10)
    await batches.settle(await batches.claim(first, 0), done())

    assert await batches.admitted(slots=1) == ["urgent"]


async def test_items_of_one_tenant_do_not_hold_up_the_jobs_of_another(batches: Batches) -> None:
    """
    An item costs its tenant one turn, like a job.
    """
    await batches.submit([f"flood{number}" for number in range(100)], tenant="a")
    await batches.house.submit(tenant="b")

    await batches.house.admit(slots=2)

    assert {ticket.step is None for ticket in await batches.house.tickets()} == {True, False}


async def test_added_items_run_to_any_depth_and_count(batches: Batches) -> None:
    """
    Each of three levels adds two items; all of them are the job's.
    """

    async def function(work: ItemWork) -> ItemEnd:
        depth = len(work.item.name)
        return done(work.item.name, *([work.item.name + "x"] * 2 if depth < 4 else []))

    async with batches.workers(function, count=2):
        job = await batches.submit(["x"], max_concurrent=3)
        ended = await batches.ended(job)

    items = await batches.fan_outs.items(job.id)
    assert Counter(item.name for item in items) == {"x": 1, "xx": 2, "xxx": 4, "xxxx": 8}
    assert [item.ordinal for item in items] == list(range(15))
    assert items[1].parent == 0
    assert ended.items is not None
    assert (ended.items.total, ended.items.completed) == (15, 15)


async def test_a_failed_try_adds_nothing(batches: Batches) -> None:
    """
    What an item asked for goes with its success alone.
    """
    job = await batches.submit(["a"])
    await batches.admitted(slots=1)

    await batches.settle(await batches.claim(job, 0), ItemEnd(outcome=BROKEN, wanted=done(None, "b").wanted))

    assert await batches.states(job) == ["failed"]


async def test_a_plan_that_does_not_grow_only_reports_what_was_asked_for(batches: Batches) -> None:
    job = await batches.submit(["a"], grows=False)
    await batches.admitted(slots=1)

    await batches.settle(await batches.claim(job, 0), done(1, "b"))

    (item,) = await batches.fan_outs.items(job.id)
    assert item.appended == b'[{"id":null,"name":"b","input":{}}]'


async def test_a_failed_item_is_tried_again_and_the_job_completes_with_failures(batches: Batches) -> None:
    """
    The first try counts; a job whose items failed has still done its work.
    """
    tries = Counter[str]()

    async def function(work: ItemWork) -> ItemEnd:
        name = work.item.name
        tries[name] += 1
        match name:
            case "never":
                return ItemEnd(outcome=BROKEN)
            case "second" if tries[name] == 1:
                return ItemEnd(outcome=BROKEN)
            case "fatal":
                return ItemEnd(outcome=Failed(Cause("item", "No use."), fatal=True))
        return done(name)

    async with batches.workers(function):
        job = await batches.submit(["never", "second", "fatal"], max_attempts=3)
        ended = await batches.ended(job)

    assert tries == {"never": 3, "second": 2, "fatal": 1}
    assert await batches.states(job) == ["failed", "completed", "failed"]
    assert ended.items is not None
    assert (ended.state, ended.items.completed, ended.items.failed) == (JobState.COMPLETED, 1, 2)
    outcomes = [attempt.outcome for attempt in await batches.fan_outs.attempts(job.id, 1)]
    assert outcomes == ["failed", "succeeded"]


async def test_an_item_that_waits_for_its_next_try_takes_no_place(batches: Batches) -> None:
    """
    A pause between tries leaves the limit to others.
    """
    job = await batches.submit(
        ["a", "b"], max_concurrent=1, max_attempts=2, retry_base_seconds=3600.0, retry_limit_seconds=3600.0
    )
    await batches.admitted(slots=1)

    await batches.settle(await batches.claim(job, 0), ItemEnd(outcome=BROKEN))

    assert await batches.states(job) == ["retryable", "admitted"]


async def test_a_worker_that_dies_costs_its_item_one_more_try_and_is_fenced(batches: Batches) -> None:
    """
    The other items do not notice; what the dead worker still tries to write is refused.
    """
    job = await batches.submit(["a", "b"])
    await batches.admitted(slots=2)
    dead = await batches.claim(job, 0)
    await batches.settle(await batches.claim(job, 1), done())

    again = await batches.claim(job, 0)
    with pytest.raises(FencedError):
        await batches.settle(dead, done("of the dead"))
    await batches.settle(again, done("of the living"))

    first, second = await batches.fan_outs.items(job.id)
    assert (first.attempt, first.crashes, first.failures, first.result) == (2, 1, 0, b'"of the living"')
    assert (second.attempt, second.crashes) == (1, 0)
    assert (await batches.job(job)).state is JobState.COMPLETED


async def test_a_worker_that_shuts_down_gives_its_item_back(batches: Batches) -> None:
    """
    Interrupted is neither a failure nor a crash.
    """
    job = await batches.submit(["a"])
    await batches.admitted(slots=1)
    batches.house.queue.slots = 0

    await batches.settle(await batches.claim(job, 0), ItemEnd(outcome=Interrupted()))

    (item,) = await batches.fan_outs.items(job.id)
    assert (str(item.state), item.failures, item.crashes) == ("pending", 0, 0)
    assert await batches.admitted(slots=1) == ["a"]


async def test_a_paused_job_starts_nothing_and_lets_what_runs_end(batches: Batches) -> None:
    """
    Paused is said when nothing is in flight; items with a ticket that nobody has begun wait again.
    """
    job = await batches.submit(["a", "b", "c"])
    await batches.admitted(slots=2)
    running = await batches.claim(job, 0)

    assert await batches.fan_outs.pause(job.id, by="an operator")
    assert not await batches.fan_outs.pause(job.id, by="an operator")
    assert await batches.admitted(slots=4) == ["a"]
    assert await batches.states(job) == ["running", "pending", "pending"]
    assert (await batches.job(job)).state is JobState.RUNNING

    await batches.settle(running, done(None, "d"))

    assert (await batches.job(job)).state is JobState.PAUSED
    assert await batches.admitted(slots=4) == []


async def test_an_item_whose_worker_is_gone_survives_pause_and_end(batches: Batches) -> None:
    """
    Its ticket is free, so that pausing and ending take it back; the dead worker is fenced all the same.
    """
    job = await batches.submit(["a"])
    await batches.admitted(slots=1)
    dead = await batches.claim(job, 0)
    await batches.lose_worker(dead)

    await batches.fan_outs.pause(job.id, by="an operator")
    assert (await batches.job(job)).state is JobState.PAUSED
    await batches.fan_outs.resume(job.id, by="an operator")
    assert await batches.admitted(slots=1) == ["a"]
    await batches.lose_worker(await batches.claim(job, 0))
    await batches.fan_outs.terminate(job.id, by="a person")

    assert await batches.states(job) == ["cancelled"]
    assert (await batches.job(job)).state is JobState.CANCELLED
    with pytest.raises(FencedError):
        await batches.settle(dead, done())


async def test_an_item_that_is_claimed_after_its_job_was_asked_to_end_knows_of_it(batches: Batches) -> None:
    """
    What a worker remembers of a job from an earlier item says nothing of whether somebody has asked it to end since.
    """
    job = await batches.submit(["a", "b"])
    await batches.admitted(slots=2)
    before = await batches.claim(job, 0)
    lost = await batches.claim(job, 1)
    await batches.fan_outs.terminate(job.id, by="a person")

    again = await batches.claim(job, 1)

    assert before.job.cancel_requested_at is None
    assert again.job.cancel_requested_at is not None
    assert again.claim.token == lost.claim.token + 1


async def test_a_resumed_job_goes_on_without_repeating_anything(batches: Batches) -> None:
    job = await batches.submit(["a", "b"], key="k")
    await batches.admitted(slots=1)
    await batches.fan_outs.pause(job.id, by="an operator")
    assert (await batches.job(job)).state is JobState.PAUSED
    other = await batches.submit(["of another job"], key="k")

    assert await batches.fan_outs.resume(job.id, by="an operator")
    assert not await batches.fan_outs.resume(job.id, by="an operator")

    assert (await batches.job(job)).state is JobState.WAITING
    assert await batches.admitted(slots=4) == ["a", "b"]
    assert (await batches.job(other)).state is JobState.WAITING


async def test_the_end_of_a_job_cancels_what_waits_and_reaches_what_runs(batches: Batches) -> None:
    """
    The job has ended when its last item has.
    """
    began = asyncio.Event()
    ended_children = []

    async def function(work: ItemWork) -> ItemEnd:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended_children.append(work.item.name)
        return done()

    async with batches.workers(function, slots=1):
        job = await batches.submit(["a", "b"], max_attempts=3)
        await asyncio.wait_for(began.wait(), 30)
        await batches.fan_outs.terminate(job.id, by="a person")
        ended = await batches.ended(job)

    assert ended_children == ["a"]
    assert await batches.states(job) == ["cancelled", "cancelled"]
    assert (ended.state, ended.items and ended.items.cancelled) == (JobState.CANCELLED, 2)
    with pytest.raises(FinalStateError):
        await batches.fan_outs.terminate(job.id, by="a person")


async def test_a_job_that_nobody_has_begun_ends_at_once(batches: Batches) -> None:
    """
    Also by the cancel that every kind of job has; its key is free then.
    """
    job = await batches.submit(["a", "b"], key="k")
    other = await batches.submit(["c"], key="k")
    await batches.admitted(slots=1)

    await batches.house.jobs.cancel(job.id, by="a person", workspace_id=None)

    assert (await batches.job(job)).state is JobState.CANCELLED
    assert await batches.admitted(slots=1) == ["c"]
    assert (await batches.job(other)).state is JobState.RUNNING


async def test_a_paused_job_can_be_ended(batches: Batches) -> None:
    job = await batches.submit(["a"])
    await batches.fan_outs.pause(job.id, by="an operator")
    await batches.fan_outs.terminate(job.id, by="a person")

    assert (await batches.job(job)).state is JobState.CANCELLED


async def test_a_try_that_fails_after_the_end_was_asked_for_is_not_repeated(batches: Batches) -> None:
    job = await batches.submit(["a"], max_attempts=3)
    await batches.admitted(slots=1)
    work = await batches.claim(job, 0)
    await batches.fan_outs.terminate(job.id, by="a person")

    await batches.settle(work, ItemEnd(outcome=BROKEN))

    assert await batches.states(job) == ["cancelled"]
    assert (await batches.job(job)).state is JobState.CANCELLED


async def test_a_job_that_is_refused_for_another_is_in_the_history_as_cancelled(batches: Batches) -> None:
    """
    It has a cause and no items; the one in its way goes on.
    """
    await batches.submit(["a"], key="k", on_taken=OnTaken.RECORD_CANCELLED)

    refused = await batches.submit(["b"], key="k", on_taken=OnTaken.RECORD_CANCELLED)

    assert (refused.state, refused.items) == (JobState.CANCELLED, None)
    assert refused.cause is not None
    assert refused.cause.evidence == {"code": "another-job-active"}
    assert [event.kind for event in await batches.house.jobs.events(refused.id)] == ["job-submitted", "job-cancelled"]
    assert await batches.admitted(slots=4) == ["a"]


async def test_a_job_stops_when_as_many_items_as_it_wanted_have_ended(batches: Batches) -> None:
    """
    Never more than that many are started; the rest are cancelled, and the job completes.
    """
    ran = []

    async def function(work: ItemWork) -> ItemEnd:
        ran.append(work.item.name)
        return done()

    async with batches.workers(function, count=2):
        job = await batches.submit([str(number) for number in range(10)], max_items=3)
        ended = await batches.ended(job)

    assert len(ran) == 3
    assert ended.items is not None
    assert (ended.state, ended.items.completed, ended.items.cancelled) == (JobState.COMPLETED, 3, 7)


async def test_what_a_program_made_comes_back_byte_for_byte(batches: Batches) -> None:
    """
    NUL and half surrogate pairs, which jsonb refuses, are kept.
    """
    hard = rb'"\u0000 \ud800"'
    job = await batches.submit(["a"])
    await batches.admitted(slots=1)

    await batches.settle(await batches.claim(job, 0), ItemEnd(outcome=done().outcome, result=hard))

    (item,) = await batches.fan_outs.items(job.id)
    assert item.result == hard
    assert (await batches.fan_outs.item(batches.house.workspace.id, item.id)).ordinal == 0


async def test_a_job_of_ten_thousand_items_is_submitted_run_and_ended(batches: Batches) -> None:
    """
    Its record shows counts, not items; ending it is one statement over all that waits. All stand in the order of the list.
    """
    job = await batches.submit([f"n{number}" for number in range(10_000)])
    await batches.admitted(slots=4)
    for ordinal in range(20):
        await batches.settle(await batches.claim(job, ordinal), done())
    await batches.fan_outs.terminate(job.id, by="a person")

    ended = await batches.job(job)
    names = [(item.ordinal, item.name) async for item in batches.fan_outs.every_item(job.id)]
    assert ended.steps == ()
    assert ended.items is not None
    assert (ended.items.total, ended.items.completed, ended.items.cancelled) == (10_000, 20, 9_980)
    assert names == [(number, f"n{number}") for number in range(10_000)]
