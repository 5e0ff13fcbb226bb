"""
Intuned's endpoints, one test per row of the table in docs/reference/intuned.md, named after it.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
from intuned_kit import BODY
from item_kit import BROKEN, done

from headrace.core.fan_out import ItemEnd
from headrace.core.outcome import Cause, Failed
from headrace.services.item_attempts import ItemWork
from headrace.services.result_links import ResultLinks
from headrace.store.job_rows import folder_of
from headrace.store.logs import LogEntry

WHOLE: dict[str, Any] = {
    "id": "whole-job",
    "payload": [{"apiName": "map", "parameters": {"n": 1}, "requestTimeout": 600, "retry": {"maximumAttempts": 2}}],
    "configuration": {
        "retry": {"maximumAttempts": 5},
        "maxConcurrentRequests": 2.0,
        "requestTimeout": 60,
        "maxRuns": 9,
    },
    "schedule": {"intervals": [{"every": "1h"}], "calendars": [{"hour": 9, "dayOfWeek": "MONDAY"}], "jitter": 5},
    "sink": {"type": "webhook", "url": "http://127.0.0.1:1025/hook", "headers": {"authorization": "top-secret"}},
    "proxy": "http://user:pass@127.0.0.1:3128",
    "notifications": [{"type": "webhook", "url": "http://127.0.0.1:1025/notes"}],
}


OF_2024 = {"projectId", "createdAt", "nextRunTime", "lastRunTime"}
"""Of a job in the words of the page of 2024, beside those of today."""


async def test_get_jobs(api: Any) -> None:
    """
    A bare array of whole definitions; the proxy is an object here.
    """
    await api("POST", "/jobs", WHOLE)
    await api.create()

    reply = await api("GET", "/jobs")

    assert reply.status_code == 200
    whole, plain = reply.json()
    assert whole["proxy"] == {"version": "v1", "url": "http://user:********@127.0.0.1:3128"}
    assert whole["schedule"] == WHOLE["schedule"]
    assert whole["notifications"] == WHOLE["notifications"]
    assert (whole["state"], whole["source"], whole["last_run_time"]) == ("ACTIVE", "API", None)
    assert UUID(whole["schedule_id"]) not in (UUID(whole["project_id"]), UUID(whole["workspace_id"]))
    assert "top-secret" not in reply.text
    assert set(plain) == {
        "id", "workspace_id", "project_id", "created_at", "configuration", "payload", "state", "next_run_time",
        "last_run_time", "source", *OF_2024,
    }  # fmt: skip


async def test_create_job(api: Any) -> None:
    """
    201 with the closed message; an id that is taken is the caller's mistake.
    """
    reply = await api("POST", "/jobs", BODY)
    again = await api("POST", "/jobs", BODY)

    assert (reply.status_code, reply.json()) == (201, {"id": "demo-batch", "message": "created"})
    assert (again.status_code, again.json()["code"]) == (400, "bad-request")


async def test_get_job(api: Any) -> None:
    """
    The project's id is spelt `projectId` here, and the proxy is a plain string.
    """
    await api("POST", "/jobs", WHOLE)
    await api.create()

    whole = (await api("GET", "/jobs/whole-job")).json()
    plain = (await api("GET", "/jobs/demo-batch")).json()

    assert whole["proxy"] == "http://user:********@127.0.0.1:3128"
    assert whole["configuration"] == {**WHOLE["configuration"], "maxConcurrentRequests": 2}
    assert UUID(plain["projectId"]) == UUID(whole["projectId"])
    assert set(plain) == {
        "id", "created_at", "projectId", "configuration", "state", "payload", "next_run_time", "last_run_time", *OF_2024,
    }  # fmt: skip
    assert plain["payload"] == BODY["payload"]


async def test_update_job(api: Any) -> None:
    """
    The whole definition is replaced: what is not sent is gone. Secrets that come back as they were shown stay what they were.
    """
    await api("POST", "/jobs", WHOLE)
    shown = (await api("GET", "/jobs/whole-job")).json()

    reply = await api(
        "PUT",
        "/jobs/whole-job",
        {"payload": BODY["payload"], "configuration": {}, "sink": shown["sink"], "proxy": shown["proxy"]},
    )

    assert (reply.status_code, reply.json()) == (200, {"id": "whole-job", "message": "updated job successfully"})
    now = (await api("GET", "/jobs/whole-job")).json()
    assert "schedule" not in now
    workspace = api.kit.house.workspace.id
    kept = (await api.services.batches.get(workspace, "demo", "whole-job")).secrets
    assert kept["sink"]["headers"] == {"authorization": "top-secret"}
    assert kept["proxy"] == WHOLE["proxy"]


async def test_what_is_shown_can_be_sent_back_and_changes_nothing(api: Any) -> None:
    """
    Also out of Get Jobs, where the proxy is an object and fields stand that no request has.
    """
    await api("POST", "/jobs", {**WHOLE, "auth_session": {"id": "anna", "checkAttempts": 1}})
    before = (await api("GET", "/jobs")).json()[0]
    secrets = (await api.services.batches.get(api.kit.house.workspace.id, "demo", "whole-job")).secrets

    for shown in (before, (await api("GET", "/jobs/whole-job")).json()):
        shown.pop("notifications", None)
        reply = await api("PUT", "/jobs/whole-job", {**shown, "notifications": WHOLE["notifications"]})
        assert reply.status_code == 200, reply.text

        after = (await api("GET", "/jobs")).json()[0]
        assert after | {"notifications": None} == before | {"notifications": None}
        now = (await api.services.batches.get(api.kit.house.workspace.id, "demo", "whole-job")).secrets
        assert now == secrets


async def test_a_mask_sent_to_another_address_tells_it_no_secret(api: Any) -> None:
    """
    Secrets are put back only where they were; elsewhere the mask is refused, for nothing could be sent with it.
    """
    await api("POST", "/jobs", WHOLE)
    shown = (await api("GET", "/jobs/whole-job")).json()

    elsewhere = {**shown["sink"], "url": "http://127.0.0.1:1025/elsewhere"}
    changed = await api("PUT", "/jobs/whole-job", {"payload": BODY["payload"], "configuration": {}, "sink": elsewhere})
    copied = await api("POST", "/jobs", {**shown, "id": "copy-of-it", "proxy": None})
    proxied = await api("POST", "/jobs", {**BODY, "id": "copy-of-it", "proxy": shown["proxy"]})

    assert [reply.status_code for reply in (changed, copied, proxied)] == [400, 400, 400]
    assert "sink.headers.authorization" in changed.json()["message"]
    kept = (await api.services.batches.get(api.kit.house.workspace.id, "demo", "whole-job")).secrets
    assert kept["sink"]["headers"] == {"authorization": "top-secret"}
    assert [job["id"] for job in (await api("GET", "/jobs")).json()] == ["whole-job"]


async def test_delete_job(api: Any) -> None:
    """
    204 without a body; its run is ended, and neither is to be found any more, also not under a new job of the name.
    """
    await api.create()
    run = await api.trigger()

    reply = await api("DELETE", "/jobs/demo-batch")

    assert (reply.status_code, reply.content) == (204, b"")
    assert (await api("GET", "/jobs/demo-batch")).status_code == 404
    assert (await api.kit.house.job(UUID(run))).final
    await api.create()
    assert (await api("GET", "/jobs/demo-batch/runs")).json() == {"jobRuns": [], "totalCount": 0}
    assert (await api("GET", f"/jobs/demo-batch/runs/{run}")).status_code == 404


async def test_pause_and_resume_job(api: Any) -> None:
    """
    Closed messages; asked again, both change nothing. The active run pauses and goes on with it.
    """
    await api.create()
    run = await api.trigger()
    for _ in range(2):
        reply = await api("POST", "/jobs/demo-batch/pause")
        assert (reply.status_code, reply.json()) == (200, {"message": "Paused"})

    (listed,) = (await api("GET", "/jobs")).json()
    assert (listed["state"], listed["reason"]["type"]) == ("PAUSED", "paused")
    paused = await api.job_run(run)
    assert (paused["status"], paused["reason"]["type"]) == ("PAUSED", "user-request")
    refused = await api("POST", "/jobs/demo-batch/trigger")
    assert (refused.status_code, refused.json()["code"]) == (400, "bad-request")

    for _ in range(2):
        reply = await api("POST", "/jobs/demo-batch/resume")
        assert (reply.status_code, reply.json()) == (200, {"message": "Resumed"})
    assert (await api.job_run(run))["status"] == "PENDING"
    assert (await api("GET", "/jobs/demo-batch")).json()["state"] == "ACTIVE"


async def test_pausing_says_so_until_what_runs_has_ended(api: Any) -> None:
    """
    PENDING, PAUSING, PAUSED, RESUMING, PENDING: each when it is true.
    """
    await api.create(configuration={"maxConcurrentRequests": 1})
    run = await api.trigger()
    job = await api.kit.house.job(UUID(run))
    await api.kit.admitted(slots=4)
    work = await api.kit.claim(job, 0)
    seen = [(await api.job_run(run))["status"]]

    await api("POST", "/jobs/demo-batch/pause")
    seen.append((await api.job_run(run))["status"])
    await api.kit.settle(work, done())
    seen.append((await api.job_run(run))["status"])
    await api("POST", "/jobs/demo-batch/resume")
    seen.append((await api.job_run(run))["status"])
    await api.kit.admitted(slots=4)
    seen.append((await api.job_run(run))["status"])

    assert seen == ["PENDING", "PAUSING", "PAUSED", "RESUMING", "PENDING"]


async def test_trigger_job(api: Any) -> None:
    """
    Each trigger makes a job run; while one is active the next is recorded as CANCELED, and the call still succeeds.
    """
    await api.create()

    reply = await api("POST", "/jobs/demo-batch/trigger")
    second = await api.job_run(await api.trigger())

    assert reply.json().keys() == {"jobRunId", "message"}
    first = await api.job_run(reply.json()["jobRunId"])
    assert (first["status"], first["type"], first["payloads"], first["end_time"]) == ("PENDING", "MANUAL", 2, None)
    assert (second["status"], second["reason"]["type"]) == ("CANCELED", "another-job-run-active")
    assert second["payloads"] == 0
    assert (await api("GET", "/jobs/demo-batch")).json()["last_run_time"] is not None


async def test_get_job_runs(api: Any) -> None:
    """
    Pages of a sorted list, with the count of all.
    """
    await api.create()
    runs = [await api.trigger() for _ in range(3)]

    newest = (await api("GET", "/jobs/demo-batch/runs?pageSize=2&pageNumber=0")).json()
    rest = (await api("GET", "/jobs/demo-batch/runs?pageSize=2&pageNumber=1")).json()
    oldest = (await api("GET", "/jobs/demo-batch/runs?sortBy=start_time,asc/status,desc")).json()
    wrong = await api("GET", "/jobs/demo-batch/runs?sortBy=secrets,asc")

    assert [run["id"] for run in newest["jobRuns"] + rest["jobRuns"]] == runs[::-1]
    assert (newest["totalCount"], rest["totalCount"]) == (3, 3)
    assert [run["id"] for run in oldest["jobRuns"]] == runs
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad-request")
    for run in newest["jobRuns"]:
        assert {"end_time", "payloads", "successful_runs", "failed_runs"} <= run.keys()


async def test_job_runs_are_sorted_by_the_words_that_are_shown(api: Any) -> None:
    """
    Not by those of the core, in which `type` has three and `status` other ones.
    """

    async def function(work: ItemWork) -> ItemEnd:
        return ItemEnd(outcome=BROKEN)

    await api.create(configuration={"retry": {"maximumAttempts": 1}})
    runs = [await api.trigger()]
    await api("POST", f"/jobs/demo-batch/runs/{runs[0]}/terminate")
    async with api.kit.workers(function):
        runs.append((await api("POST", f"/jobs/demo-batch/runs/{runs[0]}/rerun")).json()["jobRunId"])
        await api.ended(runs[1])
    runs += [await api.trigger(), await api.trigger()]
    await api("POST", "/jobs/demo-batch/pause")

    async def sorted_by(order: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await api("GET", f"/jobs/demo-batch/runs?sortBy={order}")).json()["jobRuns"]
        return found

    assert [run["status"] for run in await sorted_by("status,asc")] == ["CANCELED", "PAUSED", "SUCCESS", "TERMINATED"]
    assert [run["id"] for run in await sorted_by("type,asc/start_time,asc")] == runs
    nothing = await api("GET", "/jobs/demo-batch/runs?pageSize=0")
    assert (nothing.status_code, nothing.json()["code"]) == (400, "bad-request")


async def test_get_job_run(api: Any) -> None:
    """
    Without results until it has ended; then with an address that needs no key, serves a line per run, and expires.
    """

    async def function(work: ItemWork) -> ItemEnd:
        return done({"seen": work.item.name}, *(["child"] if work.item.ordinal == 0 else []))

    await api.create(sink={"type": "webhook", "url": "http://127.0.0.1:1025/x", "headers": {"a": "secret-header"}})
    run = await api.trigger()
    before = (await api("GET", f"/jobs/demo-batch/runs/{run}")).json()
    async with api.kit.workers(function):
        ended = await api.ended(run)
    reply = await api("GET", f"/jobs/demo-batch/runs/{run}")
    results = reply.json()["results"]
    fetched = await httpx2.AsyncClient(transport=api.client._transport).get(results["signed_url"])

    assert "results" not in before
    assert (ended["status"], ended["payloads"], ended["successful_runs"], ended["failed_runs"]) == ("SUCCESS", 3, 3, 0)
    assert ended["end_time"].endswith("Z")
    assert ended["job_configuration_snapshot"]["sink"]["headers"] == {"a": "********"}
    assert results["format"] == "jsonl"
    lines = [json.loads(line) for line in fetched.text.splitlines()]
    assert [line["apiInfo"]["name"] for line in lines] == ["map", "map", "child"]
    first = lines[0]["apiInfo"]
    assert first["result"]["output"] == {"seen": "map"}
    assert first["result"]["extendedPayloads"] == [
        {"api": "child", "parameters": {}, "runId": lines[2]["apiInfo"]["runId"]}
    ]
    assert lines[0]["projectJobRun"] == {"id": run}
    wrong = await httpx2.AsyncClient(transport=api.client._transport).get(results["signed_url"][:-3] + "abc")
    assert wrong.status_code == 404


async def test_results_name_the_log_and_the_trace_of_each_run(api: Any) -> None:
    """
    Whoever has the address of the results may fetch both, as long as it is good; a run of another job run is not to be had by it.
    """

    async def function(work: ItemWork) -> ItemEnd:
        return done({})

    house = api.kit.house
    await api.create()
    run, single = await api.trigger(), await api.start()
    async with api.kit.workers(function):
        await api.ended(run)
    job = await house.job(UUID(run))
    lines = [
        LogEntry(number, job.created_at, "map", "automation.stdout", f"line {number}") for number in range(1, 1202)
    ]
    await house.logs.append(job.id, 1, lines, step=0, token=1)
    await house.files.put(f"{folder_of(job.id, job.created_at)}/items/000000/trace.zip", b"PK")

    address = (await api("GET", f"/jobs/demo-batch/runs/{run}")).json()["results"]["signed_url"]
    async with httpx2.AsyncClient(transport=api.client._transport) as anybody:
        first, second = [json.loads(line)["apiInfo"] for line in (await anybody.get(address)).text.splitlines()]
        log = [json.loads(line) for line in (await anybody.get(first["log_url"])).text.splitlines()]
        trace = await anybody.get(first["trace_url"])
        others = await anybody.get(f"{address}/{single}/log")
        stale, _ = ResultLinks(house.sealer, now=lambda: job.created_at - timedelta(hours=2)).issue(job.id)
        expired = await anybody.get(address.rpartition("/")[0] + f"/{stale}")
        await api("DELETE", "/jobs/demo-batch")
        deleted = await anybody.get(address)

    assert [each["message"] for each in log] == [line.text for line in lines]
    assert log[0].keys() == {"timestamp", "message"}
    assert (trace.content, trace.headers["content-type"]) == (b"PK", "application/zip")
    assert second["trace_url"] is None
    for refused in (others, expired, deleted):
        assert (refused.status_code, refused.json()["code"]) == (404, "not-found")


async def test_terminate_job_run(api: Any) -> None:
    """
    200 also for one that has ended, which stays as it is.
    """
    await api.create()
    run = await api.trigger()

    for _ in range(2):
        reply = await api("POST", f"/jobs/demo-batch/runs/{run}/terminate")
        assert (reply.status_code, reply.json()) == (200, {"message": "Job run terminated"})

    ended = await api.job_run(run)
    assert (ended["status"], ended["reason"]["type"]) == ("TERMINATED", "terminated")
    items = (await api("GET", f"/jobs/demo-batch/runs/{run}/items")).json()
    assert {item["apiInfo"]["reason"]["type"] for item in items} == {"job-run-terminated"}


async def test_rerun_job_run(api: Any) -> None:
    """
    Ours: only what did not complete runs again, with the inputs it had, also when the job says something else by now.
    """
    tries: dict[str, int] = {}

    async def function(work: ItemWork) -> ItemEnd:
        name = work.item.name
        tries[name] = tries.get(name, 0) + 1
        return ItemEnd(outcome=BROKEN) if name == "flaky" and tries[name] == 1 else done(name)

    once = {"retry": {"maximumAttempts": 1}}
    payload = [{"apiName": name, "parameters": {"of": name}, **once} for name in ("good", "flaky")]
    async with api.kit.workers(function):
        await api.create(payload=payload)
        first = await api.trigger()
        await api.ended(first)
        await api("PUT", "/jobs/demo-batch", {"payload": BODY["payload"], "configuration": {}})
        again = (await api("POST", f"/jobs/demo-batch/runs/{first}/rerun")).json()["jobRunId"]
        ended = await api.ended(again)
        nothing = await api("POST", f"/jobs/demo-batch/runs/{again}/rerun")
        await api("POST", "/jobs/demo-batch/pause")
        paused = await api("POST", f"/jobs/demo-batch/runs/{first}/rerun")

    assert (ended["status"], ended["payloads"], ended["successful_runs"]) == ("SUCCESS", 1, 1)
    assert tries == {"good": 1, "flaky": 2}
    (item,) = (await api("GET", f"/jobs/demo-batch/runs/{again}/items")).json()
    assert item["apiInfo"]["parameters"] == {"of": "flaky"}
    assert (nothing.status_code, "completed" in nothing.json()["message"]) == (400, True)
    assert (paused.status_code, "paused" in paused.json()["message"]) == (400, True)


async def test_run_start(api: Any) -> None:
    """
    201 with a run's id of 21 characters; the pending run is there.
    """
    reply = await api("POST", "/run/start", {"api": "map", "parameters": {}, "saveTrace": True, "requestTimeout": 600})

    assert (reply.status_code, reply.json()["status"]) == (201, "pending")
    assert len(reply.json()["runId"]) == 21
    assert await api.result(reply.json()["runId"]) == {"runId": reply.json()["runId"], "status": "pending"}


async def test_run_result(api: Any) -> None:
    """
    200 whatever became of the run; the code of a failure after several tries says so, and its details say how it failed.
    """

    async def function(work: ItemWork) -> ItemEnd:
        match work.item.name:
            case "good":
                return done(None, "more")
            case "slow":
                cause = Cause("slow", "It took too long.", evidence={"code": "timeout"})
                return ItemEnd(outcome=Failed(cause))
            case "fatal":
                cause = Cause("fatal", "No use.", evidence={"code": "exception"})
                return ItemEnd(outcome=Failed(cause, fatal=True))
        return ItemEnd(outcome=BROKEN)

    async with api.kit.workers(function):
        runs = {
            "good": await api.start("good"),
            "slow": await api.start("slow", retry={"maximumAttempts": 1}),
            "fatal": await api.start("fatal"),
            "odd": await api.start("odd", retry={"maximumAttempts": 1}),
        }
        for run in runs.values():
            item = await api.services.fan_outs.item(api.kit.house.workspace.id, run)
            await api.kit.ended(await api.kit.house.job(item.job_id))

    good, slow, fatal, odd = [await api.result(run) for run in runs.values()]
    assert good == {
        "runId": runs["good"],
        "status": "completed",
        "result": None,
        "extendedPayloads": [{"api": "more", "parameters": {}}],
    }
    assert (slow["status"], slow["error"]["code"], slow["error"]["category"]) == (
        "failed",
        "script-timeout",
        "execution",
    )
    assert (fatal["error"]["code"], fatal["error"]["details"]) == ("script-execution-exception", {"attempts_count": 1})
    assert odd["error"]["code"] == "unexpected"
    assert (await api("GET", "/run/nothing-of-that-name/result")).status_code == 404


async def test_run_result_after_several_tries(api: Any) -> None:
    kit = api.kit
    run = await api.start("broken", retry={"maximumAttempts": 2})
    item = await api.services.fan_outs.item(kit.house.workspace.id, run)
    job = await kit.house.job(item.job_id)
    await kit.admitted(slots=1)
    await kit.settle(await kit.claim(job, 0), ItemEnd(outcome=BROKEN))
    started = await api.result(run)
    await kit.house.database.run("update step set due_at = now()")
    await kit.admitted(slots=1)
    await kit.settle(await kit.claim(job, 0), ItemEnd(outcome=BROKEN))

    failed = await api.result(run)
    attempts = (await api("GET", f"/run/{run}/attempts")).json()

    assert started["status"] == "started"
    assert failed["error"]["code"] == "api-attempts-failed"
    assert failed["error"]["details"]["attempts_count"] == 2
    assert [attempt["outcome"] for attempt in attempts] == ["failed", "failed"]


async def test_a_project_without_api_access_takes_no_single_runs(api: Any) -> None:
    reply = await api("POST", "/run/start", {"api": "x", "parameters": {}}, project="closed")

    assert (reply.status_code, reply.json()["code"]) == (400, "bad-request")


SESSION_PATHS = (
    ("GET", "/auth-sessions", 200),
    ("GET", "/auth-sessions/anna", 404),
    ("DELETE", "/auth-sessions/anna", 404),
    ("POST", "/auth-sessions/create", 400),
    ("GET", "/auth-sessions/create/op/result", 404),
    ("POST", "/auth-sessions/anna/update", 404),
    ("GET", "/auth-sessions/anna/update/op/result", 404),
    ("POST", "/auth-sessions/anna/validate/start", 404),
    ("GET", "/auth-sessions/anna/validate/op/result", 404),
)


async def test_auth_sessions(api: Any) -> None:
    """
    Every path answers in a project that has them off: nothing is kept, and nothing can be made.
    """
    for method, path, status in SESSION_PATHS:
        reply = await api(method, path, {"parameters": {}} if method == "POST" else None)

        assert reply.status_code == status, path
        assert reply.json() == [] if status == 200 else reply.json()["category"] == "user"


async def test_projects(api: Any) -> None:
    """
    The projects of a workspace, each to be named by its id as well.
    """
    closed, demo = (await api.client.get("/demo/projects")).json()

    assert (demo["name"], demo["apis"], demo["maxConcurrentRequests"]) == ("demo", ["map"], 4)
    assert closed["apiAccess"] is False
    assert (await api("GET", "/jobs", project=demo["id"])).status_code == 200
