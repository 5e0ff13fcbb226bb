"""
hotglue's run and poll calls over HTTP.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
from hotglue_rows import row
from house import House
from house_app import client_of, face_of

from headrace.core.outcome import Cause, Failed, Succeeded
from headrace.core.state import JobState
from headrace.store.logs import LogEntry

JOBS = "/hotglue/demo/flights/acme/jobs"
NO_SUCH_ROOT = {"Code": "Error", "Message": "Invalid job_root supplied - job does not exist!"}


@row("2.2 J1")
async def test_a_run_answers_with_the_job_that_was_made(client: httpx2.AsyncClient, house: House) -> None:
    """
    200 with the documented fields, and the job is in the history when it arrives.
    """
    reply = await client.post(JOBS, json={"tap": "tap-flights", "job_name": "by hand"})

    assert reply.status_code == 200
    body = reply.json()
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{5}", body["job_id"])
    assert re.fullmatch(
        r"acme/flows/flights/jobs/\d{4}/\d\d/\d/\d\d/\d\d/" + re.escape(body["job_id"]), body["s3_root"]
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", body["start_time"])
    assert (body["status"], body["message"], body["processed_rows"]) == ("JOB_CREATED", "", 0)
    assert (body["env_id"], body["flow_id"], body["tenant"]) == ("demo", "flights", "acme")
    assert (body["tap"], body["job_name"], body["state"], body["scheduled_job"]) == (
        "tap-flights",
        "by hand",
        {},
        False,
    )
    kept = await house.jobs.by_root(body["s3_root"], workspace_id=house.workspace.id)
    assert kept is not None
    assert kept.public_id == body["job_id"]


@pytest.mark.parametrize(
    ("content", "headers"),
    [(b"", {}), (b"{}", {}), (b"  \n", {"content-type": "application/json"}), (b"{}", {"content-type": "text/plain"})],
)
@row("4 tap", "10 12")
async def test_an_empty_body_runs_the_only_linked_tap(
    client: httpx2.AsyncClient, content: bytes, headers: dict[str, str]
) -> None:
    reply = await client.post(JOBS, content=content, headers=headers)

    assert reply.status_code == 200
    assert reply.json()["tap"] == "tap-flights"
    assert re.fullmatch(r"flights-tap-flights-\d{8}-\d{6}", reply.json()["job_name"])


@row("4 job_name")
async def test_the_widgets_own_form_names_the_job(client: httpx2.AsyncClient) -> None:
    reply = await client.post(JOBS, json={"job": {"job_name": "from the widget"}, "surprise": [1, 2]})

    assert reply.json()["job_name"] == "from the widget"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tap": 5}, "tap"),
        ({"tap": None}, "tap"),
        ({"state": []}, "state"),
        ({"job_name": {"a": 1}}, "job_name"),
        ({"streaming_job": "yes"}, "streaming_job"),
        ({"queue_if_active_job": 1}, "queue_if_active_job"),
        ({"override_start_date": "yesterday"}, "override_start_date"),
        ({"override_start_date": "2022-02-30"}, "override_start_date"),
        ({"override_end_date": "2022-08-08T25:00:00Z"}, "override_end_date"),
        ({"override_source_config": "x"}, "override_source_config"),
        ({"environment_variables": {"A=B": "1"}}, "environment_variables"),
        ({"environment_variables": {"A": "\x00"}}, "environment_variables"),
        ({"override_field_map": {"a": "\x00"}}, "override_field_map"),
        ({"job_name": "a\x00b"}, "job_name"),
    ],
)
async def test_a_wrong_field_is_named(client: httpx2.AsyncClient, body: dict[str, Any], field: str) -> None:
    reply = await client.post(JOBS, json=body)

    assert reply.status_code == 400
    assert reply.json()["Code"] == "BadRequestError"
    assert f"`{field}`" in reply.json()["Message"]


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b'{"state": {"a": NaN}}',
        b'{"state": {"a": 1e999}}',
        b'{"state": {"a": "\\ud800"}}',
        b'{"state":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001,
        b'{"state": {"a": ' + b"9" * 10_000 + b"}}",
    ],
)
async def test_a_body_that_is_no_json_object_is_refused_calmly(client: httpx2.AsyncClient, content: bytes) -> None:
    reply = await client.post(JOBS, content=content)

    assert reply.status_code == 400
    assert reply.json()["Code"] == "BadRequestError"


@row("4 state")
async def test_state_comes_back_as_it_was_sent(client: httpx2.AsyncClient) -> None:
    """
    The data of a job are echoed whole, NUL and numbers beyond 64 bits included.
    """
    state = {"Contact": [{"id": 2**70, "text": "a\x00b \\u0000 é", "none": None, "float": 1.5}]}
    made = (await client.post(JOBS, json={"tap": "api", "state": state})).json()

    polled = (await client.get(f"{JOBS}/status", params={"job_root": made["s3_root"]})).json()

    assert made["state"] == state
    assert polled["state"] == state
    assert polled["tap"] == "api"


@row("4 queue_if_active_job", "4 blocked", "10 1")
async def test_a_blocked_run_is_refused_and_one_that_queues_is_kept(client: httpx2.AsyncClient, house: House) -> None:
    """
    While a job of the flow and tenant is not finished: 400, or 202 without an id in the body.
    """
    first = await client.post(JOBS)
    blocked = await client.post(JOBS, json={"queue_if_active_job": False})
    queued = await client.post(JOBS, json={"queue_if_active_job": True})
    beside = await client.post(JOBS, json={"ignore_parallel_jobs": True})

    assert [reply.status_code for reply in (first, blocked, queued, beside)] == [200, 400, 202, 200]
    assert blocked.json() == {"Code": "BadRequestError", "Message": "There is a job currently running"}
    assert queued.json() == {
        "message": "Job has been queued. It will run when available",
        "reason": "There is a job currently running",
    }
    assert len(await house.jobs.history(house.workspace.id)) == 3
    follow = await client.get(f"{JOBS}/status?job_root={queued.headers['x-job-root']}")
    assert follow.json()["status"] == "JOB_CREATED"


@row("4 scope")
async def test_other_tenants_and_flows_are_not_in_the_way(client: httpx2.AsyncClient, house: House) -> None:
    await house.link("flights", "globex", "source", "tap-flights")

    replies = await asyncio.gather(client.post(JOBS), client.post("/hotglue/demo/flights/globex/jobs"))

    assert [reply.status_code for reply in replies] == [200, 200]


async def test_of_many_parallel_runs_one_is_accepted(client: httpx2.AsyncClient) -> None:
    replies = await asyncio.gather(*(client.post(JOBS) for _ in range(50)))

    assert sorted(reply.status_code for reply in replies) == [200] + [400] * 49


async def test_a_repeated_idempotency_key_gives_the_same_job(client: httpx2.AsyncClient) -> None:
    """
    Also while the job runs, when a new request would be blocked; another request under the key is refused.
    """
    replies = [
        await client.post(JOBS, headers={"idempotency-key": "k1"}, json={"tap": "tap-flights"}) for _ in range(2)
    ]
    other = await client.post(JOBS, headers={"idempotency-key": "k1"}, json={"tap": "api"})

    assert replies[0].json() == replies[1].json()
    assert other.status_code == 400


@pytest.mark.parametrize(
    "place",
    ["nowhere/flights/acme", "demo/nothing/acme", "demo/flights/nobody", "demo/flights/%01", "demo/flights/%2e%2e"],
)
async def test_unknown_or_impossible_places_are_refused(client: httpx2.AsyncClient, place: str) -> None:
    """
    The run call documents no 404, so an unknown environment, flow or link is a 400.
    """
    reply = await client.post(f"/hotglue/{place}/jobs", json={})

    assert reply.status_code == 400
    assert set(reply.json()) == {"Code", "Message"}


@row("4 tap")
async def test_a_tap_that_is_not_linked_is_refused_with_the_choices(client: httpx2.AsyncClient, house: House) -> None:
    await house.link("flights", "acme", "source", "tap-rails")

    unlinked = await client.post(JOBS, json={"tap": "tap-ships"})
    several = await client.post(JOBS)

    assert unlinked.status_code == several.status_code == 400
    for reply in (unlinked, several):
        assert "`tap-flights`, `tap-rails`" in reply.json()["Message"]


@pytest.mark.parametrize("headers", [{"x-api-key": ""}, {"x-api-key": "wrong"}, {"authorization": "Basic eDp5"}])
async def test_without_a_good_key_nothing_is_told(app: Any, headers: dict[str, str]) -> None:
    """
    403 in the gateway's form, whatever else is wrong with the request.
    """
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://headrace.test") as anybody:
        for reply in (
            await anybody.post(JOBS, content=b"[", headers=headers),
            await anybody.get(f"{JOBS}/status", headers=headers),
            await anybody.get("/hotglue/nowhere/x/y/jobs", headers=headers),
        ):
            assert reply.status_code == 403
            assert reply.json()["message"] == "Forbidden"


async def test_a_key_opens_its_own_workspace_and_its_own_rights(client: httpx2.AsyncClient, house: House) -> None:
    """
    A viewer may poll and not run; a key of another workspace does not learn that this one exists.
    """
    made = (await client.post(JOBS)).json()
    viewer = await house.access.make_key(name="viewer", role="viewer", workspace_id=house.workspace.id)
    other = await house.workspaces.declare(uuid4(), "other", {})
    stranger = await house.access.make_key(name="stranger", role="environment", workspace_id=other.id)
    root = {"job_root": made["s3_root"]}

    assert (await client.get(f"{JOBS}/status", params=root, headers={"x-api-key": viewer})).status_code == 200
    assert (await client.post(JOBS, headers={"x-api-key": viewer})).status_code == 403
    assert (await client.get(f"{JOBS}/status", params=root, headers={"x-api-key": stranger})).status_code == 400
    bearer = await client.get(
        f"{JOBS}/status", params=root, headers={"x-api-key": "", "authorization": f"Bearer {viewer}"}
    )
    assert bearer.status_code == 200


async def test_a_root_of_elsewhere_does_not_exist(client: httpx2.AsyncClient, house: House) -> None:
    """
    Unknown, malformed, another tenant's and another flow's root: the documented 400, byte for byte.
    """
    made = (await client.post(JOBS)).json()["s3_root"]
    paths = [
        f"{JOBS}/status?job_root=acme/flows/flights/jobs/none",
        f"{JOBS}/status?job_root=",
        f"{JOBS}/status?job_root=%F0%9F%92%A5",
        f"/hotglue/demo/flights/globex/jobs/status?job_root={made}",
        f"/hotglue/demo/rails/acme/jobs/status?job_root={made}",
    ]
    for path in paths:
        reply = await client.get(path)
        assert (reply.status_code, reply.json()) == (400, NO_SUCH_ROOT)

    missing = await client.get(f"{JOBS}/status")
    assert missing.status_code == 400
    assert "job_root" in missing.json()["Message"]
    assert (await client.get(f"{JOBS}/status?job_root=%00")).status_code == 400


@row("2.2 J2")
async def test_polling_follows_the_job_to_its_end(client: httpx2.AsyncClient, house: House) -> None:
    """
    The words go JOB_CREATED, SYNC_STARTED, SYNC_SUCCESS … JOB_COMPLETED, with counts and message at the end.
    """
    root = (await client.post(JOBS)).json()["s3_root"]

    async def polled() -> dict[str, Any]:
        reply = await client.get(f"{JOBS}/status", params={"job_root": root})
        assert reply.status_code == 200
        found: dict[str, Any] = reply.json()
        return found

    job = await house.jobs.by_root(root, workspace_id=house.workspace.id)
    assert job is not None
    await house.admit(1)
    work = await house.claim(job.id)
    assert work is not None
    words = [(await polled())["status"]]
    for step in work.job.steps:
        await house.attempts.start_step(work, step.ordinal)
        words.append((await polled())["status"])
        output = {"record_count": {"flights": 7, "rails": 2}} if step.name == "sync" else {}
        await house.attempts.finish_step(work, step.ordinal, Succeeded(output))
        words.append((await polled())["status"])
    await house.settle(work, Succeeded())
    done = await polled()

    assert [*words, done["status"]] == [
        "JOB_CREATED",
        "SYNC_STARTED",
        "SYNC_SUCCESS",
        "ETL_STARTED",
        "ETL_SUCCESS",
        "EXPORT_STARTED",
        "EXPORT_STARTED",
        "JOB_COMPLETED",
    ]
    assert (done["message"], done["processed_rows"], done["error"]) == ("Job completed", 9, None)
    assert done["metrics"]["recordCount"] == {"flights": 7, "rails": 2}
    assert done["flow"] == done["flow_id"] == "flights"


async def test_a_failed_job_tells_its_cause_first(client: httpx2.AsyncClient, house: House) -> None:
    made = (await client.post(JOBS)).json()
    job = await house.jobs.by_root(made["s3_root"], workspace_id=house.workspace.id)
    assert job is not None
    await house.admit(1)
    work = await house.claim(job.id)
    assert work is not None
    await house.finish(work, Failed(Cause("sync", "The tap exited with 3.", instruction="Read its log.")))

    reply = await client.get(f"{JOBS}/status", params={"job_root": made["s3_root"]})

    assert reply.json()["status"] == "SYNC_FAILED"
    assert reply.json()["message"] == "The tap exited with 3. Read its log."
    assert reply.json()["error"]["message"] == reply.json()["message"]


@row("2.2 J4", "2.2 J5")
async def test_history_and_latest_list_newest_first(client: httpx2.AsyncClient) -> None:
    assert (await client.get(JOBS)).json() == []
    assert (await client.get(f"{JOBS}/latest")).json() == {}
    made = [
        (await client.post(JOBS, json={"ignore_parallel_jobs": True, "tap": tap})).json()
        for tap in ("tap-flights", "api", "api")
    ]

    listed = (await client.get(JOBS)).json()
    of_api = (await client.get(JOBS, params={"entity_id": "api", "entity_type": "source"})).json()

    assert [job["s3_root"] for job in listed] == [job["s3_root"] for job in reversed(made)]
    assert (await client.get(JOBS, params={"count": 1})).json() == listed[:1]
    assert (await client.get(f"{JOBS}/latest")).json() == listed[0]
    assert len(of_api) == 2
    assert (await client.get(JOBS, params={"limit": "many"})).status_code == 400


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@row("2.2 J6", "drill 41")
async def test_a_job_can_be_killed(client: httpx2.AsyncClient, house: House, method: str) -> None:
    """
    A job that no worker has ends at once, in a word that makes clients stop polling.
    """
    made = (await client.post(JOBS)).json()
    root = made["s3_root"]

    killed = await client.request(method, f"{JOBS}/kill", params={"job_root": root})
    again = await client.request(method, f"{JOBS}/kill", json={"job_root": root})
    without = await client.request(method, f"{JOBS}/kill")

    assert killed.json()["status"] == "SYNC_FAILED"
    assert killed.json()["message"].startswith("Job was killed")
    assert again.status_code == without.status_code == 400
    job = await house.jobs.by_root(root, workspace_id=house.workspace.id)
    assert job is not None
    assert job.state is JobState.CANCELLED


async def test_logs_come_as_text_and_as_lines_of_json(client: httpx2.AsyncClient, house: House) -> None:
    made = (await client.post(JOBS)).json()
    job = await house.jobs.by_root(made["s3_root"], workspace_id=house.workspace.id)
    assert job is not None
    at = datetime(2024, 1, 2, 3, 4, 5, 6000, UTC)
    entries = [LogEntry(number, at, "sync", "tap.stderr", f"line {number}") for number in range(1, 2501)]
    await house.logs.append(job.id, 1, entries[:1500])
    await house.logs.append(job.id, 2, entries[1500:])
    root = quote(made["s3_root"])

    text = await client.get(f"{JOBS}/logs?job_root={root}")
    lines = await client.get(f"{JOBS}/logs?job_root={root}&format=ndjson&after=2498")

    assert text.headers["content-type"].startswith("text/plain")
    assert text.text.splitlines()[0] == "2024-01-02T03:04:05.006000Z sync line 1"
    assert len(text.text.splitlines()) == 2500
    assert [line for line in lines.text.splitlines() if '"line 2500"' in line]
    assert len(lines.text.splitlines()) == 2
    assert (await client.get(f"{JOBS}/logs?job_root=other")).json() == NO_SUCH_ROOT


async def test_secrets_of_a_run_are_kept_and_not_shown(client: httpx2.AsyncClient, house: House) -> None:
    """
    Overrides and variables reach the worker; the record, the history and the database's plain columns show names only.
    """
    body = {
        "override_source_config": {"token": "s3cret-source"},
        "override_target_config": {"token": "s3cret-target"},
        "environment_variables": {"TOKEN": "s3cret-variable", "COUNT": 3},
    }
    made = await client.post(JOBS, json=body)
    job = await house.jobs.by_root(made.json()["s3_root"], workspace_id=house.workspace.id)
    assert job is not None
    await house.admit(1)
    work = await house.claim(job.id)
    row = await house.database.one("select to_jsonb(job)::text || to_jsonb(job_plan)::text as text from job, job_plan")

    assert work is not None
    assert work.sealed["source_config"] == {"token": "s3cret-source"}
    assert work.sealed["environment"] == {"TOKEN": "s3cret-variable", "COUNT": "3"}
    assert row is not None
    assert "s3cret" not in made.text + row["text"]
    assert made.json()["override_source_config"] == {"token": "***"}


async def test_the_root_can_be_the_dialects_own(house: House) -> None:
    """
    With the setting root_dialect, clients that cannot take a path find the same calls at the root.
    """
    async with client_of(face_of(house, root_dialect="hotglue")) as client:
        assert (await client.post("/demo/flights/acme/jobs")).status_code == 200
        assert len((await client.get("/hotglue/demo/flights/acme/jobs")).json()) == 1
        assert (await client.get("/healthz")).json() == {"status": "alive"}
        assert (await client.get("/nothing")).json()["Code"] == "NotFoundError"
