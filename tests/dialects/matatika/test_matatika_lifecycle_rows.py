"""
Section 6 of the reference, row by row: types, statuses, one job per pipeline, retries, timeouts, schedules and triggers.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from house import ADMIN_KEY, House
from matatika_mill import Mill
from matatika_rows import each_row, row
from matatika_story import Told

from headrace.core import spring_cron
from headrace.core.errors import InvalidError
from headrace.core.pipelines import Pipeline
from headrace.dialects.matatika.routes import matatika_wire

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
TYPES = {
    "PIPELINE_CONFIG": "config",
    "PIPELINE_VERIFY": "verify",
    "PIPELINE_RUN": "complete",
    "WORKSPACE_DEPLOY": "deploy",
}


@pytest.mark.parametrize("kind", each_row("6.1", TYPES))
def test_a_type_of_job(told: Told, kind: str) -> None:
    assert told.jobs[TYPES[kind]]["type"] == kind


@row("6.1 PIPELINE_CONFIG", "6.5 FAILED")
async def test_a_failed_pipeline_is_configured_again_when_it_is_updated(shared_mill: Mill) -> None:
    """
    FAILED after its config job; PROVISIONING with another config job after an update; READY pipelines are not configured again.
    """
    tap = {"pluginType": "extractors", "name": "tap-lost", "pipUrl": "./nowhere of nothing"}
    await shared_mill.client.put(f"{shared_mill.workspace}/dataplugins/{uuid4()}", json=tap)
    pipeline = await shared_mill.pipeline("failing", script="true")
    (first,) = await _jobs(shared_mill, pipeline)
    await shared_mill.house.database.run(
        "update job set state = 'failed' where id = %(id)s", {"id": UUID(first["id"])}
    )  # as an installation that failed leaves it; a real one is in test_matatika_meltano.py
    before = (await shared_mill.client.get(f"pipelines/{pipeline}")).json()["status"]
    body = {"label": "failing", "dataComponents": [], "script": "true"}
    updated = await shared_mill.client.put(f"{shared_mill.workspace}/pipelines/{pipeline}", json=body)
    await shared_mill.work()
    after = (await shared_mill.client.get(f"pipelines/{pipeline}")).json()["status"]
    again = await shared_mill.client.put(f"{shared_mill.workspace}/pipelines/{pipeline}", json=body)

    assert (before, updated.json()["status"], after, again.json()["status"]) == (
        "FAILED", "PROVISIONING", "READY", "READY",
    )  # fmt: skip
    assert [job["type"] for job in await _jobs(shared_mill, pipeline)] == ["PIPELINE_CONFIG"] * 2


@row("6.5 DRAFT")
async def test_a_draft_does_not_run_until_it_is_put(shared_mill: Mill) -> None:
    path, body = (
        f"{shared_mill.workspace}/pipelines/{uuid4()}",
        {"label": "drafted", "dataComponents": [], "script": "true"},
    )
    draft = (await shared_mill.client.put(f"{path}/draft", json={**body, "schedule": "* * * * * *"})).json()
    refused = await shared_mill.client.post(f"pipelines/{draft['id']}/jobs")
    due = await shared_mill.house.database.all("select 1 from schedule where definition = %(id)s", {"id": draft["id"]})
    put = await shared_mill.client.put(path, json=body)
    await shared_mill.work()

    assert (draft["status"], refused.status_code, due) == ("DRAFT", 409, [])
    assert (put.status_code, put.json()["status"]) == (200, "PROVISIONING")
    assert (await shared_mill.run(draft["id"]))["status"] == "COMPLETE"


@row("6.2 V1")
async def test_the_statuses_of_2021_by_setting(told: Told, shared_mill: Mill) -> None:
    """
    Section 6.2: no start is UNKNOWN, a stop is ERROR; the rest keep their names.
    """
    wire = matatika_wire(replace(shared_mill.desk, v1_statuses=True), shared_mill.deployments, new_id=uuid4)
    stages = {"complete": "COMPLETE", "error": "ERROR", "stopped": "ERROR", "timed out": "ERROR", "withdrawn": "ERROR"}
    queued = await shared_mill.create(told.pipelines["bad"])
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=wire.app),
        base_url="http://headrace.test/api",
        headers={"authorization": f"Bearer {ADMIN_KEY}"},
    ) as client:
        found = {stage: (await client.get(f"jobs/{told.jobs[stage]['id']}")).json()["status"] for stage in stages}
        unknown = (await client.get(f"jobs/{queued['id']}")).json()["status"]
    await shared_mill.client.delete(f"jobs/{queued['id']}")

    assert (found, unknown) == (stages, "UNKNOWN")


@row("6.2 final")
@pytest.mark.parametrize("stage", ["complete", "error", "stopped", "timed out", "withdrawn", "recovered"])
async def test_a_final_status_stays(told: Told, shared_mill: Mill, stage: str) -> None:
    """
    Whatever is asked of a job that has ended, it is told as it was.
    """
    await shared_mill.client.put(f"jobs/{told.jobs[stage]['id']}/stopped")
    await shared_mill.work()

    assert await shared_mill.job(told.jobs[stage]["id"]) == told.jobs[stage]


@row("6.3 Which")
@pytest.mark.parametrize("active", ["PIPELINE_CONFIG", "PIPELINE_VERIFY", "PIPELINE_RUN"])
async def test_any_active_job_of_a_pipeline_refuses_others(shared_mill: Mill, active: str) -> None:
    """
    Run, config and verify jobs count alike; the message names the one that is active.
    """
    pipeline = await shared_mill.pipeline(f"busy-{active}", script="true", ready=active != "PIPELINE_CONFIG")
    if active != "PIPELINE_CONFIG":
        path = "jobs" if active == "PIPELINE_RUN" else "verification"
        assert (await shared_mill.client.post(f"pipelines/{pipeline}/{path}")).is_success
    (job, *_) = await _jobs(shared_mill, pipeline)
    refused = [await shared_mill.client.post(f"pipelines/{pipeline}/{path}") for path in ("jobs", "verification")]
    await shared_mill.work()

    assert job["type"] == active
    assert [answer.status_code for answer in refused] == [409, 409]
    assert all(job["id"] in answer.json()["message"] for answer in refused)
    assert (await shared_mill.client.post(f"pipelines/{pipeline}/jobs")).status_code == 201
    await shared_mill.work()


@row("6.3 Limit")
async def test_what_exceeds_the_slots_stays_queued(shared_mill: Mill) -> None:
    """
    Two pipelines, one slot: the second job is QUEUED while the first has it, and runs after it.
    """
    first, second = [await shared_mill.pipeline(f"slot-{number}", script="true") for number in (1, 2)]
    jobs = [await shared_mill.create(each) for each in (first, second)]
    house: House = shared_mill.house
    admitted = await house.admit(1)
    waiting = await shared_mill.job(jobs[1]["id"])
    await shared_mill.run_admitted(admitted[0])
    await shared_mill.work()

    assert [str(each) for each in admitted] == [jobs[0]["id"]]
    assert waiting["status"] == "QUEUED"
    assert [(await shared_mill.job(job["id"]))["status"] for job in jobs] == ["COMPLETE", "COMPLETE"]


@row("6.4 timeout")
def test_a_timeout_of_0_is_300_seconds() -> None:
    pipeline = Pipeline(id=uuid4(), workspace_id=uuid4(), name="x", label="x")

    assert pipeline.wall_seconds == 300
    assert replace(pipeline, timeout_seconds=5).wall_seconds == 5


@row("6.4 maxRetries")
async def test_retries_end_with_the_last_error(shared_mill: Mill) -> None:
    """
    An ERROR is tried `maxRetries` times again, then stays; the exit code is the last try's.
    """
    job = await shared_mill.run(await shared_mill.pipeline("hopeless", script="exit 9", maxRetries=2), tries=4)

    assert (job["status"], job["exitCode"], job["attempt"], job["maxAttempts"]) == ("ERROR", 9, 2, 2)
    assert (await shared_mill.logs(job["id"])).splitlines() == ["--- Attempt 2 of 3 ---", "--- Attempt 3 of 3 ---"]


@row("6.6 Syntax")
@pytest.mark.parametrize(
    ("schedule", "accepted"),
    [
        ("0 0 9-17 * * MON-FRI", True), ("0 0 0 25 12 ?", True), ("0 0 0 * * 0", True), ("*/10 * * * * *", True),
        ("0 0 0 ? JAN SUN", True), ("-", True), ("0 0 0 L * ?", True),
        ("@daily", False), ("0 0 * * *", False), ("0 0 0 1 1 ? 2027", False), ("0 0 0 ? * MON#1", False), ("60 * * * * *", False),
        ("0 0 0 31 2 ?", False), ("0 0 0 * * 8", False), ("? * * * * *", False), ("0 0 0 * * MON-FRI; ls", False),
        ("0 0 0 * * Montag", False), ("0 0/0 * * * *", False), ("H * * * * *", False), ("rate(5 minutes)", False),
    ],
)  # fmt: skip
async def test_a_schedule_is_six_fields(shared_mill: Mill, schedule: str, accepted: bool) -> None:
    """
    The documented samples; macros, `#`, five and seven fields, impossible days, and what other schedulers read, are refused by the field.
    """
    body = {"label": "x", "dataComponents": [], "script": "true", "schedule": schedule}
    answer = await shared_mill.client.post(f"{shared_mill.workspace}/pipelines/validation", json=body)

    assert (answer.status_code == 200) == accepted, answer.text
    assert accepted or [each["field"] for each in answer.json()["errors"]] == ["schedule"]


@row("6.6 Dialect", "6.6 Zone")
@pytest.mark.parametrize(
    ("schedule", "instant"),
    [
        ("0 0 0 * * 0", "2026-01-11T00:00:00Z"), ("0 0 0 * * 7", "2026-01-11T00:00:00Z"), ("0 0 0 * * SUN", "2026-01-11T00:00:00Z"),
        ("0 0 0 13 * FRI", "2026-02-13T00:00:00Z"), ("0 0 0 L * ?", "2026-01-31T00:00:00Z"), ("30 15 4 * * *", "2026-01-05T04:15:30Z"),
    ],
)  # fmt: skip
def test_a_schedule_is_springs_in_utc(schedule: str, instant: str) -> None:
    """
    Sunday is 0 or 7; a day has to meet both day fields; L is the last day.
    """
    assert spring_cron.next_after(schedule, MONDAY) == datetime.fromisoformat(instant)


@row("6.6 Dialect")
@pytest.mark.parametrize("off", ["-", ""])
async def test_a_dash_is_off(shared_mill: Mill, off: str) -> None:
    """
    A schedule that was on goes with a dash, or with none.
    """
    pipeline = await shared_mill.pipeline(f"off{off}", script="true", schedule="0 0 0 1 1 ?")
    scheduled = await _due(shared_mill, pipeline)
    body = {"label": f"off{off}", "dataComponents": [], "script": "true", "schedule": off}
    await shared_mill.client.put(f"{shared_mill.workspace}/pipelines/{pipeline}", json=body)

    assert len(scheduled) == 1
    assert await _due(shared_mill, pipeline) == []


@row("6.6 Missed")
async def test_instants_that_nobody_was_there_for_are_let_go(mill: Mill) -> None:
    """
    A server that comes back hours later runs the next instant, none of those between.
    """
    pipeline = await mill.pipeline("hourly", script="true", schedule="0 0 * * * *")
    (due,) = await _due(mill, pipeline)

    await mill.schedules.fire_next(now=due["next_at"] + timedelta(hours=5, minutes=20))
    (then,) = await _due(mill, pipeline)

    assert [job["type"] for job in await _jobs(mill, pipeline)] == ["PIPELINE_CONFIG"]
    assert then["next_at"] == due["next_at"] + timedelta(hours=6)


@row("6.6 Meltano")
@pytest.mark.parametrize(
    ("interval", "schedule"),
    [("15 4 * * *", "0 15 4 * * *"), ("@hourly", "0 0 * * * *"), ("@daily", "0 0 0 * * *"), ("@weekly", "0 0 0 * * 0"),
     ("@monthly", "0 0 0 1 * *"), ("@yearly", "0 0 0 1 1 *"), ("@once", "-")],
)  # fmt: skip
def test_files_may_have_meltanos_schedules(interval: str, schedule: str) -> None:
    """
    Five fields and macros get a second before them, and mean the same.
    """
    assert spring_cron.from_meltano(interval) == schedule
    with pytest.raises(InvalidError):
        spring_cron.check(interval)


@row("6.6 triggeredBy")
async def test_only_a_success_triggers_and_a_deployment_does_too(told: Told, shared_mill: Mill) -> None:
    """
    Not an ERROR, not a STOPPED; `deploy` in any case.
    """
    failing = await shared_mill.pipeline("cause-bad", script="exit 1")
    after_bad = await shared_mill.pipeline("after-bad", script="true", triggeredBy=["cause-bad"])
    after_deploy = await shared_mill.pipeline("after-deploy", script="true", triggeredBy=["Deploy"])
    await shared_mill.run(failing)
    stopped = await shared_mill.create(failing)
    await shared_mill.client.put(f"jobs/{stopped['id']}/stopped")
    await shared_mill.client.post(f"{shared_mill.workspace}/deployments")
    await shared_mill.work()
    await shared_mill.follow_ups.tick()
    await shared_mill.work()

    assert [job["type"] for job in await _jobs(shared_mill, after_bad)] == ["PIPELINE_CONFIG"]
    triggered = (await _jobs(shared_mill, after_deploy))[0]
    assert (triggered["type"], triggered["triggeredBy"], triggered["status"]) == ("PIPELINE_RUN", "deploy", "COMPLETE")
    await shared_mill.client.delete(f"pipelines/{after_deploy}")


async def _jobs(mill: Mill, pipeline: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await mill.client.get(f"pipelines/{pipeline}/jobs")).json()["_embedded"]["jobs"]
    return found


async def _due(mill: Mill, pipeline: str) -> list[dict[str, Any]]:
    return await mill.house.database.all(
        "select next_at from schedule where definition = %(definition)s", {"definition": pipeline}
    )
