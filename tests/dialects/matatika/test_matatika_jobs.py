"""
Jobs J1 to J10 of the reference over the wire, with real scripts behind them.
"""

from __future__ import annotations

import asyncio
import json
from uuid import UUID, uuid4

import httpx2
import psutil
import pytest
from matatika_mill import Mill
from matatika_rows import row


@row("3 J5", "6.2 QUEUED", "6.2 COMPLETE")
async def test_a_script_pipeline_runs_to_complete(mill: Mill) -> None:
    """
    J5, J3: a created job is QUEUED with 201; a worker runs its script; it ends COMPLETE with its times and exit code.
    """
    pipeline = await mill.pipeline(script="echo hello from $PIPELINE_NAME\n")

    created = await mill.create(pipeline)
    await mill.work()
    job = await mill.job(created["id"])

    assert created["status"] == "QUEUED"
    assert created["type"] == "PIPELINE_RUN"
    assert UUID(created["id"]).version == 4
    assert "startTime" not in created
    assert "exitCode" not in created
    assert (job["status"], job["exitCode"]) == ("COMPLETE", 0)
    assert job["startTime"] <= job["endTime"]
    assert await mill.logs(job["id"]) == "hello from daily\n"


async def test_a_job_has_the_links_of_the_samples(mill: Mill) -> None:
    """
    Section 3.4: the stop action is named `withdraw job`, and is there while the job has not ended.
    """
    job = await mill.create(await mill.pipeline(script="true"))
    base = f"http://headrace.test/matatika/api/jobs/{job['id']}"

    assert job["_links"]["self"] == {"href": base}
    assert job["_links"]["delete job"] == {"href": base, "type": "DELETE"}
    assert job["_links"]["logs"] == {"href": f"{base}/logs?sequence=0", "type": "GET"}
    assert job["_links"]["withdraw job"] == {"href": f"{base}/stopped", "type": "PUT"}

    await mill.work()

    assert "withdraw job" not in (await mill.job(job["id"]))["_links"]


async def test_task_details_are_null_unless_asked_for(mill: Mill) -> None:
    """
    Seed: `taskName`, `exitMessage`, `arguments` and `errorMessage` are null without the header `enable-task-details: true`.
    """
    job = await mill.run(await mill.pipeline(script="echo boom >&2; exit 7"))

    plain, detailed = await mill.job(job["id"]), await mill.job(job["id"], **{"enable-task-details": "true"})

    details = ("taskName", "exitMessage", "arguments", "errorMessage")
    assert [plain[name] for name in details] == [None] * 4
    assert detailed["taskName"].startswith("pipeline-run-")
    assert detailed["arguments"] == ["bash", "script.sh"]
    assert detailed["errorMessage"] == "boom"


@row("6.2 ERROR")
async def test_a_script_that_exits_7_is_an_error_with_its_code(mill: Mill) -> None:
    """
    Section 6.2: finished with errors, and the process's own exit code.
    """
    job = await mill.run(await mill.pipeline(script="exit 7"))

    assert (job["status"], job["exitCode"]) == ("ERROR", 7)


@row("6.3 Rule", "6.3 Manual", "6.3 Race")
async def test_of_twenty_simultaneous_creates_exactly_one_is_made(mill: Mill) -> None:
    """
    Seed: only a single job can be run at a time for a given pipeline; the others are refused with 409 and nothing is created.
    """
    pipeline = await mill.pipeline(script="true")

    answers = await asyncio.gather(*(mill.client.post(f"pipelines/{pipeline}/jobs") for _ in range(20)))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] + [409] * 19
    made = next(answer.json() for answer in answers if answer.status_code == 201)
    refused = next(answer.json() for answer in answers if answer.status_code == 409)
    assert made["id"] in refused["message"]
    assert (refused["status"], refused["error"], refused["errors"]) == (409, "Conflict", [])
    listed = (await mill.client.get(f"pipelines/{pipeline}/jobs")).json()
    runs = [job for job in listed["_embedded"]["jobs"] if job["type"] == "PIPELINE_RUN"]
    assert [job["id"] for job in runs] == [made["id"]]


