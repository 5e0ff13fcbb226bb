"""
Every operation of Intuned's published Python client that this server has; run by the client's own environment.

Arguments: base URL, key. Prints one JSON object; exits above 0 when the client refuses an answer.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from intuned_client import IntunedClient
from intuned_client.exceptions import AuthenticationError, NotFoundError, ValidationError

BASE_URL, KEY = sys.argv[1:]
PROJECT = "demo"
DEADLINE_SECONDS = 60.0
seen: dict[str, Any] = {}


def dump(value: Any) -> Any:
    return json.loads(value.model_dump_json(by_alias=True)) if hasattr(value, "model_dump_json") else value


def wait(poll: Any, done: Any) -> Any:
    """
    Poll until *done*: all that this client offers.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not done(found := poll()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


client = IntunedClient(api_key=KEY, workspace_id="demo", base_url=BASE_URL)
jobs = client.projects.jobs
payload = [
    {"apiName": "good", "parameters": {"n": 1}},
    {"apiName": "bad", "parameters": {}, "retry": {"maximumAttempts": 1}},
]
schedule = {"intervals": [{"every": "1h"}]}
sink = {"type": "webhook", "url": "http://127.0.0.1:1025/x", "skipOnFail": True}
body = {
    "id": "client-job",
    "payload": payload,
    "configuration": {"maxConcurrentRequests": 2, "retry": {"maximumAttempts": 2}},
    "schedule": schedule,
    "sink": sink,
    "proxy": "http://127.0.0.1:3128",
}
seen["create"] = dump(jobs.create(project_name=PROJECT, body=body))
seen["list"] = dump(jobs.list(project_name=PROJECT)) is not None
seen["get"] = dump(jobs.get(project_name=PROJECT, job_id="client-job"))["id"]
update = {key: value for key, value in body.items() if key not in ("id", "schedule", "sink")}
seen["update"] = dump(jobs.update(project_name=PROJECT, job_id="client-job", body=update))
seen["pause"] = dump(jobs.pause(project_name=PROJECT, job_id="client-job"))
try:
    jobs.trigger(project_name=PROJECT, job_id="client-job")
except ValidationError:
    seen["trigger_paused"] = "refused"
seen["resume"] = dump(jobs.resume(project_name=PROJECT, job_id="client-job"))
run = dump(jobs.trigger(project_name=PROJECT, job_id="client-job"))["jobRunId"]
ended = wait(
    lambda: dump(jobs.runs.get(project_name=PROJECT, job_id="client-job", job_run_id=run)),
    lambda found: found["jobRun"]["status"] != "PENDING",
)
seen["job_run"] = ended
seen["runs"] = dump(
    jobs.runs.list(
        project_name=PROJECT, job_id="client-job", page_size="10", page_number="0", sort_by="start_time,desc/status,asc"
    )
)["totalCount"]
seen["terminate"] = dump(jobs.runs.terminate(project_name=PROJECT, job_id="client-job", job_run_id=run))
for name in ("good", "bad"):
    start = {"api": name, "parameters": {}, "retry": {"maximumAttempts": 1}}
    single = dump(client.projects.runs.start(project_name=PROJECT, body=start))["runId"]
    seen[name] = wait(
        lambda single=single: dump(client.projects.runs.result(project_name=PROJECT, run_id=single)),
        lambda found: found["status"] not in ("pending", "started"),
    )
seen["sessions"] = dump(client.projects.auth_sessions.list(project_name=PROJECT)) is not None
sessions, shop, ada = client.projects.auth_sessions, {"project_name": "shop"}, {"auth_session_id": "ada"}
password = {"user": "ada", "password": "pass-word-of-ada"}


def operation(result: Any, started: Any, **more: str) -> Any:
    """
    Poll an operation on an auth session until it has ended.
    """
    which = {**shop, **more, "operation_id": dump(started)["operationId"]}
    return wait(lambda: dump(result(**which)), lambda found: found["status"] not in ("pending", "in_progress"))


started = sessions.create.start(**shop, body={"id": "ada", "parameters": password})
seen["session_create"] = operation(sessions.create.result, started)
started = sessions.update.start(**shop, **ada, body={"parameters": password})
seen["session_update"] = operation(sessions.update.result, started, **ada)
started = sessions.validate.start(**shop, **ada, body={})
seen["session_validate"] = operation(sessions.validate.result, started, **ada)
started = sessions.create.start(**shop, body={"id": "eve", "parameters": {**password, "password": "no"}})
seen["session_failed"] = operation(sessions.create.result, started)
seen["session_list"] = [dump(session) for session in sessions.list(**shop)]
seen["session_get"] = dump(sessions.get(**shop, **ada))
for name, who in (("run", "ada"), ("canceled", "eve")):
    start = {"api": "read", "parameters": {}, "authSession": {"id": who}}
    single = dump(client.projects.runs.start(**shop, body=start))["runId"]
    seen[f"session_{name}"] = wait(
        lambda single=single: dump(client.projects.runs.result(**shop, run_id=single)),
        lambda found: found["status"] not in ("pending", "started"),
    )
sessions.delete(**shop, **ada)
try:
    sessions.get(**shop, **ada)
except NotFoundError:
    seen["session_deleted"] = "not found"
jobs.delete(project_name=PROJECT, job_id="client-job")
try:
    jobs.get(project_name=PROJECT, job_id="client-job")
except NotFoundError:
    seen["after_delete"] = "not found"
try:
    IntunedClient(api_key="wrong", workspace_id="demo", base_url=BASE_URL).projects.jobs.list(project_name=PROJECT)
except AuthenticationError:
    seen["wrong_key"] = "refused"
print(json.dumps(seen))
