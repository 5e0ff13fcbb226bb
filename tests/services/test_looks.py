"""
What an idle server asks its database, and what wakes its duties.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from house import House

from headrace.core.errors import StoreUnavailableError
from headrace.loop import Duty
from headrace.store.looks import look

DEADLINE_SECONDS = 60.0

DELIVERY = """
    insert into delivery (id, workspace_id, tenant_id, sink, topic, url, body, due_at)
    values (%(id)s, %(workspace)s, 'acme', 's', 't', 'http://127.0.0.1/', '', now() + %(in)s * interval '1 second')
"""
SCHEDULE = """
    insert into schedule (id, workspace_id, dialect, definition, tenant_id, expression, enabled, anchor_at, next_at)
    values (%(id)s, %(workspace)s, 'hotglue', 'flights', 'acme', 'rate(1 day)', true, now(), now() + %(in)s * interval '1 second')
"""
FOLLOWED = "insert into pipeline_duty (job_id) values (%(id)s)"
LEAVING = "update workspace set deleted_at = now() where id = %(workspace)s"
DEFINED = "update workspace set definition = definition where id = %(workspace)s"
DEPLOYED = """
    with version as (
      insert into deployment (workspace_id, kind, name, number, digest, file_count, size_bytes, message, deployed_by, sealed)
      values (%(workspace)s, 'flow', 'flights', 1, '', 0, 0, '', '', '') returning *)
    insert into deployed (workspace_id, kind, name, number, changed_by)
    select workspace_id, kind, name, number, '' from version
"""


async def test_an_idle_server_has_nothing_for_any_duty(house: House) -> None:
    """
    Nothing waits, is owed or due: every word is false.
    """
    seen = asdict(await look(house.database))

    assert seen.pop("looked_at") <= datetime.now(UTC)
    assert seen.pop("workspaces")  # that of the test
    assert not any(seen.values())


@pytest.mark.parametrize(
    ("words", "change", "in_seconds"),
    [
        ("deliveries_due", DELIVERY, 0),
        ("schedules_due", SCHEDULE, 0),
        ("jobs_followed", FOLLOWED, 0),
        ("workspaces_leave workspaces", LEAVING, 0),
        ("workspaces", DEFINED, 0),
        ("deployed", DEPLOYED, 0),
        ("", DELIVERY, 60),
        ("", SCHEDULE, 60),
    ],
)
async def test_a_look_tells_whom_a_change_is_for(house: House, words: str, change: str, in_seconds: int) -> None:
    """
    Its words change, the others stay; what is due later is for nobody yet.
    """
    before = await look(house.database)
    await house.database.run(change, {"id": uuid4(), "workspace": house.workspace.id, "in": in_seconds})

    seen = asdict(await look(house.database))
    del seen["looked_at"]
    assert [name for name, value in seen.items() if value != getattr(before, name)] == words.split()


async def test_a_waiting_job_is_for_the_admission(house: House) -> None:
    """
    A job that waits for a slot is seen until it is let through.
    """
    house.queue.slots = 0
    await house.submit()

    assert (await look(house.database)).jobs_wait
    await house.admit(1)
    assert not (await look(house.database)).jobs_wait


async def test_a_duty_that_is_called_while_it_works_works_once_more() -> None:
    """
    What came up meanwhile is not overlooked, and many calls are one.
    """
    began, go_on = asyncio.Semaphore(0), asyncio.Semaphore(0)
    times = 0

    async def tick() -> None:
        nonlocal times
        times += 1
        began.release()
        await go_on.acquire()

    duty = Duty(tick, name="of the test")
    running = asyncio.create_task(duty.run())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            duty.call()
            await began.acquire()
            duty.call()
            duty.call()
            go_on.release()
            await began.acquire()
            go_on.release()
            await asyncio.sleep(0)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    assert times == 2


async def test_a_duty_that_failed_is_done_again_without_a_call() -> None:
    """
    It was called for and not done: an unreachable store is waited for, and so is a defect.
    """
    failures = iter([StoreUnavailableError("The database did not answer.", "Wait."), ValueError("a defect")])
    done = asyncio.Event()

    async def tick() -> None:
        for failure in failures:
            raise failure
        done.set()

    duty = Duty(tick, name="of the test", again_seconds=0.01)
    running = asyncio.create_task(duty.run())
    try:
        duty.call()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await done.wait()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
