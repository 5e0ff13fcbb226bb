"""
How jobs stand: counts, why one waits, text, items by state, the end of a log, schedules.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import httpx2
import pytest
from house import House
from house_hotglue import tenancy_of
from item_kit import Batches

from headrace.core.outcome import Blame, Cause, Failed
from headrace.services.schedules import SchedulePlace
from headrace.store.logs import LogEntry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def _waiting(client: httpx2.AsyncClient, job_id: object) -> dict[str, object]:
    found: dict[str, object] = (await client.get(f"/api/v1/jobs/{job_id}/waiting")).json()
    return found


async def test_a_waiting_job_says_what_it_waits_for(client: httpx2.AsyncClient, house: House) -> None:
    """
    In the order of what is nearest: the job that holds its key, a missing worker, full slots, its turn.
    """
    running = (await house.started(key="a")).job
    behind = await house.submit(key="a")
    last = await house.submit(key="a")
    free = await house.submit(key="b")

    held = await _waiting(client, behind.id)
    assert (held["code"], held["holder_id"]) == ("key", str(running.id))
    assert "1 job before it" in str((await _waiting(client, last.id))["sentence"])
    assert (await _waiting(client, running.id))["code"] == "running"
    assert (await _waiting(client, free.id))["code"] == "no-worker"

    node = uuid4()
    await house.nodes.beat(node, name="node-1", roles=["worker"], slots=1)
    full = await _waiting(client, free.id)
    await house.nodes.beat(node, name="node-1", roles=["worker"], slots=2)

    assert (full["code"], "(1 in all)" in str(full["sentence"])) == ("slots", True)
    assert (await _waiting(client, free.id))["code"] == "turn"


async def test_a_retry_says_when(client: httpx2.AsyncClient, house: House) -> None:
    work = await house.started()
    job = await house.finish(work, Failed(Cause("sync", "It fell.", Blame.DEVELOPER)), max_attempts=2)

    found = await _waiting(client, job.id)

    assert (found["code"], datetime.fromisoformat(str(found["due_at"]))) == ("retry", job.due_at)


async def test_jobs_are_counted_by_state_in_a_workspace(client: httpx2.AsyncClient, house: House) -> None:
    work = await house.started()
    await house.finish(work, Failed(Cause("sync", "It fell.")))
    await house.started(key="a")
    await house.submit(key="a")
    await house.submit(key="b")
    elsewhere = await house.workspaces.declare(uuid4(), "elsewhere", {})
    other = await house.access.make_key(name="o", role="viewer", workspace_id=elsewhere.id)

    counts = (await client.get("/api/v1/counts")).json()
    theirs = (await client.get("/api/v1/counts", headers={"x-api-key": other})).json()

    assert {state: many for state, many in counts["unfinished"].items() if many} == {"running": 1, "waiting": 2}
    assert {state: many for state, many in counts["ended"].items() if many} == {"failed": 1}
    assert set(theirs["unfinished"].values()) | set(theirs["ended"].values()) == {0}


@pytest.mark.parametrize(
    ("text", "names"),
    [("NIGHTLY", ["Nightly 100%"]), ("100%", ["Nightly 100%"]), ("_", []), ("globex", ["other"]), ("flights", ["other", "Nightly 100%"])],
)  # fmt: skip
async def test_jobs_are_found_by_text(client: httpx2.AsyncClient, house: House, text: str, names: list[str]) -> None:
    """
    In names and ids, in whatever case; `%` and `_` stand for themselves.
    """
    await house.submit(name="Nightly 100%", tenant="acme")
    await house.submit(name="other", tenant="globex")

    found = (await client.get("/api/v1/jobs", params={"text": text})).json()["jobs"]

    assert [job["name"] for job in found] == names


async def test_a_job_of_items_shows_how_far_it_is(client: httpx2.AsyncClient, house: House) -> None:
    job = await Batches(house).submit(["read-book"] * 3)

    shown = (await client.get(f"/api/v1/jobs/{job.id}")).json()
    pending = (await client.get(f"/api/v1/jobs/{job.id}/items", params={"state": ["pending"]})).json()["items"]
    failed = (await client.get(f"/api/v1/jobs/{job.id}/items", params={"state": ["failed"]})).json()["items"]

    assert (shown["items"]["total"], shown["items"]["completed"]) == (3, 0)
    assert ([item["ordinal"] for item in pending], failed) == ([0, 1, 2], [])


async def test_the_end_of_a_log_is_read_without_what_is_before(client: httpx2.AsyncClient, house: House) -> None:
    job = await house.submit()
    lines = [LogEntry(number, NOW, "sync", "tap.stderr", f"line {number}") for number in range(1, 11)]
    await house.logs.append(job.id, 1, lines[:6])
    await house.logs.append(job.id, 2, lines[6:])

    found = (await client.get(f"/api/v1/jobs/{job.id}/logs", params={"last": 3})).json()

    assert ([line["number"] for line in found["lines"]], found["next"]) == ([8, 9, 10], 10)


async def test_schedules_are_listed_without_what_they_run_with(client: httpx2.AsyncClient, house: House) -> None:
    place = SchedulePlace(house.workspace.id, "acme", "hotglue", "flights")
    asked = {"expression": "cron(0 5 * * *)", "options": {"token": "secret"}}
    await tenancy_of(house).schedules.put(place, now=NOW, **asked)

    reply = await client.get("/api/v1/schedules")

    (found,) = reply.json()["schedules"]
    assert (found["definition"], found["tenant"], found["enabled"]) == ("flights", "acme", True)
    assert found["next_at"] == "2026-03-02T05:00:00Z"
    assert "secret" not in reply.text
