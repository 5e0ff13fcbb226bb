"""
The ticker: each instant of each schedule once, over all nodes, whatever dies and however the clock jumps.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from engine_drill import until
from house import House, open_house
from tick_node import schedules_of

from headrace.core.errors import StoreUnavailableError
from headrace.engine.ticker import Ticker
from headrace.services.schedules import Call, Schedules
from headrace.store.schedules import SchedulePlace
from headrace.store.schedules import Schedules as ScheduleStore

NOON = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SCHEDULES = 8
MINUTES = 12


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path) as house:
        yield house


def place(house: House, tenant: str = "acme") -> SchedulePlace:
    return SchedulePlace(house.workspace.id, tenant, "test", "flights")


async def instants(house: House, outcome: str = "submitted") -> list[datetime]:
    rows = await house.database.all(
        "select instant from schedule_firing where outcome = %(outcome)s order by instant", {"outcome": outcome}
    )
    return [row["instant"] for row in rows]


async def jobs(house: House) -> int:
    row = await house.database.one("select count(*) as jobs from job")
    assert row is not None
    return int(row["jobs"])


def start_node(url: str, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    tests = Path(__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("tick_node.py")), url, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tests.parent), str(tests)))},
    )


async def test_8_three_nodes_and_one_killed_meet_every_instant_once(
    house: House, database_url: str, tmp_path: Path
) -> None:
    """
    Fault drill 8: every minute of every schedule has one firing and one job, though a node is killed in the middle.
    """
    schedules = schedules_of(house)
    for number in range(SCHEDULES):
        await schedules.put(place(house, f"tenant-{number}"), now=NOON, expression="* * * * *")
    await house.database.run("create table test_clock (now_is timestamptz not null)")
    await house.database.run("insert into test_clock values (%(now)s)", {"now": NOON})
    nodes = [start_node(database_url, tmp_path / f"node-{number}") for number in range(3)]
    try:
        for minute in range(1, MINUTES + 1):
            await house.database.run("update test_clock set now_is = %(now)s", {"now": NOON + minute * MINUTE})
            if minute == MINUTES // 2:
                # While they are at it: as soon as the first instant of this minute is met.
                await until(database_url, f"select count(*) > {(minute - 1) * SCHEDULES} from schedule_firing")
                nodes[0].kill()
            await until(database_url, f"select count(*) >= {minute * SCHEDULES} from schedule_firing")
        await house.database.run("drop table test_clock")
        for node in nodes[1:]:
            assert node.wait(30) == 0
    finally:
        for node in nodes:
            node.kill()
            node.wait()

    assert await jobs(house) == SCHEDULES * MINUTES
    per_schedule = await house.database.all(
        "select count(*) as n, count(distinct job_id) as jobs, min(instant), max(instant) from schedule_firing group by schedule_id"
    )
    assert len(per_schedule) == SCHEDULES
    assert {(row["n"], row["jobs"]) for row in per_schedule} == {(MINUTES, MINUTES)}
    assert {(row["min"], row["max"]) for row in per_schedule} == {(NOON + MINUTE, NOON + MINUTES * MINUTE)}


async def test_16_a_clock_set_back_doubles_nothing(house: House) -> None:
    """
    Fault drill 16: what was met stays met, even when the schedule is set anew meanwhile.
    """
    schedules = schedules_of(house)
    await schedules.put(place(house), now=NOON, expression="* * * * *")
    await schedules.fire_next(now=NOON + MINUTE)

    back = NOON - timedelta(hours=1)
    assert not await schedules.fire_next(now=back)
    await schedules.put(place(house), now=back, expression="*/1 * * * *")
    for minute in range(1, 62):
        await schedules.fire_next(now=back + minute * MINUTE)

    assert len(set(await instants(house))) == await jobs(house) == 61


async def test_16_a_clock_set_forward_is_a_downtime(house: House) -> None:
    """
    The instants of the hour that never was are one missed firing; the last one, which is in time, fires.
    """
    schedules = schedules_of(house)
    await schedules.put(place(house), now=NOON, expression="* * * * *")

    await schedules.fire_next(now=NOON + timedelta(hours=1))
    assert not await schedules.fire_next(now=NOON + timedelta(hours=1))

    assert await instants(house) == [NOON + timedelta(hours=1)]
    row = await house.database.one("select missed from schedule_firing")
    assert row is not None
    assert row["missed"] == 59


async def test_an_unreachable_store_leaves_the_instant_to_be_met(house: House) -> None:
    """
    Nothing is written, not even that it was tried; the next tick meets it.
    """

    async def unavailable(_call: Call) -> UUID:
        raise StoreUnavailableError("The database did not answer.")

    store = ScheduleStore(house.database, house.sealer)
    broken = Schedules(house.database, store, submit={"test": unavailable}, new_id=house.flows._new_id)
    await schedules_of(house).put(place(house), now=NOON, expression="* * * * *")

    with pytest.raises(StoreUnavailableError):
        await broken.fire_next(now=NOON + MINUTE)
    assert await instants(house) == []
    await schedules_of(house).fire_next(now=NOON + MINUTE)

    assert await instants(house) == [NOON + MINUTE]


async def test_a_schedule_that_breaks_does_not_hold_up_the_others(house: House) -> None:
    async def breaks(call: Call) -> UUID:
        raise ZeroDivisionError

    store = ScheduleStore(house.database, house.sealer)
    schedules = Schedules(house.database, store, submit={"test": breaks}, new_id=house.flows._new_id)
    for tenant in ("a", "b"):
        await schedules.put(place(house, tenant), now=NOON - timedelta(days=1), expression="* * * * *")

    fired = await Ticker(schedules).tick()

    assert fired == 2
    assert len(await instants(house, "failed")) + len(await instants(house, "missed")) == 2


async def test_an_unchanged_expression_keeps_its_beat(house: House) -> None:
    """
    Rates count from when they were set; saying the same again does not begin anew.
    """
    schedules = schedules_of(house)
    await schedules.put(place(house), now=NOON, expression="rate(1 hour)")

    again = await schedules.put(place(house), now=NOON + timedelta(minutes=50), expression="rate(1 hour)")
    other = await schedules.put(place(house), now=NOON + timedelta(minutes=50), expression="rate(2 hours)")

    assert again.next_at == NOON + timedelta(hours=1)
    assert other.next_at == NOON + timedelta(hours=2, minutes=50)
