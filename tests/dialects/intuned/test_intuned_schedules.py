"""
Schedules of jobs: they follow the job, fire once an instant, and let one run be active at a time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from house import House
from intuned_kit import BODY, Api
from item_kit import done

from headrace.dialects.intuned.places import IntunedServices
from headrace.dialects.intuned.schedules import SubmitScheduledJob
from headrace.engine.ticker import Ticker
from headrace.services.item_attempts import ItemWork
from headrace.services.schedules import Call, SchedulePlace, Schedules

HOURLY = {"intervals": [{"every": "1h"}]}
DAILY = {"calendars": [{"hour": 9, "comment": "before the others"}]}
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


async def shown(api: Api, job: str = "demo-batch") -> dict[str, Any]:
    found: dict[str, Any] = (await api("GET", f"/jobs/{job}")).json()
    return found


async def next_run(api: Api, job: str = "demo-batch") -> datetime | None:
    text = (await shown(api, job))["next_run_time"]
    return datetime.fromisoformat(text) if text is not None else None


async def runs(api: Api, job: str = "demo-batch") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api("GET", f"/jobs/{job}/runs?sortBy=created_at,asc")).json()["jobRuns"]
    return found


async def outcomes(house: House) -> list[str]:
    return [row["outcome"] for row in await house.database.all("select outcome from schedule_firing order by instant")]


async def fire(api: Api, schedules: Schedules, job: str = "demo-batch") -> datetime:
    """
    Let the next instant of a job come.
    """
    instant = await next_run(api, job)
    assert instant is not None
    assert await schedules.fire_next(now=instant)
    return instant


async def succeed(work: ItemWork) -> Any:
    return done(1)


async def test_next_run_time_is_the_closest_coming_instant(api: Api) -> None:
    before = datetime.now(UTC)
    await api.create(schedule=HOURLY)
    await api.create(id="without-one")

    coming = await next_run(api)
    assert coming is not None
    assert before < coming <= datetime.now(UTC) + HOUR
    assert (coming.minute, coming.second, coming.microsecond) == (0, 0, 0)
    listed = {job["id"]: job["next_run_time"] for job in (await api("GET", "/jobs")).json()}
    assert listed == {"demo-batch": (await shown(api))["next_run_time"], "without-one": None}
    assert (await shown(api))["last_run_time"] is None


@pytest.mark.parametrize(
    "schedule",
    [
        {},
        {"intervals": [], "calendars": []},
        {"calendars": [{"month": "FEBRUARY", "dayOfMonth": 30}]},
        {"calendars": [{"year": 2020}]},
    ],
)
async def test_a_schedule_without_instants_is_kept_and_never_comes(api: Api, schedule: dict[str, Any]) -> None:
    await api.create(schedule=schedule)

    found = await shown(api)
    assert (found["schedule"], found["next_run_time"]) == (schedule, None)


@pytest.mark.parametrize(
    "schedule",
    [
        {"intervals": [{"every": "soon"}]},
        {"calendars": [{"hour": 24}]},
        {"calendars": [{"dayOfWeek": {"start": "FRIDAY", "end": "MONDAY"}}]},
        {"jitter": True},
        {"calendars": [{"comment": "x" * 70_000}]},
        {"calendars": [{}], "timezone": "Nowhere"},
    ],
)
async def test_a_wrong_schedule_is_refused_by_the_field(api: Api, schedule: dict[str, Any]) -> None:
    reply = await api("POST", "/jobs", {**BODY, "schedule": schedule})

    assert reply.status_code == 400
    assert "schedule" in reply.json()["message"]
    assert (await api("GET", "/jobs")).json() == []


async def test_an_instant_starts_a_scheduled_run(api: Api, schedules: Schedules) -> None:
    await api.create(schedule=HOURLY)
    instant = await fire(api, schedules)

    [run] = await runs(api)
    assert (run["type"], run["status"], run["payloads"]) == ("SCHEDULED", "PENDING", 2)
    assert await next_run(api) == instant + HOUR
    assert (await shown(api))["last_run_time"] is not None
    async with api.kit.workers(succeed):
        ended = await api.ended(run["id"])
    assert (ended["status"], ended["successful_runs"]) == ("SUCCESS", 2)


async def test_an_instant_is_met_once(api: Api, schedules: Schedules, house: House) -> None:
    await api.create(schedule=HOURLY)
    instant = await fire(api, schedules)

    assert not await schedules.fire_next(now=instant + SECOND)
    assert (len(await runs(api)), await outcomes(house)) == (1, ["submitted"])


async def test_an_instant_asked_for_again_gives_the_same_run(
    api: Api, schedules: Schedules, submit: SubmitScheduledJob, house: House
) -> None:
    """
    A node that died before it had written that the instant was met: the next one finds its run, running or ended.
    """
    await api.create(schedule=HOURLY)
    place = SchedulePlace(house.workspace.id, "demo", "intuned", "demo-batch")
    kept = await schedules.find(place)
    assert kept is not None
    call = Call(schedule=kept, instant=datetime.now(UTC), idempotency_key="schedule:1:noon")

    first = await submit(call)
    assert await submit(call) == first
    async with api.kit.workers(succeed):
        await api.ended(str(first))
    assert await submit(call) == first
    assert len(await runs(api)) == 1


async def test_an_instant_that_finds_a_run_active_is_recorded_as_canceled(api: Api, schedules: Schedules) -> None:
    """
    One active run per job; a paused one is active too. The job goes on with its next instant.
    """
    await api.create(schedule=HOURLY)
    active = await api.trigger()
    await fire(api, schedules)

    first, second = await runs(api)
    assert (first["id"], first["type"], first["status"]) == (active, "MANUAL", "PENDING")
    assert (second["type"], second["status"], second["payloads"]) == ("SCHEDULED", "CANCELED", 0)
    assert second["reason"]["type"] == "another-job-run-active"
    await api("POST", f"/jobs/demo-batch/runs/{active}/terminate")
    await fire(api, schedules)
    assert [run["status"] for run in await runs(api)] == ["TERMINATED", "CANCELED", "PENDING"]


async def test_a_paused_job_does_not_come(api: Api, schedules: Schedules) -> None:
    await api.create(schedule=HOURLY)
    await api("POST", "/jobs/demo-batch/pause")

    assert await next_run(api) is None
    assert not await schedules.fire_next(now=datetime.now(UTC) + 5 * HOUR)
    await api("POST", "/jobs/demo-batch/resume")
    coming = await next_run(api)
    assert coming is not None
    assert coming <= datetime.now(UTC) + HOUR
    assert await runs(api) == []


async def test_an_instant_that_finds_the_job_paused_meanwhile_is_skipped(
    api: Api, services: IntunedServices, schedules: Schedules, house: House
) -> None:
    """
    Whoever paused it died before its schedule was paused; the sweep sets that right.
    """
    await api.create(schedule=HOURLY)
    [batch] = await services.batches.of_project(house.workspace.id, "demo")
    await services.batches.pause(batch, by="an operator")
    await fire(api, schedules)

    assert (await runs(api), await outcomes(house)) == ([], ["skipped"])
    assert await services.schedules.tick() == 1
    assert await next_run(api) is None
    assert await services.schedules.tick() == 0


async def test_an_update_changes_the_schedule_at_once(api: Api) -> None:
    update = {name: value for name, value in BODY.items() if name != "id"}
    await api.create(schedule=HOURLY)
    await api("PUT", "/jobs/demo-batch", {**update, "schedule": DAILY})
    coming = await next_run(api)
    assert coming is not None
    assert (coming.hour, coming.minute) == (9, 0)

    await api("PUT", "/jobs/demo-batch", update)
    assert await next_run(api) is None


async def test_an_update_that_says_the_same_loses_no_instant(api: Api, schedules: Schedules, house: House) -> None:
    """
    An instant that is due and not met yet stays due.
    """
    update = {name: value for name, value in BODY.items() if name != "id"}
    await api.create(schedule=HOURLY)
    due = datetime.now(UTC).replace(microsecond=0) - SECOND
    await house.database.run("update schedule set next_at = %(due)s", {"due": due})
    await api("PUT", "/jobs/demo-batch", {**update, "schedule": HOURLY, "configuration": {"maxConcurrentRequests": 1}})

    assert await next_run(api) == due


async def test_a_deleted_job_has_no_schedule_and_a_new_one_has_its_own(
    api: Api, schedules: Schedules, house: House
) -> None:
    await api.create(schedule=HOURLY)
    await api("DELETE", "/jobs/demo-batch")
    assert not await schedules.fire_next(now=datetime.now(UTC) + HOUR)
    assert await house.database.all("select 1 from schedule") == []

    await api.create()
    assert await next_run(api) is None


async def test_a_sweep_finds_what_a_crash_or_an_upgrade_left(
    api: Api, services: IntunedServices, schedules: Schedules, house: House
) -> None:
    """
    A job without its schedule, and a schedule without its job; what was never scheduled stays so.
    """
    await api.create(schedule=HOURLY)
    await api.create(id="deleted-one", schedule=HOURLY)
    await api.create(id="without-one")
    await house.database.run("delete from schedule where definition = 'demo-batch'")
    await house.database.run("delete from batch where name = 'deleted-one'")

    assert await services.schedules.tick() == 1
    assert await next_run(api) is not None
    assert [row["definition"] for row in await house.database.all("select definition from schedule")] == ["demo-batch"]
    assert await services.schedules.tick() == 0


async def test_a_wrong_schedule_of_old_never_comes_and_can_be_corrected(
    api: Api, services: IntunedServices, house: House
) -> None:
    """
    Stored before schedules were checked: it stops neither the sweep nor a call.
    """
    await api.create(id="other-job", schedule=HOURLY)
    await api.create(schedule={"calendars": [{"hour": 23}]})
    wrong = "replace(convert_from(definition, 'UTF8'), '\"hour\":23', '\"hour\":99')"
    await house.database.run(f"update batch set definition = convert_to({wrong}, 'UTF8') where name = 'demo-batch'")
    await house.database.run("delete from schedule")

    await services.schedules.tick()
    assert await next_run(api) is None
    assert await next_run(api, "other-job") is not None
    assert (await api("POST", "/jobs/demo-batch/pause")).status_code == 200
    assert (await api("POST", "/jobs/demo-batch/resume")).status_code == 200


async def test_an_instant_of_a_job_that_cannot_run_is_told_and_holds_up_no_other(
    api: Api, services: IntunedServices, schedules: Schedules, house: House
) -> None:
    """
    A project that is gone fails the instant; the schedule goes on, and so do the others.
    """
    await api.create(schedule=HOURLY)
    await api.create(id="other-job", schedule=HOURLY)
    await house.database.run("update batch set project = 'gone' where name = 'demo-batch'")
    await house.database.run("update schedule set tenant_id = 'gone' where definition = 'demo-batch'")
    coming = await next_run(api, "other-job")
    assert coming is not None
    while await schedules.fire_next(now=coming):
        pass

    assert sorted(await outcomes(house)) == ["failed", "submitted"]
    assert len(await runs(api, "other-job")) == 1


async def test_what_nobody_was_there_for_is_missed_and_the_next_one_fires(
    api: Api, schedules: Schedules, house: House
) -> None:
    await api.create(schedule=HOURLY)
    late = datetime.now(UTC) + 10 * HOUR
    late = late.replace(minute=30, second=0, microsecond=0)
    assert await schedules.fire_next(now=late)

    assert (await runs(api), await outcomes(house)) == ([], ["missed"])
    assert await next_run(api) == late.replace(minute=0) + HOUR


async def test_jitter_is_shown_and_stays(api: Api, schedules: Schedules) -> None:
    """
    The time that is shown is the time at which it fires, and is the same however often it is read.
    """
    await api.create(schedule={**HOURLY, "jitter": "50m"})
    await api.create(id="other-job", schedule={**HOURLY, "jitter": "50m"})
    coming = await next_run(api)
    assert coming is not None
    assert await next_run(api) == coming
    assert coming != await next_run(api, "other-job")

    early = coming - timedelta(milliseconds=1)
    while await schedules.fire_next(now=early):
        pass
    assert await runs(api) == []
    while await schedules.fire_next(now=coming):
        pass
    assert len(await runs(api)) == 1


async def test_the_ticker_fires_by_the_database_s_clock(api: Api, schedules: Schedules) -> None:
    await api.create(schedule={"intervals": [{"every": 1000}]})
    ticker = Ticker(schedules)

    await api.kit.until(lambda: _ticked(ticker))
    assert (await runs(api))[0]["type"] == "SCHEDULED"


async def test_a_time_zone_is_ours_and_is_given_back(api: Api) -> None:
    schedule = {**DAILY, "timezone": "Asia/Kathmandu"}
    await api.create(schedule=schedule)

    coming = await next_run(api)
    assert coming is not None
    assert (coming.hour, coming.minute) == (3, 15)
    assert (await shown(api))["schedule"] == schedule


async def _ticked(ticker: Ticker) -> bool:
    return await ticker.tick() > 0