@row("3.1 J5", "6.5 PROVISIONING", "6.5 READY")
async def test_a_pipeline_that_is_not_configured_yet_refuses_runs(mill: Mill) -> None:
    """
    Section 6.5: a new pipeline is PROVISIONING until its PIPELINE_CONFIG job has ended; a run before that is a 409.
    """
    pipeline = await mill.pipeline(script="true", ready=False)

    early = await mill.client.post(f"pipelines/{pipeline}/jobs")
    before = (await mill.client.get(f"pipelines/{pipeline}")).json()["status"]
    await mill.work()
    after = (await mill.client.get(f"pipelines/{pipeline}")).json()["status"]

    assert early.status_code == 409
    assert (before, after) == ("PROVISIONING", "READY")


async def test_lists_come_in_pages_newest_first(mill: Mill) -> None:
    """
    J1, J2 and section 2.4: page, size, sort, links to the neighbours, totals; an empty list has no `_embedded`.
    """
    pipeline = await mill.pipeline(script="true")
    made = [(await mill.run(pipeline))["id"] for _ in range(3)]

    first = (await mill.client.get(f"pipelines/{pipeline}/jobs", params={"size": 2})).json()
    second = (await mill.client.get(httpx2.URL(first["_links"]["next"]["href"]))).json()
    oldest = (await mill.client.get(f"{mill.workspace}/jobs", params={"sort": "created,asc", "size": 50})).json()
    beyond = (await mill.client.get(f"pipelines/{pipeline}/jobs", params={"page": 9})).json()

    assert [job["id"] for job in first["_embedded"]["jobs"]] == made[:0:-1]
    assert first["page"] == {"size": 2, "totalElements": 4, "totalPages": 2, "number": 0}
    assert set(first["_links"]) == {"self", "first", "next", "last"}
    assert second["_embedded"]["jobs"][0]["id"] == made[0]
    assert set(second["_links"]) == {"self", "first", "prev", "last"}
    assert [job["id"] for job in oldest["_embedded"]["jobs"]][1:] == made
    assert "_embedded" not in beyond


@row("3 J4", "3.5 sequence")
async def test_concatenated_polls_are_the_whole_log(mill: Mill) -> None:
    """
    J4: `sequence` is the line to read from; NDJSON says each line's own; past the end there is 204.
    """
    job = await mill.run(await mill.pipeline(script="for i in 1 2 3 4 5; do echo line $i; done"))
    path = f"jobs/{job['id']}/logs"
    whole = (await mill.client.get(path)).text

    seen: list[str] = []
    accept = {"accept": "application/x-ndjson"}
    answer = await mill.client.get(path, params={"sequence": 0}, headers=accept)
    objects = [json.loads(line) for line in answer.text.splitlines()][:2]
    while objects:
        seen += [each["message"] for each in objects]
        after = objects[-1]["sequence"] + 1
        answer = await mill.client.get(path, params={"sequence": after}, headers=accept)
        objects = [json.loads(line) for line in answer.text.splitlines()][:2]

    assert whole == "".join(f"{line}\n" for line in seen)
    assert answer.status_code == 204
    assert (await mill.client.get(path, params={"sequence": 2})).text == "line 3\nline 4\nline 5\n"


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("*/*", "text/plain; charset=utf-8"),
        ("application/json", "text/plain; charset=utf-8"),
        ("application/stream+json", "application/stream+json"),
        ("application/x-ndjson", "application/x-ndjson"),
    ],
)
@row("3.5 text", "3.5 ndjson")
async def test_logs_answer_with_the_asked_type(mill: Mill, accept: str, answered: str) -> None:
    """
    J4: NDJSON under the name that was asked for; anything else is plain text.
    """
    job = await mill.run(await mill.pipeline(script="echo x"))

    answer = await mill.client.get(f"jobs/{job['id']}/logs", headers={"accept": accept})

    assert answer.headers["content-type"] == answered


