"""
From a job's record to Matatika's words: total, in both vocabularies.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from uuid import UUID

import pytest

from headrace.core.job import Job, StepRecord
from headrace.core.state import JobState
from headrace.dialects.matatika.hal import Links, timestamp
from headrace.dialects.matatika.project import V1_STATUSES, V2_STATUSES, exit_code, job_body, job_resource, status

NOON = datetime(2026, 1, 2, 12, 0, 0, 65350, tzinfo=UTC)
JOB = Job(
    id=UUID(int=1), seq=1, workspace_id=UUID(int=2), workspace="demo", tenant="default", dialect="matatika",
    definition=str(UUID(int=3)), public_id="x", root="r", name="daily", state=JobState.WAITING, created_at=NOON, updated_at=NOON,
)  # fmt: skip


@pytest.mark.parametrize(("state", "started", "timed_out"), list(product(JobState, (False, True), (False, True))))
def test_every_job_has_a_status_in_both_vocabularies(state: JobState, started: bool, timed_out: bool) -> None:
    """
    Whatever the store holds; a job that has not ended has no exit code, one that never started neither.
    """
    job = replace(
        JOB,
        state=state,
        started_at=NOON if started else None,
        finished_at=NOON if state.final else None,
        steps=(StepRecord(ordinal=0, name="run", kind="command", output={"timed_out": True} if timed_out else {}),),
    )

    assert status(job) in V2_STATUSES
    assert job_body(job, v1_statuses=True)["status"] in V1_STATUSES
    assert (exit_code(job) is None) == (not state.final or not started)
    assert None not in job_body(job).values()


def test_the_two_vocabularies_agree_as_the_reference_says() -> None:
    """
    Section 6.2: QUEUED is UNKNOWN, STOPPED is ERROR, the others are the same.
    """
    stopped = replace(JOB, state=JobState.CANCELLED, started_at=NOON, finished_at=NOON)

    assert [job_body(each)["status"] for each in (JOB, stopped)] == ["QUEUED", "STOPPED"]
    assert [job_body(each, v1_statuses=True)["status"] for each in (JOB, stopped)] == ["UNKNOWN", "ERROR"]


def test_a_resource_has_the_keys_of_the_samples_in_their_order() -> None:
    """
    Section 2.2: nulls are left out, but for V1's details.
    """
    found = job_resource(JOB, Links("http://h/api"))

    assert list(found) == [
        "id", "created", "type", "maxAttempts", "attempt", "status", "taskName", "exitMessage", "arguments", "errorMessage",
        "_links",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (NOON, "2026-01-02T12:00:00.06535"),
        (NOON.replace(microsecond=0), "2026-01-02T12:00:00"),
        (NOON.replace(microsecond=10), "2026-01-02T12:00:00.00001"),
    ],
)
def test_times_have_no_zone_and_no_trailing_zeros(at: datetime, text: str) -> None:
    """
    Section 2.2: UTC, up to six digits; start and end with milliseconds.
    """
    assert timestamp(at) == text
    assert timestamp(at.replace(microsecond=65350), milliseconds=True) == "2026-01-02T12:00:00.065"
