"""
Section 3 of the reference, row by row: what a job's resource, its links and its log are in every stage of its life.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from matatika_mill import Mill
from matatika_rows import each_row, row
from matatika_story import COMMIT, DETAILS, MISSING, Expected, Told, at, check, is_time, is_uuid4

BASE = "http://headrace.test/matatika/api"
DETAIL_FIELDS = ("taskName", "exitMessage", "arguments", "errorMessage")


def _milliseconds(value: Any) -> bool:
    return is_time(value) and len(value.partition(".")[2]) <= 3


def _profile(value: Any) -> bool:
    return value["id"].startswith("key|") and (value["name"], value["handle"]) == ("admin", "@admin")


FIELDS: dict[str, dict[str, Expected]] = {
    "id": {"queued": is_uuid4, "config": is_uuid4, "deploy": is_uuid4},
    "created": {"queued": is_time, "error": is_time, "deploy": is_time},
    "type": {
        "queued": "PIPELINE_RUN", "config": "PIPELINE_CONFIG", "verify": "PIPELINE_VERIFY", "deploy": "WORKSPACE_DEPLOY",
    },
    "triggeredBy": {"queued": MISSING, "triggered": "good"},
    "maxAttempts": {"queued": 1, "error": 0, "recovered": 2},
    "attempt": {"queued": 0, "complete": 0, "between tries": 1, "recovered": 1, "timed out": 0},
    "commitId": {"queued": MISSING, "withdrawn": MISSING, "complete": COMMIT, "running": COMMIT},
    "exitCode": {
        "queued": MISSING, "running": MISSING, "between tries": MISSING, "complete": 0, "error": 7, "recovered": 0, "stopped": 143,
        "timed out": 143, "withdrawn": MISSING,
    },
    "status": {
        "queued": "QUEUED", "running": "RUNNING", "between tries": "RUNNING", "complete": "COMPLETE", "error": "ERROR",
        "stopped": "STOPPED", "timed out": "STOPPED", "withdrawn": "STOPPED",
    },
    "startTime": {"queued": MISSING, "withdrawn": MISSING, "running": _milliseconds, "complete": _milliseconds},
    "endTime": {"queued": MISSING, "running": MISSING, "between tries": MISSING, "complete": _milliseconds, "stopped": _milliseconds},
    "taskName": {"error": None, "detailed": lambda value: value.startswith("pipeline-run-")},
    "exitMessage": {"error": None, "detailed": "boom", "detailed complete": "Exit code 0"},
    "arguments": {"error": None, "detailed": ["bash", "script.sh"]},
    "errorMessage": {"error": None, "detailed": "boom", "detailed complete": None},
    "_embedded.pipeline": {
        "queued": lambda value: (value["name"], value["maxRetries"]) == ("good", 1) and not {"_links", "_embedded"} & set(value),
        "deploy": MISSING,
    },
    "_embedded.profile": {"queued": _profile, "deploy": _profile, "triggered": MISSING},
}  # fmt: skip

LINKS: dict[str, tuple[str, str | None]] = {
    "self": ("/jobs/{id}", None),
    "delete job": ("/jobs/{id}", "DELETE"),
    "logs": ("/jobs/{id}/logs?sequence=0", "GET"),
    "withdraw job": ("/jobs/{id}/stopped", "PUT"),
    "pipeline": ("/pipelines/{pipeline}", None),
    "workspace": ("/workspaces/{workspace}", None),
}
ENDED = {"complete", "error", "recovered", "stopped", "timed out", "withdrawn"}
OF_WORKSPACE = {"deploy"}


@pytest.mark.parametrize("field", each_row("3.3", FIELDS))
def test_a_field_of_a_job(told: Told, field: str) -> None:
    """
    Section 3.3: V2 leaves out what is not known yet; V1's details are null.
    """
    check(told.jobs, field, FIELDS[field])


@pytest.mark.parametrize("relation", each_row("3.4", LINKS))
def test_a_link_of_a_job(told: Told, shared_mill: Mill, relation: str) -> None:
    """
    Section 3.4: absolute addresses; `type` is a method; `withdraw job` while the job has not ended, `pipeline` where there is one.
    """
    path, method = LINKS[relation]
    for stage, job in told.jobs.items():
        absent = (relation == "withdraw job" and stage in ENDED) or (relation == "pipeline" and stage in OF_WORKSPACE)
        if stage in ("config", "triggered", "verify", "detailed", "detailed complete"):
            continue
        ids = {"id": job["id"], "workspace": shared_mill.house.workspace.id}
        if "pipeline" in job["_embedded"]:
            ids["pipeline"] = job["_embedded"]["pipeline"]["id"]
        wanted = MISSING if absent else {"href": BASE + path.format(**ids), **({"type": method} if method else {})}
        assert at(job, f"_links.{relation}") == wanted, stage


@row("3 J1", "3.1 J1")
async def test_j1_a_workspace_lists_jobs_of_every_type(told: Told, shared_mill: Mill) -> None:
    """
    All job types, queued ones too; the page says how many there are.
    """
    queued = await shared_mill.create(told.pipelines["bad"])
    listed = (await shared_mill.client.get(f"{shared_mill.workspace}/jobs", params={"size": 500})).json()
    await shared_mill.client.delete(f"jobs/{queued['id']}")

    jobs = listed["_embedded"]["jobs"]
    assert {job["type"] for job in jobs} >= {"PIPELINE_RUN", "PIPELINE_CONFIG", "PIPELINE_VERIFY", "WORKSPACE_DEPLOY"}
    assert (jobs[0]["id"], jobs[0]["status"]) == (queued["id"], "QUEUED")
    assert {job["id"] for job in told.jobs.values()} <= {job["id"] for job in jobs}
    assert listed["page"] == {"size": 500, "totalElements": len(jobs), "totalPages": 1, "number": 0}


@row("3 J2")
async def test_j2_a_pipeline_lists_its_own_jobs(told: Told, shared_mill: Mill) -> None:
    listed = (await shared_mill.client.get(f"pipelines/{told.pipelines['good']}/jobs")).json()

    jobs = [told.jobs[stage]["id"] for stage in ("verify", "queued", "config")]
    assert [job["id"] for job in listed["_embedded"]["jobs"]] == jobs
    assert listed["_links"]["self"]["href"] == f"{BASE}/pipelines/{told.pipelines['good']}/jobs?page=0&size=20"


@row("3 J3")
async def test_j3_a_job_is_viewed_as_it_is_listed(told: Told, shared_mill: Mill) -> None:
    path = f"pipelines/{told.pipelines['bad']}/jobs"
    listed = (await shared_mill.client.get(path)).json()["_embedded"]["jobs"]

    assert told.jobs["error"] in listed


@row("3 J8")
def test_j8_a_verification_is_a_job_of_its_type(told: Told) -> None:
    """
    200, unlike the other calls that make jobs; the job is told as one that has not begun.
    """
    assert (told.jobs["verify"]["type"], told.jobs["verify"]["status"]) == ("PIPELINE_VERIFY", "QUEUED")


@row("3 J9")
def test_j9_a_deployment_is_a_job_of_the_workspace(told: Told) -> None:
    assert (told.jobs["deploy"]["type"], told.jobs["deploy"]["status"]) == ("WORKSPACE_DEPLOY", "QUEUED")


@row("3 J10")
async def test_j10_a_webhooks_signature_is_its_only_key(shared_mill: Mill) -> None:
    """
    202 for the raw body's own signature; 403 for another body, another key, none; 404 for no workspace. Without a secret nobody deploys.
    """
    path = f"{shared_mill.workspace}/deployments/github-webhook"

    async with shared_mill.client_with(None) as github:

        async def push(body: bytes, secret: bytes) -> int:
            sign = hmac.new(secret, b'{"ref": "main"}', hashlib.sha1).hexdigest()
            answer = await github.post(path, content=body, headers={"x-hub-signature": f"sha1={sign}"})
            await shared_mill.work()
            return answer.status_code

        before = await push(b'{"ref": "main"}', b"")
        await shared_mill.client.put(shared_mill.workspace, json={"deploymentSecret": "s3cret"})
        answers = [
            await push(b'{"ref": "main"}', b"s3cret"),
            await push(b'{"ref":  "main"}', b"s3cret"),
            await push(b'{"ref": "main"}', b"guess"),
            (await github.post(path, content=b"{}")).status_code,
            (await github.post(path, content=b"{}", headers={b"x-hub-signature": b"sha1=\xc3\xa9"})).status_code,
            (await github.post("workspaces/nowhere/deployments/github-webhook")).status_code,
        ]

    assert before == 403
    assert answers == [202, 403, 403, 403, 403, 404]


@row("3 2021")
async def test_the_paths_of_2021_answer_too(told: Told, shared_mill: Mill) -> None:
    """
    The singular of the first documentation, and its name of the verification.
    """
    old = (await shared_mill.client.get(f"pipeline/{told.pipelines['after']}/jobs")).json()
    made = await shared_mill.client.post(f"pipeline/{told.pipelines['after']}/jobs")
    await shared_mill.work()
    verified = await shared_mill.client.post(f"pipelines/{told.pipelines['after']}/verify")
    await shared_mill.work()

    assert told.jobs["triggered"]["id"] in [job["id"] for job in old["_embedded"]["jobs"]]
    assert (made.status_code, made.json()["type"]) == (201, "PIPELINE_RUN")
    assert (verified.status_code, verified.json()["type"]) == (200, "PIPELINE_VERIFY")


@pytest.mark.parametrize("value", each_row("3.2", ("absent", "false", "true")))
async def test_task_details_go_by_the_header(told: Told, shared_mill: Mill, value: str) -> None:
    """
    Section 3.2: on the two lists, the view and the creation alike.
    """
    headers = {} if value == "absent" else {"enable-task-details": value}
    client, pipeline = shared_mill.client, told.pipelines["bad"]
    of_pipeline = (await client.get(f"pipelines/{pipeline}/jobs", headers=headers)).json()["_embedded"]["jobs"]
    of_workspace = (await client.get(f"{shared_mill.workspace}/jobs", params={"size": 500}, headers=headers)).json()[
        "_embedded"
    ]["jobs"]
    viewed = await shared_mill.job(told.jobs["error"]["id"], **headers)
    made = (await client.post(f"pipelines/{pipeline}/jobs", headers=headers)).json()
    await client.delete(f"jobs/{made['id']}")

    failed = [job for job in [*of_pipeline, *of_workspace] if job["id"] == viewed["id"]]
    assert failed == [viewed, viewed]
    for job in (viewed, made):
        shown = {name: job[name] for name in DETAIL_FIELDS}
        if value == "true":
            assert shown["taskName"] == f"pipeline-run-{pipeline}"
            assert shown["arguments"] == ["bash", "script.sh"]
        else:
            assert shown == dict.fromkeys(DETAIL_FIELDS)
    assert ([viewed[name] for name in ("exitMessage", "errorMessage")] == ["boom", "boom"]) == (value == "true")


@row("3.5 sequence")
@pytest.mark.parametrize("value", ["-1", "1.5", "x", "", "18446744073709551616", "1" * 5000])
async def test_a_sequence_that_is_no_line_number_is_a_400(told: Told, shared_mill: Mill, value: str) -> None:
    """
    An unsigned number of 64 bits, nothing else.
    """
    answer = await shared_mill.client.get(f"jobs/{told.jobs['complete']['id']}/logs", params={"sequence": value})

    assert answer.status_code == 400
    assert answer.json()["status"] == 400


@row("3.5 sequence", "3.5 204")
async def test_past_the_end_of_a_log_there_is_no_content(told: Told, shared_mill: Mill) -> None:
    """
    204 with no body: for a job that has printed nothing, past the end, and for the largest number there is.
    """
    client, job = shared_mill.client, told.jobs["complete"]["id"]
    answers = [
        await client.get(f"jobs/{told.jobs['withdrawn']['id']}/logs"),
        await client.get(f"jobs/{job}/logs", params={"sequence": 1}),
        await client.get(f"jobs/{job}/logs", params={"sequence": 2**64 - 1}),
    ]

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 3


@row("3.5 object")
async def test_a_line_as_an_object(told: Told, shared_mill: Mill) -> None:
    """
    Numbered from 0, with the time it was written and its level.
    """
    answer = await shared_mill.client.get(
        f"jobs/{told.jobs['recovered']['id']}/logs", headers={"accept": "application/x-ndjson"}
    )
    lines = [json.loads(line) for line in answer.text.splitlines()]

    assert [(line["sequence"], line["message"]) for line in lines] == [
        (0, "ill"), (1, "--- Attempt 2 of 3 ---"), (2, "well"),
    ]  # fmt: skip
    assert all(is_time(line["timestamp"]) and line["level"] == "info" for line in lines)


@row("3.5 bulk", "3.5 200")
async def test_a_long_log_comes_whole_and_page_and_size_are_accepted(shared_mill: Mill) -> None:
    """
    Upstream once stopped at 10,000 lines; ours does not.
    """
    job = await shared_mill.run(await shared_mill.pipeline("chatty", script="seq 12000"))
    whole = await shared_mill.client.get(f"jobs/{job['id']}/logs", params={"page": 0, "size": 20})

    assert whole.text == "".join(f"{number}\n" for number in range(1, 12001))


@row("3.1 J6", "3.6 message")
async def test_j6_a_stop_is_accepted_once(told: Told, shared_mill: Mill) -> None:
    """
    202 with an object of texts; 409 for a job that has ended, however it did; 404 for none.
    """
    job = await shared_mill.create(told.pipelines["bad"])
    stopped = await shared_mill.client.put(f"jobs/{job['id']}/stopped", headers={"content-type": "application/json"})
    again = [
        (await shared_mill.client.put(f"jobs/{told.jobs[stage]['id']}/stopped")).status_code for stage in sorted(ENDED)
    ]

    assert stopped.status_code == 202
    assert all(isinstance(value, str) and value for value in stopped.json().values())
    assert again == [409] * len(ENDED)


@row("3.2 true")
async def test_no_secret_stands_in_the_details(shared_mill: Mill) -> None:
    """
    Arguments name files and plugins, never values.
    """
    pipeline = await shared_mill.pipeline(
        "discreet", script="echo $TOKEN; exit 1", properties={"tap.token": "s3cr3t-value"}
    )
    job = await shared_mill.run(pipeline)

    assert "s3cr3t-value" not in json.dumps(await shared_mill.job(job["id"], **DETAILS))
