"""
Duties of a process outlive what goes wrong in one of their rounds, and are missed when they end.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

from house import House

from headrace.core.state import JobState
from headrace.parts import background

DEADLINE_SECONDS = 60.0


async def test_an_admission_that_failed_once_goes_on(house: House) -> None:
    """
    A defect in one round is logged; the next round starts the jobs that wait.
    """
    house.queue.slots = 1
    admission = asyncio.create_task(house.admission.run(every_seconds=0.05))
    try:
        await house.database.run("alter table fair_clock rename to fair_clock_away")
        job = await house.submit()
        house.admission.wake()
        await asyncio.wait({admission}, timeout=0.3)  # a few rounds; one that ends, ends this at once
        assert not admission.done()
        await house.database.run("alter table fair_clock_away rename to fair_clock")

        async with asyncio.timeout(DEADLINE_SECONDS):
            while (await house.job(job.id)).state is JobState.WAITING:
                house.admission.wake()
    finally:
        admission.cancel()
        with suppress(asyncio.CancelledError):
            await admission


async def test_a_process_whose_duty_ends_ends_too() -> None:
    """
    Going on without it would look well: the process asks itself to end, and its supervisor starts it anew.
    """

    async def broken() -> None:
        raise ValueError("a defect")

    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    try:
        async with background([broken()]), asyncio.timeout(DEADLINE_SECONDS):
            await asked.wait()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_duties_that_are_cancelled_end_nobody() -> None:
    """
    Leaving the block cancels them, as it should.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    try:
        async with background([asyncio.Event().wait()]):  # type: ignore[list-item]  # ends by being cancelled, which is the point
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not asked.is_set()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
