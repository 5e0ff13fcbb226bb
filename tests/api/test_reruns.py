"""
Running ended jobs again over the core API: what is taken over, what may be changed, and what is refused.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from house import House
from house_app import client_of

from headrace.core.job import Job
from headrace.core.outcome import Blame, Cause, Failed, Succeeded, settle
from headrace.core.plan import Plan
from headrace.services.attempts import Work
from headrace.store import job_reads
from headrace.store.job_rows import folder_of

INITIAL, BOOKMARK = b'{"at": 1}', b'{"at": 2}'


@pytest.fixture
async def failed(house: House, client: httpx2.AsyncClient) -> Job:
    """
    A job whose sync completed and whose script failed, with the files that its sync made.
    """
    made = await client.post(
        "/api/v1/flows/demo/flights/runs", json={"tenant": "acme", "environment_variables": {"A": "1", "B": "2"}}
    )
    work = await _claimed(house, made.json()["id"])
    await house.attempts.start_step(work, 0)
    await house.attempts.finish_step(work, 0, Succeeded({"record_count": {"people": 3}}))
    await house.attempts.start_step(work, 1)
    outcome = Failed(Cause("etl", "It broke.", who=Blame.DEVELOPER), fatal=True)
    await house.attempts.finish_step(work, 1, outcome)
    await house.settle(work, outcome)
    await _write_files(house, work.job)
    return await house.job(work.job.id)


async def _claimed(house: House, job_id: str) -> Work:
    await house.admit(house.queue.slots + 1)
    work = await house.claim(UUID(job_id))
    assert work is not None
    return work


async def _write_files(house: House, job: Job) -> None:
    folder = folder_of(job.id, job.created_at)
    files = {
        "sync-output/people.csv": b"id",
        ".headrace/initial-state.json": INITIAL,
        ".headrace/bookmark.json": BOOKMARK,
    }
    for path, data in files.items():
        await house.files.put(f"{folder}/{path}", data)


async def _rerun(client: httpx2.AsyncClient, job: Job, *, key: str | None = None, **body: Any) -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post(f"/api/v1/jobs/{job.id}/rerun", json=body, headers=headers)


async def _plan(house: House, job_id: str) -> tuple[Plan, Any]:
    async with house.database.connection() as connection:
        plan, sealed = await job_reads.plan_of(connection, UUID(job_id))
    return plan, house.sealer.open(sealed, f"job:{job_id}") if sealed else {}


async def test_a_rerun_is_the_same_plan_under_new_names(house: House, client: httpx2.AsyncClient, failed: Job) -> None:
    """
    With the inputs that came with the old one, sealed anew; only what names the job differs.
    """
    made = (await _rerun(client, failed)).json()

    old, inputs = await _plan(house, str(failed.id))
    new, again = await _plan(house, made["id"])
    named = {"JOB_ID": made["public_id"], "JOB_ROOT": made["root"]}
    assert again == inputs == {"environment": {"A": "1", "B": "2"}}
    assert new.variables == {**old.variables, **named}
    assert (new.steps, new.key, new.reuse) == (old.steps, old.key, None)
    assert (made["rerun_of"], made["trigger"], made["state"]) == (str(failed.id), "rerun", "waiting")
    assert made["public_id"] != failed.public_id
    assert [step["state"] for step in made["steps"]] == ["pending"] * 3


async def test_steps_before_the_wanted_one_are_taken_over(
    house: House, client: httpx2.AsyncClient, failed: Job
) -> None:
    """
    They are completed from the start, with what they counted; an engine begins with the first that is not.
    """
    made = (await _rerun(client, failed, **{"from": "etl"})).json()
    shown = (await client.get(f"/api/v1/jobs/{made['id']}")).json()

    plan, _ = await _plan(house, made["id"])
    assert plan.reuse is not None
    assert (plan.reuse.folder, plan.reuse.steps) == (folder_of(failed.id, failed.created_at), ("sync",))
    for view in (made, shown):
        assert [step["state"] for step in view["steps"]] == ["completed", "pending", "pending"]
        assert view["steps"][0]["output"] == {"record_count": {"people": 3}}
    work = await _claimed(house, made["id"])
    for ordinal in (1, 2):
        await house.attempts.start_step(work, ordinal)
        await house.attempts.finish_step(work, ordinal, Succeeded({}))
    settlement = settle(Succeeded({}), failures=0, max_attempts=1, now=work.job.created_at)
    assert settlement.state == "completed"


@pytest.mark.parametrize(("bookmark", "carried"), [({"at": 1}, True), ({"at": 5}, False), (None, False)])
async def test_a_bookmark_moves_only_from_where_the_old_job_began(
    house: House, client: httpx2.AsyncClient, failed: Job, bookmark: dict[str, int] | None, carried: bool
) -> None:
    """
    Somebody who has read further since, or has cleared the bookmark, is not undone.
    """
    (link,) = await house.connections.of_tenant(house.workspace.id, "acme", "flights")
    async with house.database.transaction() as connection:
        await house.connections.save_bookmark(connection, link.id, bookmark, job_id=None)

    made = (await _rerun(client, failed, **{"from": "etl"})).json()

    plan, _ = await _plan(house, made["id"])
    assert plan.reuse is not None
    assert plan.reuse.bookmark is carried


async def test_overrides_change_the_plan_and_nothing_else(
    house: House, client: httpx2.AsyncClient, failed: Job
) -> None:
    options = {
        "start_date": "2026-01-01T00:00:00Z",
        "max_records": "10",
        "empty_output": "allow",
        "priority": "7",
        "env.A": "9",
        "etl.memory_bytes": "none",
        "sync.wall_seconds": "7200",
    }
    made = await _rerun(client, failed, options=options)

    plan, sealed = await _plan(house, made.json()["id"])
    sync, etl, _ = plan.steps
    assert (sync.bookmark, sync.config.extra) == ("ignore", {"start_date": "2026-01-01T00:00:00Z"})
    assert (sync.max_records, sync.limits.wall_seconds) == (10, 7200.0)
    assert (etl.empty_output, etl.limits.memory_bytes, plan.priority) == ("allow", None, 7)
    assert sealed["environment"] == {"A": "9", "B": "2"}


async def test_what_cannot_be_run_again_is_refused(
    house: House, app: FastAPI, client: httpx2.AsyncClient, failed: Job
) -> None:
    """
    With the reason and the next move; nothing is written.
    """
    viewer = await house.access.make_key(name="looks", role="viewer")
    for body, status, said in (
        ({"from": "export"}, 409, "The step etl of the old job did not complete"),
        ({"from": "load"}, 400, "Its steps are: sync, etl, export"),
        ({"options": {"colour": "red"}}, 400, "There is no override 'colour'"),
        ({"options": {"bookmark": "forget"}}, 400, "use, ignore, reset"),
        ({"options": {"etl.memory_bytes": "-1"}}, 400, "above 0"),
        ({"options": {"etl.line_bytes": "none"}}, 400, "above 0"),
    ):
        reply = await _rerun(client, failed, **body)
        assert reply.status_code == status, reply.text
        assert said in reply.text
    async with client_of(app, viewer) as looker:
        assert (await _rerun(looker, failed)).status_code == 403
    await house.files.remove(folder_of(failed.id, failed.created_at))
    gone = await _rerun(client, failed, **{"from": "etl"})
    whole = await _rerun(client, failed)
    blocked = await _rerun(client, failed)
    queued = await _rerun(client, failed, queue=True)
    not_ended = await client.post(f"/api/v1/jobs/{whole.json()['id']}/rerun", json={})

    assert (gone.status_code, gone.json()["facts"]["step"]) == (409, "sync")
    assert [reply.status_code for reply in (whole, blocked, queued, not_ended)] == [201, 409, 201, 409]
    assert (blocked.json()["code"], queued.json()["queued"]) == ("active-job", True)


async def test_a_repeat_under_one_key_makes_no_second_job(
    house: House, client: httpx2.AsyncClient, failed: Job
) -> None:
    """
    Not even when the files that the first one took over are gone by now; another request under the key is refused.
    """
    first = await _rerun(client, failed, key="once", **{"from": "etl"})
    await house.files.remove(folder_of(failed.id, failed.created_at))
    again = await _rerun(client, failed, key="once", **{"from": "etl"})
    other = await _rerun(client, failed, key="once")

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 409)
    assert (again.json()["id"], again.json()["repeated"]) == (first.json()["id"], True)
    assert "idempotency key" in other.json()["reason"]


async def test_a_connection_that_is_gone_is_told_at_once(house: House, client: httpx2.AsyncClient, failed: Job) -> None:
    await house.database.run("delete from connection")

    refused = await _rerun(client, failed)

    assert refused.status_code == 409
    assert "not linked any more" in refused.json()["reason"]