@row("3 J6", "3.1 J6")
async def test_a_queued_job_can_be_stopped(mill: Mill) -> None:
    """
    J6, choice 5: 202 with a message; STOPPED without an exit code; a job that has ended answers 409.
    """
    job = await mill.create(await mill.pipeline(script="sleep 60"))

    stopped = await mill.client.put(f"jobs/{job['id']}/stopped")
    again = await mill.client.put(f"jobs/{job['id']}/stopped")
    after = await mill.job(job["id"])

    assert stopped.status_code == 202
    assert set(stopped.json()) == {"message"}
    assert after["status"] == "STOPPED"
    assert "exitCode" not in after
    assert again.status_code == 409


@row("6.2 RUNNING", "6.2 STOPPED")
async def test_a_running_job_is_stopped_with_all_its_children(mill: Mill) -> None:
    """
    J6: TERM to the whole group; the exit code is the process's own, 143.
    """
    pipeline = await mill.pipeline(script="echo started; sleep 120")
    job = await mill.create(pipeline)
    working = asyncio.create_task(mill.work())
    await _until_log(mill, job["id"], "started")

    await mill.client.put(f"jobs/{job['id']}/stopped")
    await asyncio.wait_for(working, 30)
    after = await mill.job(job["id"])

    assert (after["status"], after["exitCode"]) == ("STOPPED", 143)


@row("6.4 timeout", "6.4 maxRetries")
async def test_a_timeout_ends_as_stopped_and_is_not_tried_again(mill: Mill) -> None:
    """
    Section 6.4: seconds of run time; at expiry STOPPED, never a retry.
    """
    pipeline = await mill.pipeline(script="sleep 120", timeout=1, maxRetries=3)

    job = await mill.run(pipeline, tries=2)

    assert (job["status"], job["attempt"], job["exitCode"]) == ("STOPPED", 0, 143)


@row("6.4 Representation")
async def test_a_retry_is_the_same_job_and_can_recover(mill: Mill) -> None:
    """
    Section 6.4: one id, one log with a marker line, `attempt` raised; terminal only at the end.
    """
    script = 'echo try; if [ -e "$ROOT/once" ]; then exit 0; fi; touch "$ROOT/once"; exit 3'
    pipeline = await mill.pipeline(script=script, maxRetries=2)
    job = await mill.create(pipeline)

    await mill.work()
    between = await mill.job(job["id"])
    busy = await mill.client.post(f"pipelines/{pipeline}/jobs")
    await mill.make_due()
    await mill.work()
    after = await mill.job(job["id"])

    assert (between["status"], between["attempt"], between["maxAttempts"]) == ("RUNNING", 1, 2)
    assert busy.status_code == 409
    assert (after["status"], after["attempt"], after["exitCode"]) == ("COMPLETE", 1, 0)
    assert (await mill.logs(job["id"])).splitlines() == ["try", "--- Attempt 2 of 3 ---", "try"]


@row("3 J7", "3.1 J7")
async def test_deleting_a_running_job_stops_and_forgets_it(mill: Mill) -> None:
    """
    J7: the record goes at once for callers, the execution ends, nothing is left.
    """
    pipeline = await mill.pipeline(script="echo started; sleep 120")
    job = await mill.create(pipeline)
    working = asyncio.create_task(mill.work())
    await _until_log(mill, job["id"], "started")

    deleted = await mill.client.delete(f"jobs/{job['id']}")
    gone = await mill.client.get(f"jobs/{job['id']}")
    await asyncio.wait_for(working, 30)
    removed = await mill.jobs.remove_deleted()
    left = await mill.house.database.one("select count(*) as n from job where id = %(id)s", {"id": UUID(job["id"])})

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert gone.status_code == 404
    assert gone.json()["message"] == f"Entity not found: {job['id']}"
    assert removed == 1
    assert left == {"n": 0}


