"""
J7: schedules of flows and of connectors, and the jobs they make.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from hotglue_rows import row
from house import House
from house_app import face_of
from house_hotglue import tenancy_of

from headrace.dialects.hotglue.tenancy import Tenancy

SCHEDULE = "/hotglue/demo/flights/acme/jobs/schedule"
JOBS = "/hotglue/demo/flights/acme/jobs"
NIGHTLY = {"schedule_expression": "cron(0 0 * * *)"}


@pytest.fixture
def tenancy(house: House) -> Tenancy:
    return tenancy_of(house)


@pytest.fixture
def app(house: House, tenancy: Tenancy) -> Any:
    return face_of(house, tenancy=tenancy)


async def due(house: House) -> datetime:
    """
    Bring every schedule's next instant to the minute that has just passed; gives it.
    """
    instant = datetime.now(UTC).replace(second=0, microsecond=0)
    await house.database.run("update schedule set next_at = %(at)s where next_at is not null", {"at": instant})
    return instant


async def outcomes(client: httpx2.AsyncClient, path: str = SCHEDULE) -> list[str]:
    return [firing["outcome"] for firing in (await client.get(path)).json()["firings"]]


@row("2.2 J7")
async def test_j7_no_schedule_is_a_disabled_one(client: httpx2.AsyncClient) -> None:
    assert (await client.get(SCHEDULE)).json() == {"State": "DISABLED"}


FORMS = [
    "cron(0 0 * * *)",
    "cron(0 0 ? * * *)",
    "*/15 * * * *",
    "0 8 ? * MON-FRI *",
    "rate(6 hours)",
    "CRON(5 4 * * SUN)",
]


@row("2.2 J7")
async def test_j7_every_form_is_taken(client: httpx2.AsyncClient) -> None:
    for expression in FORMS:
        put = await client.put(SCHEDULE, json={"schedule_expression": expression})

        assert (put.status_code, put.json()) == (200, {})
        shown = (await client.get(SCHEDULE)).json()
        assert (shown["ScheduleExpression"], shown["State"]) == (expression, "ENABLED")
        assert datetime.fromisoformat(shown["next_at"]) > datetime.now(UTC)


WRONG_SCHEDULES = [
    {},
    {"schedule_expression": ""},
    {"schedule_expression": 5},
    {"schedule_expression": "cron(0 0 30 2 *)"},
    {"schedule_expression": "cron(61 * * * *)"},
    {"schedule_expression": "rate(0 hours)"},
    {"schedule_expression": "every day"},
    {"schedule_expression": "cron(0 0 1 1 ? 1999)"},
    {**NIGHTLY, "state": "SOMETIMES"},
    {**NIGHTLY, "override_start_date": "yesterday"},
    {**NIGHTLY, "environment_variables": {"A=B": "1"}},
    {**NIGHTLY, "job_type": "sideways"},
]


async def test_j7_a_wrong_schedule_is_refused_and_changes_nothing(client: httpx2.AsyncClient) -> None:
    for body in WRONG_SCHEDULES:
        reply = await client.put(SCHEDULE, json=body)

        assert reply.status_code == 400
        assert set(reply.json()) == {"Code", "Message"}
        assert (await client.get(SCHEDULE)).json() == {"State": "DISABLED"}


async def test_j7_disabled_keeps_the_expression_and_makes_no_job(
    client: httpx2.AsyncClient, house: House, tenancy: Tenancy
) -> None:
    """
    In whatever case it is written, and with or without the expression said again.
    """
    await client.put(SCHEDULE, json=NIGHTLY)
    await client.put(SCHEDULE, json={"state": "disabled"})
    await due(house)

    assert not await tenancy.schedules.fire_next()
    shown = (await client.get(SCHEDULE)).json()
    assert (shown["ScheduleExpression"], shown["State"]) == (NIGHTLY["schedule_expression"], "DISABLED")


@row("2.2 J7")
async def test_j7_deleted_is_gone(client: httpx2.AsyncClient) -> None:
    await client.put(SCHEDULE, json=NIGHTLY)

    assert (await client.delete(SCHEDULE)).status_code == 200
    assert (await client.get(SCHEDULE)).json() == {"State": "DISABLED"}
    assert (await client.delete(SCHEDULE)).status_code == 400


@row("10 5")
async def test_j7_an_instant_becomes_a_scheduled_job_once(
    client: httpx2.AsyncClient, house: House, tenancy: Tenancy
) -> None:
    """
    `scheduled_job` is true, the name is made up, and the options are those of the schedule.
    """
    await client.put(
        SCHEDULE,
        json={**NIGHTLY, "override_start_date": "2026-01-01T00:00:00Z", "environment_variables": {"K": "hush"}},
    )
    await due(house)

    assert await tenancy.schedules.fire_next()
    assert not await tenancy.schedules.fire_next()
    [job] = (await client.get(JOBS)).json()
    assert (job["scheduled_job"], job["override_start_date"]) == (True, "2026-01-01T00:00:00Z")
    assert job["job_name"].startswith("flights-tap-flights-")
    assert await outcomes(client) == ["submitted"]
    assert "hush" not in (await client.get(SCHEDULE)).text


async def test_j7_an_instant_met_by_a_node_that_died_makes_no_second_job(
    client: httpx2.AsyncClient, house: House, tenancy: Tenancy
) -> None:
    """
    The job was committed, the note of it was not: the next node finds the job by its key.
    """
    await client.put(SCHEDULE, json=NIGHTLY)
    instant = await due(house)
    await tenancy.schedules.fire_next()
    await house.database.run("delete from schedule_firing")
    await house.database.run("update schedule set next_at = %(at)s", {"at": instant})

    await tenancy.schedules.fire_next()

    assert len((await client.get(JOBS)).json()) == 1
    assert await outcomes(client) == ["submitted"]


async def test_j7_a_blocked_instant_is_skipped(client: httpx2.AsyncClient, house: House, tenancy: Tenancy) -> None:
    await client.post(JOBS, json={})
    await client.put(SCHEDULE, json=NIGHTLY)
    await due(house)

    await tenancy.schedules.fire_next()

    [firing] = (await client.get(SCHEDULE)).json()["firings"]
    assert (firing["outcome"], firing["reason"]) == ("skipped", "There is a job currently running")
    assert len((await client.get(JOBS)).json()) == 1


async def test_j7_a_blocked_instant_queues_where_asked(
    client: httpx2.AsyncClient, house: House, tenancy: Tenancy
) -> None:
    await client.post(JOBS, json={})
    await client.put(SCHEDULE, json={**NIGHTLY, "queue_if_active_job": True})
    await due(house)

    await tenancy.schedules.fire_next()

    assert await outcomes(client) == ["submitted"]
    assert len((await client.get(JOBS)).json()) == 2


async def test_j7_a_schedule_that_cannot_run_says_so_and_holds_up_nobody(
    client: httpx2.AsyncClient, house: House, tenancy: Tenancy
) -> None:
    """
    Nothing is linked: the instant failed, and the next one comes at its time.
    """
    path = "/hotglue/demo/flights/nobody/jobs/schedule"
    await client.put(path, json=NIGHTLY)
    await client.put(SCHEDULE, json=NIGHTLY)
    await due(house)

    assert await tenancy.schedules.fire_next()
    assert await tenancy.schedules.fire_next()
    [failed] = (await client.get(path)).json()["firings"]
    assert failed["outcome"] == "failed"
    assert "No tap is linked" in failed["reason"]
    assert await outcomes(client) == ["submitted"]


async def test_j7_a_connectors_schedule_is_its_own(client: httpx2.AsyncClient, house: House, tenancy: Tenancy) -> None:
    """
    A tap's schedule by V1 runs that tap; a connector's by V2 runs a V2 job.
    """
    await client.post("/hotglue/v2/demo/flights/acme/linkedConnectors", json={"connector": {"id": "tap-flights"}})
    by_tap = {**NIGHTLY, "connector_id": "tap-flights", "override_start_date": "2026-01-01T00:00:00Z"}
    await client.put(SCHEDULE, json={**by_tap, "ignore_parallel_jobs": True})
    v2 = SCHEDULE.replace("/hotglue/", "/hotglue/v2/").replace("acme", "other")
    await client.post("/hotglue/v2/demo/flights/other/linkedConnectors", json={"connector": {"id": "tap-flights"}})
    await client.put(v2, json={**NIGHTLY, "connector_id": "tap-flights", "job_type": "read"})
    assert (await client.get(SCHEDULE)).json() == {"State": "DISABLED"}
    await due(house)

    while await tenancy.schedules.fire_next():
        pass

    [first] = (await client.get(JOBS)).json()
    assert (first["tap"], first["job_type"]) == ("tap-flights", None)
    [second] = (await client.get(JOBS.replace("acme", "other"))).json()
    assert (second["connector_id"], second["job_type"]) == ("tap-flights", "READ")
    assert await outcomes(client, f"{SCHEDULE}?connector_id=tap-flights") == ["submitted"]


async def test_17_after_downtime_missed_instants_are_let_go_and_told(
    client: httpx2.AsyncClient, house: House, tenancy: Tenancy
) -> None:
    """
    Fault drill 17, the default: no catch-up. The history says how many there were.
    """
    await client.put(SCHEDULE, json={"schedule_expression": "cron(0 * * * *)"})
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    down_since = now.replace(minute=0) - timedelta(hours=2)
    await house.database.run("update schedule set next_at = %(at)s", {"at": down_since})

    await tenancy.schedules.fire_next(now=now)

    assert (await client.get(JOBS)).json() == []
    shown = (await client.get(SCHEDULE)).json()
    assert [(firing["outcome"], firing["missed"]) for firing in shown["firings"]] == [("missed", 3)]
    assert datetime.fromisoformat(shown["next_at"]) == now.replace(minute=0) + timedelta(hours=1)


async def test_17_latest_runs_the_last_missed_instant(client: httpx2.AsyncClient, house: House) -> None:
    tenancy = tenancy_of(house, misfire="latest")
    await client.put(SCHEDULE, json={"schedule_expression": "cron(0 * * * *)"})
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    await house.database.run("update schedule set next_at = %(at)s", {"at": now.replace(minute=0) - timedelta(hours=2)})

    await tenancy.schedules.fire_next(now=now)

    assert len((await client.get(JOBS)).json()) == 1
    [firing] = (await client.get(SCHEDULE)).json()["firings"]
    assert (firing["outcome"], firing["missed"]) == ("submitted", 2)


async def test_17_all_runs_each_of_the_last_day_in_turn(client: httpx2.AsyncClient, house: House) -> None:
    tenancy = tenancy_of(house, misfire="all")
    await client.put(SCHEDULE, json={"schedule_expression": "cron(0 * * * *)", "queue_if_active_job": True})
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    await house.database.run("update schedule set next_at = %(at)s", {"at": now.replace(minute=0) - timedelta(hours=2)})

    while await tenancy.schedules.fire_next(now=now):
        pass

    assert len((await client.get(JOBS)).json()) == 3
