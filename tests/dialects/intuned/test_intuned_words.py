"""
Whatever the store can hold has a word out of the closed lists of the published clients: each other one fails in the TypeScript client.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from headrace.core.fan_out import FanOutRecord, Item
from headrace.core.job import Job
from headrace.core.outcome import Cause
from headrace.core.state import JobState, StepState
from headrace.dialects.intuned.causes import CODES
from headrace.dialects.intuned.dialect import IntunedDialect
from headrace.dialects.intuned.project import job_run
from headrace.dialects.intuned.project_runs import result_line, run_result

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
JOB = Job(
    id=UUID(int=1), seq=1, workspace_id=UUID(int=2), workspace="demo", tenant="demo", dialect="intuned", definition="demo/crawl",
    public_id="1", root="1", name="crawl", state=JobState.RUNNING, details={"batch": "3", "job": "crawl", "project_id": "4"},
    created_at=NOON, updated_at=NOON,
)  # fmt: skip
ITEM = Item(
    job_id=JOB.id, ordinal=0, id="run", name="map", state=StepState.RUNNING, parent=None, input=b"{}", timeout_seconds=1.0,
    max_attempts=3, attempt=1, failures=0, crashes=0, due_at=None, started_at=NOON, finished_at=None, cause=None, output={},
    result=None, appended=None,
)  # fmt: skip

STATUSES = {"CANCELED", "PENDING", "PAUSED", "PAUSING", "RESUMING", "SUCCESS", "FAILURE", "TERMINATED"}
REASONS = {
    "terminated", "user-request", "auth-session-not-found", "auth-session-validate-dependency-failed",
    "auth-session-invalid-mid-job", "auth-session-locked", "another-job-run-active", "insufficient-resource-credits",
    "s3-sink-error",
}  # fmt: skip
RUN_STATUSES = {"pending", "started", "completed", "canceled", "failed"}
RUN_REASONS = {
    "auth-session-validate-dependency-failed", "terminated", "job-run-paused", "job-run-terminated",
    "failed-to-initialize-job-run", "api-access-disabled", "cancelled-user-action",
}  # fmt: skip
ERRORS = {
    "script-execution-exception", "script-timeout", "result-too-big-error", "script-no-valid-output-received",
    "script-process-crashed", "script-unexpected-error", "unexpected", "api-attempts-failed", "all-attempts-failed",
    "auth-check-failed", "check-attempts-failed", "create-attempts-failed", "post-create-check-attempts-failed",
    "onepassword-integration-error", "job-run-terminated", "internal-server-error",
}  # fmt: skip
CATEGORIES = {"infrastructure", "execution", "auth", "user", "billing"}

CAUSES: list[Cause | None] = [
    None,
    Cause("map", "No code."),
    *(
        Cause("map", "Some code.", evidence={"code": code, "error": "auth-check-failed"})
        for code in (
            *CODES,
            "job-terminated",
            "job-full",
            "another-job-active",
            "session-invalid",
            "session-lost",
            "odd",
        )
    ),
]


def records() -> list[FanOutRecord | None]:
    """
    Give every kind of count that a job's items can have.
    """
    return [
        None,
        *(
            FanOutRecord(total=3, completed=1, failed=1, cancelled=0, live=live, pause_requested_at=paused, stop_cause=why)
            for live, paused, why in product((0, 1), (None, NOON), CAUSES)
        ),
    ]  # fmt: skip


def nulls(value: dict[str, Any]) -> set[str]:
    return {name for name, each in value.items() if each is None}


@pytest.mark.parametrize("state", JobState)
def test_every_job_run_has_its_words(state: JobState) -> None:
    """
    A reason is there exactly where a run was stopped, an error where the server failed it; null is the end's time alone.
    """
    for items, cause, started in product(records(), CAUSES, (None, NOON)):
        found = job_run(replace(JOB, state=state, items=items, cause=cause, started_at=started))

        assert found["status"] in STATUSES
        assert nulls(found) == {"end_time"}
        assert ("reason" in found) == (found["status"] in ("CANCELED", "PAUSED", "PAUSING", "TERMINATED"))
        assert found.get("reason", {}).get("type", "terminated") in REASONS
        assert ("error" in found) == (found["status"] == "FAILURE")


@pytest.mark.parametrize("state", StepState)
def test_every_run_has_its_words(state: StepState) -> None:
    """
    The same for runs: of jobs and single ones, in the result, in a line of results, and to a sink.
    """
    for cause, failures, details in product(CAUSES, (0, 1, 3), (JOB.details, {"run": "run"})):
        job = replace(JOB, details=details)
        item = replace(ITEM, state=state, cause=cause, failures=failures)
        found = run_result(job, item)
        line = result_line(job, item)["apiInfo"]
        told = IntunedDialect().item_outcome(job, item)

        assert found["status"] == line["status"]
        assert found["status"] in RUN_STATUSES
        assert nulls(found) == set()
        assert ("error" in found) == (found["status"] == "failed") == (line["error"] is not None)
        if "error" in found:
            assert (found["error"]["code"] in ERRORS, found["error"]["category"] in CATEGORIES) == (True, True)
            assert found["error"]["details"]["attempts_count"] >= 1
        assert ("reason" in found) == (found["status"] == "canceled")
        assert found.get("reason", {}).get("type", "terminated") in RUN_REASONS
        assert (told is not None) == (found["status"] in ("completed", "failed"))
        if told is not None and found["status"] == "failed":
            assert told.body["apiInfo"]["result"]["statusCode"] in (400, 500, 504)