async def test_who_may_not_is_told_so(mill: Mill) -> None:
    """
    Section 2.5, choice 17: 401 without a token, 404 for what does not exist, 403 for what exists and is another workspace's.
    """
    job = await mill.create(await mill.pipeline(script="true"))
    other = await mill.house.workspaces.declare(uuid4(), "other", {})
    await mill.house.access.ensure_key("key-of-the-other", name="other", role="admin", workspace_id=other.id)

    async with mill.client_with(None) as nobody, mill.client_with("key-of-the-other") as stranger:
        assert (await nobody.get(f"jobs/{job['id']}")).status_code == 401
        assert (await stranger.get(f"jobs/{job['id']}")).status_code == 403
        assert (await stranger.get(f"jobs/{uuid4()}")).status_code == 404
        assert (await stranger.get("jobs/not-a-uuid")).status_code == 404
    wrong = await mill.client.patch(f"jobs/{job['id']}")
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["allow"]


async def test_secrets_that_a_script_prints_are_not_in_its_log(mill: Mill) -> None:
    """
    A property of a name that says so is redacted wherever it is printed.
    """
    await mill.client.put(
        f"{mill.workspace}/dataplugins/{uuid4()}",
        json={"pluginType": "extractors", "name": "tap-x", "namespace": "tap_x", "pipUrl": "tap-x"},
    )
    script = 'echo "the token is $TAP_X_API_TOKEN"'
    pipeline = await mill.pipeline(
        script=script, dataComponents=["extractors/tap-x"], properties={"tap-x.api_token": "s3cr3t-value"}
    )

    job = await mill.run(pipeline)

    assert await mill.logs(job["id"]) == "the token is ***\n"


async def test_a_line_of_a_megabyte_costs_only_itself(mill: Mill) -> None:
    """
    Bad input: a huge line is kept as far as the log's limit goes, and the lines around it come through.
    """
    script = "echo before; head -c 1000000 /dev/zero | tr '\\0' x; echo; echo after"
    job = await mill.run(await mill.pipeline(script=script))

    lines = (await mill.logs(job["id"])).splitlines()

    assert job["status"] == "COMPLETE"
    assert (lines[0], lines[-1]) == ("before", "after")


async def test_nothing_that_a_script_started_outlives_its_job(mill: Mill) -> None:
    """
    A child in a session of its own, deaf to TERM, is gone when the job has ended.
    """
    script = (
        """setsid bash -c 'trap "" TERM; echo $$ > "$ROOT/pid"; sleep 600; sleep 600' &\n"""
        'until [ -s "$ROOT/pid" ]; do :; done; cat "$ROOT/pid"'
    )
    job = await mill.run(await mill.pipeline(script=script))

    pid = int((await mill.logs(job["id"])).split()[0])

    assert job["status"] == "COMPLETE"
    assert not psutil.pid_exists(pid)


async def _until_log(mill: Mill, job_id: str, text: str) -> None:
    async with asyncio.timeout(30):
        while text not in await mill.logs(job_id):  # noqa: ASYNC110 - another process prints it
            await asyncio.sleep(0.05)


async def test_each_kind_of_a_pipelines_jobs_runs_again_over_the_core_api(mill: Mill) -> None:
    """
    A rerun is a job of the same kind on this wire, under an id of its own, and counts as the pipeline's newest.
    """
    pipeline = await mill.pipeline("again", script='echo "as $JOB_ID"')
    run = await mill.run(pipeline)
    jobs = (await mill.client.get(f"pipelines/{pipeline}/jobs")).json()["_embedded"]["jobs"]
    assert {job["type"] for job in jobs} == {"PIPELINE_CONFIG", "PIPELINE_RUN"}

    for job in jobs:
        made = await mill.client.post(f"http://headrace.test/api/v1/jobs/{job['id']}/rerun", json={})
        assert made.status_code == 201, made.text
        await mill.work()
        again = await mill.job(made.json()["id"])
        assert (again["type"], again["status"], again["exitCode"]) == (job["type"], "COMPLETE", 0)
        if job["id"] == run["id"]:
            assert await mill.logs(again["id"]) == f"as {again['id']}\n"

    assert (await mill.client.get(f"pipelines/{pipeline}")).json()["status"] == "READY"
