"""
The conformance suite: the fields of Intuned's wire, a subtest a row, and that no row of the reference is without a test.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from intuned_kit import BODY
from intuned_rows import FIELDS, JOB_RUN_FIELDS, ROWS, RUN_FIELDS
from item_kit import done

from headrace.core.fan_out import ItemEnd
from headrace.services.item_attempts import ItemWork

MASK = "********"
HOOK = {
    "type": "webhook",
    "url": "http://127.0.0.1:1025/x",
    "headers": {"a": "b"},
    "skipOnFail": True,
    "apisToSend": ["map"],
}
BUCKET = {
    "type": "s3", "bucket": "b", "accessKeyId": "key-id", "secretAccessKey": "secret", "region": "eu-1", "prefix": "p/",
    "skipOnFail": False, "apisToSend": ["map"], "endpoint": "http://127.0.0.1:1025", "forcePathStyle": True,
}  # fmt: skip
CALENDAR = {
    "second": 5, "minute": {"start": 0, "step": 15, "end": 45}, "hour": [9, {"start": 12, "end": 13}], "dayOfMonth": "*",
    "month": "JANUARY", "dayOfWeek": [{"start": "MONDAY", "end": "FRIDAY"}], "year": 2031, "comment": "office hours",
}  # fmt: skip
SESSION = {"id": "abc", "checkAttempts": 2, "createAttempts": 1, "saveTrace": True}
WHOLE: dict[str, Any] = {
    "payload": [{"apiName": "map", "parameters": {"n": 1}, "requestTimeout": 30, "retry": {"maximumAttempts": 2}}],
    "configuration": {
        "retry": {"maximumAttempts": 5.0}, "maxConcurrentRequests": 2.0, "requestTimeout": 60.0, "maxRuns": 9,
        "proxy": "http://127.0.0.1:3128",
    },
    "schedule": {"intervals": [{"every": "6h"}], "calendars": [CALENDAR], "jitter": "10 minutes"},
    "auth_session": SESSION,
    "notifications": [{"type": "webhook", "url": "http://127.0.0.1:1025/n", "headers": {"a": "b"}}],
}  # fmt: skip
SHOWN = {"accessKeyId": MASK, "secretAccessKey": MASK, "headers": {"a": MASK}}

SHAPES: dict[str, tuple[list[str | int], dict[str, Any]]] = {
    "payload": (["payload", 0], WHOLE["payload"][0]),
    "configuration": (["configuration"], WHOLE["configuration"]),
    "schedule": (["schedule"], WHOLE["schedule"]),
    "calendar": (["schedule", "calendars", 0], CALENDAR),
    "webhook": (["sink"], HOOK),
    "s3": (["sink"], BUCKET),
    "auth_session": (["auth_session"], SESSION),
    "notification": (["notifications", 0], WHOLE["notifications"][0]),
}


def rows_of(test: str) -> list[str]:
    """
    List the names of the rows that *test* has subtests for.
    """
    return [name for rows in ROWS.values() for name, proof in rows.items() if proof == test]


def at(value: Any, path: list[str | int]) -> Any:
    for step in path:
        value = value[step]
    return value


async def test_every_field_of_a_job_comes_back_where_it_is_documented(api: Any, subtests: pytest.Subtests) -> None:
    """
    In Get Jobs under the name under which it was sent, whole numbers as such; secrets masked.
    """
    for job, sink in (("with-webhook", HOOK), ("with-s3", BUCKET)):
        reply = await api("POST", "/jobs", {**WHOLE, "id": job, "sink": sink})
        assert reply.status_code == 201, reply.text
    webhook, bucket = (await api("GET", "/jobs")).json()

    for name in rows_of(FIELDS):
        shape, _, field = name.partition(" ")
        with subtests.test(name):
            if name == "integers as floats":
                assert type(webhook["configuration"]["maxConcurrentRequests"]) is int
                continue
            path, sent = SHAPES[shape]
            found = at(bucket if shape == "s3" else webhook, path)
            assert found[field] == (SHOWN.get(field, sent[field]) if shape != "calendar" else sent[field])
            assert set(found) == set(sent)


async def test_what_is_not_set_is_left_out(api: Any) -> None:
    """
    No null stands anywhere but in the fields that are documented to be there.
    """
    await api.create()
    jobs, job = (await api("GET", "/jobs")).json(), (await api("GET", "/jobs/demo-batch")).json()

    assert nulls({"all": jobs[0], "one": job}) == {
        f"{where}.{name}"
        for where in ("all", "one")
        for name in ("next_run_time", "last_run_time", "nextRunTime", "lastRunTime")
    }
    assert {"proxy", "sink", "schedule", "auth_session", "authSession", "notifications"}.isdisjoint(job)


async def test_every_row_of_the_page_of_2024_is_there(api: Any, subtests: pytest.Subtests) -> None:
    """
    Under the name that the page gives it, in both calls that show a job; what today is called otherwise says the same under both names.
    """
    sent = {**WHOLE, "authSession": SESSION, "sink": HOOK}
    del sent["auth_session"]
    await api("POST", "/jobs", {**sent, "id": "seed"})
    await api.trigger("seed")
    shown = [(await api("GET", "/jobs/seed")).json(), (await api("GET", "/jobs")).json()[0]]
    today = {
        "authSession": "auth_session", "createdAt": "created_at", "nextRunTime": "next_run_time", "lastRunTime": "last_run_time",
    }  # fmt: skip

    for row in ROWS["seed"]:
        field = row.removeprefix("page of 2024: ")
        with subtests.test(row):
            for job in shown:
                assert job[field] == job[today.get(field, field)]
                assert job[field] is not None
                if field.endswith(("At", "Time")):
                    assert datetime.fromisoformat(job[field]).tzinfo == UTC
    assert shown[0]["authSession"] == SESSION
    assert shown[0]["projectId"] == shown[1]["project_id"]


async def test_what_only_2024_had_is_not_there(api: Any) -> None:
    """
    A 404 in the typed form.
    """
    for path in ("/run", "/queues", "/queues/one/items", "/jobs/demo-batch/repeat", "/files/extract"):
        reply = await api("POST", path, {})

        assert (reply.status_code, reply.json()["code"]) == (404, "not-found"), path


def nulls(value: Any, where: str = "") -> set[str]:
    match value:
        case dict():
            return set().union(*(nulls(each, f"{where}.{name}".lstrip(".")) for name, each in value.items()))
        case list():
            return set().union(*(nulls(each, where) for each in value))
    return {where} if value is None else set()


async def test_every_field_of_a_job_run_is_there(api: Any) -> None:
    """
    The four that may be null are there all the same while it runs; it is PENDING then, there is no RUNNING.
    """
    await api.create(sink=HOOK, proxy="http://user:pass@127.0.0.1:3128", notifications=WHOLE["notifications"])
    run = await api.trigger()

    found = await api.job_run(run)

    assert set(found) == {
        "id", "start_time", "workspace_id", "project_id", "job_id", "created_at", "updated_at", "end_time", "type", "status",
        "payloads", "successful_runs", "failed_runs", "job_configuration_snapshot",
    }  # fmt: skip
    assert (found["status"], found["type"], found["end_time"], found["payloads"]) == ("PENDING", "MANUAL", None, 2)
    snapshot = found["job_configuration_snapshot"]
    assert snapshot["proxy"] == {"version": "v1", "url": "http://user:********@127.0.0.1:3128"}
    assert snapshot["sink"] == {**HOOK, "headers": {"a": MASK}}
    assert snapshot["notifications"][0]["url"] == WHOLE["notifications"][0]["url"]
    assert nulls(found) == {"end_time"}


RUN: dict[str, Any] = {
    "api": "map",
    "parameters": {"n": 1},
    "proxy": "http://127.0.0.1:3128",
    "saveTrace": False,
    "requestTimeout": 30.0,
    "retry": {"maximumAttempts": 2},
    "authSession": {"id": "abc", "autoRecreate": True, "checkAttempts": 1, "createAttempts": 1, "requestTimeout": 600},
    "sink": HOOK,
}


async def test_every_field_of_a_run_is_taken(api: Any, subtests: pytest.Subtests) -> None:
    """
    By itself, and wrong values of it are refused by its name.
    """
    wrong = {
        "api": "../map", "parameters": [], "proxy": "intuned://auto", "saveTrace": "yes", "requestTimeout": 0,
        "retry": {"maximumAttempts": 0}, "authSession": {"id": ""}, "sink": {"type": "ftp"},
    }  # fmt: skip
    needed = {"api": "map", "parameters": {}}

    async def function(work: ItemWork) -> ItemEnd:
        seen[work.item.id] = work
        return done()

    seen: dict[str, ItemWork] = {}
    async with api.kit.workers(function):
        for name in rows_of(RUN_FIELDS):
            field = name.removeprefix("run start ")
            with subtests.test(name):
                reply = await api("POST", "/run/start", {**needed, field: RUN[field]})
                assert (reply.status_code, reply.json()["status"]) == (201, "pending"), reply.text
                refused = await api("POST", "/run/start", {**needed, field: wrong[field]})
                assert refused.status_code == 400, field
                assert field in refused.json()["message"], refused.text
                item = await api.services.fan_outs.item(api.kit.house.workspace.id, reply.json()["runId"])
                await api.kit.ended(await api.kit.house.job(item.job_id))
                work = seen[item.id]
                assert field != "requestTimeout" or work.item.timeout_seconds == 30
                assert field != "retry" or work.item.max_attempts == 2
                assert field != "saveTrace" or not work.fan_out.item.options.get("save_trace")


def test_no_row_is_without_a_test() -> None:
    """
    Every test that the table names is there, and every field and call of the wire has a row.
    """
    folder = Path(__file__).parents[2]
    defined = {
        name
        for file in folder.rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }

    assert {proof for rows in ROWS.values() for proof in rows.values()} - defined == set()
    assert set(rows_of(JOB_RUN_FIELDS)) == {"JobRun", "PENDING"}
    for shape, (_, sent) in SHAPES.items():
        assert {f"{shape} {field}" for field in sent} <= set(ROWS["2.3"]), shape
    assert {f"run start {field}" for field in RUN} == set(rows_of(RUN_FIELDS))
    assert BODY.keys() <= {"id", *WHOLE}
