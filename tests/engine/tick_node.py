"""
A node that only ticks: `tick_node.py URL FOLDER`, over the real services; the time is what the table `test_clock` says.

Ends when the clock is gone.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from house import House, open_house, plan

from headrace.core.plan import OnTaken
from headrace.services.schedules import Call, Schedules
from headrace.store.schedules import Schedules as ScheduleStore


def schedules_of(house: House) -> Schedules:
    """
    Make schedules whose jobs are plain ones without a key.
    """

    async def submit(call: Call) -> UUID:
        new = house.new_job(
            tenant=call.schedule.place.tenant,
            trigger="schedule",
            idempotency_key=call.idempotency_key,
            fingerprint=call.idempotency_key.encode(),
        )
        return (await house.jobs.submit(new, plan(key=None, on_taken=OnTaken.REJECT))).job.id

    return Schedules(house.database, ScheduleStore(house.database, house.sealer), submit={"test": submit}, new_id=uuid4)


async def main(url: str, folder: Path) -> None:
    async with open_house(url, folder) as house:
        schedules = schedules_of(house)
        while True:
            try:
                clock = await house.database.one("select now_is from test_clock")
            except psycopg.errors.UndefinedTable:
                return
            assert clock is not None
            if not await schedules.fire_next(now=clock["now_is"]):
                await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
