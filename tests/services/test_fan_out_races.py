"""
Ends, pauses and checks of logins that meet in one moment: whoever had to wait for a job's lock acts on what became of it meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from house import House
from item_kit import BROKEN, Batches, done

from headrace.core.auth_session import SessionKind
from headrace.core.fan_out import ItemEnd, SessionEnd
from headrace.core.job import Job
from headrace.core.outcome import Interrupted
from headrace.core.plan import SessionUse
from headrace.core.state import JobState
from headrace.services.fan_outs import terminate
from headrace.services.item_attempts import ItemWork
from headrace.store.auth_sessions import AuthSessions


@pytest.fixture
def batches(house: House) -> Batches:
    return Batches(house)


async def _while_it_is_ended(batches: Batches, job: Job, call: Coroutine[Any, Any, Any]) -> Any:
    """
    Make a call in the moment in which a person's end of the job is being written: it waits for the lock, and is seen to.
    """
    house = batches.house
    async with house.database.transaction() as connection:
        await terminate(connection, house.queue, house.announcements, job.id, by="a person")
        called = asyncio.create_task(call)
        await house.until_locked_out(1)
    return await called


async def _login(house: House) -> None:
    await AuthSessions(house.database, house.sealer).add(
        uuid4(), workspace_id=house.workspace.id, project="acme", name="ada", kind=SessionKind.CREDENTIALS,
        parameters=b"{}", proxy=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("end", "state"),
    [(ItemEnd(outcome=BROKEN), "cancelled"), (done(1, "more"), "completed"), (done(1), "completed")],
    ids=["failed", "grows", "completed"],
)
async def test_a_try_that_ends_while_its_job_is_ended_leaves_nothing_behind(
    batches: Batches, end: ItemEnd, state: str
) -> None:
    """
    No next try and no further items, which nobody would ever start: the job has ended, as cancelled, and its key is free.
    """
    job = await batches.submit(["a", "b"], max_attempts=3, key="k")
    await batches.submit(["of the next job"], key="k")
    await batches.admitted(slots=1)
    work = await batches.claim(job, 0)

    await _while_it_is_ended(batches, job, batches.settle(work, end))

    assert await batches.states(job) == [state, "cancelled"]
    assert (await batches.job(job)).state is JobState.CANCELLED
    assert await batches.admitted(slots=1) == ["of the next job"]


async def test_an_item_that_is_given_back_after_the_end_was_asked_for_is_cancelled(batches: Batches) -> None:
    """
    A worker that shuts down before it has heard of the end does not keep the job from it.
    """
    job = await batches.submit(["a"])
    await batches.admitted(slots=1)
    work = await batches.claim(job, 0)
    await batches.fan_outs.terminate(job.id, by="a person")

    await batches.settle(work, ItemEnd(outcome=Interrupted()))

    assert await batches.states(job) == ["cancelled"]
    assert (await batches.job(job)).state is JobState.CANCELLED


async def test_a_job_that_is_to_end_cannot_be_paused(batches: Batches) -> None:
    """
    Else an item whose worker has died since would wait again, for ever.
    """
    job = await batches.submit(["a"])
    await batches.admitted(slots=1)
    work = await batches.claim(job, 0)
    await batches.fan_outs.terminate(job.id, by="a person")
    await batches.lose_worker(work)

    assert not await batches.fan_outs.pause(job.id, by="an operator")

    again = await batches.claim(job, 0)
    assert again.job.cancel_requested_at is not None


async def test_an_item_whose_login_is_to_be_checked_while_its_job_is_ended_is_taken_to_be_cancelled(
    batches: Batches,
) -> None:
    """
    It does not wait for a check, after which nobody would start it.
    """
    house = batches.house
    await _login(house)
    job = await batches.submit(["a"], session=SessionUse(name="ada"))
    await batches.admitted(slots=1)
    await house.database.run("update procrastinate_jobs set status = 'doing'")

    claim = batches.attempts.claim(job.id, 0, node_id=uuid4(), node_name="node-1")
    work = await _while_it_is_ended(batches, job, claim)

    assert work is not None
    assert work.job.cancel_requested_at is not None
    await batches.settle(work, ItemEnd(outcome=Interrupted()))
    assert (await batches.job(job)).state is JobState.CANCELLED
    assert len(await house.jobs.history(house.workspace.id)) == 1


async def test_a_check_and_an_item_that_used_the_login_before_may_end_at_once(batches: Batches) -> None:
    """
    The check lets the item's job go on, and both note what they found out about the login: neither waits for the other.
    """
    house = batches.house
    await _login(house)
    job = await batches.submit(["a", "b"], session=SessionUse(name="ada"))
    await batches.admitted(slots=2)
    await _ask_for_a_check(batches, job, 0)
    check = await _check(batches)
    made = SessionEnd(valid=True, state=b"{}")
    await batches.settle(check, replace(done(1), session=made))
    await batches.admitted(slots=2)
    using = await batches.claim(job, 0)
    assert using.login is not None
    found = replace(done(1), session=SessionEnd(valid=True, generation=using.login.generation))
    await house.database.run("update auth_session set checked_at = null")
    await _ask_for_a_check(batches, job, 1)
    check = await _check(batches)

    async with house.database.transaction() as connection:
        await connection.execute("select from auth_session for update")
        checked = asyncio.create_task(batches.settle(check, found))
        await house.until_locked_out(1)
        used = asyncio.create_task(batches.settle(using, found))
        await house.until_locked_out(2)
    await asyncio.gather(checked, used)

    assert await batches.admitted(slots=2) == ["b"]


async def _ask_for_a_check(batches: Batches, job: Job, ordinal: int) -> None:
    """
    Let a worker find that the login of an item has to be checked first.
    """
    claim = batches.attempts.claim(job.id, ordinal, node_id=uuid4(), node_name="node-1")
    assert await claim is None
    await batches.house.database.run(
        "delete from procrastinate_jobs where (args ->> 'step')::integer = %(step)s", {"step": ordinal}
    )


async def _check(batches: Batches) -> ItemWork:
    await batches.admitted(slots=4)
    (job,) = await batches.house.jobs.history(None, states=[JobState.RUNNING], text="validate ada")
    return await batches.claim(job, 0)
