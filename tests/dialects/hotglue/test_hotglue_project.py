"""
From a job's record to hotglue's words: total, and never a failure without `_FAILED`.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hotglue_rows import row
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.job import Job, StepRecord
from headrace.core.outcome import Cause
from headrace.core.state import JobState, StepState
from headrace.dialects.hotglue.project import STATUSES, HotglueDialect, message, record, status

NOON = datetime(2024, 7, 25, 12, tzinfo=UTC)
P, R, C, F, X, S = (
    StepState.PENDING,
    StepState.RUNNING,
    StepState.COMPLETED,
    StepState.FAILED,
    StepState.CANCELLED,
    StepState.SKIPPED,
)


def step(ordinal: int, state: StepState, name: str, **fields: Any) -> StepRecord:
    return StepRecord(ordinal=ordinal, name=name, kind="script", state=state, **fields)


def job(state: JobState, *steps: StepState, names: tuple[str, ...] = ("sync", "etl", "export"), **fields: Any) -> Job:
    return Job(
        **{
            "id": UUID(int=1),
            "seq": 1,
            "workspace_id": UUID(int=2),
            "workspace": "demo",
            "tenant": "acme",
            "dialect": "hotglue",
            "definition": "flights",
            "public_id": "37g_DK",
            "root": "acme/flows/flights/jobs/37g_DK",
            "name": "a job",
            "state": state,
            "created_at": NOON,
            "updated_at": NOON,
            "finished_at": NOON if state.final else None,
            "steps": tuple(step(at, one, name) for at, (one, name) in enumerate(zip(steps, names, strict=False))),
            **fields,
        }
    )


TABLE = [
    (JobState.WAITING, (P, P, P), "JOB_CREATED"),
    (JobState.ADMITTED, (P, P, P), "JOB_CREATED"),
    (JobState.RUNNING, (P, P, P), "JOB_CREATED"),
    (JobState.RUNNING, (R, P, P), "SYNC_STARTED"),
    (JobState.RUNNING, (C, P, P), "SYNC_SUCCESS"),
    (JobState.RUNNING, (C, R, P), "ETL_STARTED"),
    (JobState.RUNNING, (C, C, P), "ETL_SUCCESS"),
    (JobState.RUNNING, (C, C, R), "EXPORT_STARTED"),
    (JobState.RUNNING, (C, C, C), "EXPORT_STARTED"),
    (JobState.RUNNING, (C, F, P), "ETL_STARTED"),  # it may be tried again: final words are for final states
    (JobState.WAITING, (C, P, P), "SYNC_SUCCESS"),  # handed back by a worker that shuts down
    (JobState.SCHEDULED, (C, P, P), "SYNC_SUCCESS"),
    (JobState.PAUSED, (C, C, P), "ETL_SUCCESS"),
    (JobState.COMPLETED, (C, C, C), "JOB_COMPLETED"),
    (JobState.COMPLETED, (C, S, C), "JOB_COMPLETED"),
    (JobState.FAILED, (F, S, S), "SYNC_FAILED"),
    (JobState.FAILED, (C, F, S), "ETL_FAILED"),
    (JobState.FAILED, (C, C, F), "EXPORT_FAILED"),
    (JobState.FAILED, (S, S, S), "SYNC_FAILED"),  # setup failed before any step began
    (JobState.CANCELLED, (S, S, S), "SYNC_FAILED"),
    (JobState.CANCELLED, (C, X, X), "ETL_FAILED"),
    (JobState.CANCELLED, (C, S, S), "ETL_FAILED"),
    (JobState.CANCELLED, (C, C, R), "EXPORT_FAILED"),
    (JobState.CANCELLED, (), "SYNC_FAILED"),
]


@pytest.mark.parametrize(("state", "steps", "word"), TABLE)
def test_the_status_follows_the_job(state: JobState, steps: tuple[StepState, ...], word: str) -> None:
    assert status(job(state, *steps)) == word


@row("3.1 no other word", "10 4")
def test_every_combination_has_a_documented_status() -> None:
    """
    Total over job states and step states: failed and killed contain `_FAILED`, completed is the one COMPLETED, others are neither.
    """
    for state, steps in itertools.product(JobState, itertools.product(StepState, repeat=3)):
        word = status(job(state, *steps))
        assert word in STATUSES
        assert ("_FAILED" in word) == (state in (JobState.FAILED, JobState.CANCELLED))
        assert (word == "JOB_COMPLETED") == (state is JobState.COMPLETED)


def test_a_discover_has_its_own_words() -> None:
    names = ("discover", "sync", "etl", "export")

    assert status(job(JobState.RUNNING, R, P, P, P, names=names)) == "DISCOVER_STARTED"
    assert status(job(JobState.RUNNING, C, P, P, P, names=names)) == "DISCOVER_STARTED"
    assert status(job(JobState.FAILED, F, S, S, S, names=names)) == "DISCOVER_FAILED"


def test_a_streaming_job_fails_where_its_cause_says() -> None:
    """
    One step, two ends: the target's failure is an export's.
    """
    failed = job(JobState.FAILED, F, names=("sync",))

    assert status(failed) == "SYNC_FAILED"
    assert status(replace(failed, cause=Cause("export", "The target exited with 1."))) == "EXPORT_FAILED"
    assert status(job(JobState.RUNNING, C, names=("sync",))) == "SYNC_SUCCESS"


def test_the_message_is_empty_until_the_end_and_then_begins_with_the_cause() -> None:
    cause = Cause("etl", "The script raised KeyError.", instruction="Mend line 3.")

    assert message(job(JobState.RUNNING, R)) == ""
    assert message(job(JobState.COMPLETED, C)) == "Job completed"
    assert message(job(JobState.FAILED, F, cause=cause)) == "The script raised KeyError. Mend line 3."
    assert message(job(JobState.FAILED, F)) != ""
    assert "killed" in message(job(JobState.CANCELLED, X, cause=Cause("", "Cancelled by ann.")))


def test_a_subscriber_hears_each_word_once() -> None:
    """
    Along a job's life every change that has a word is told, and none is told twice.
    """
    dialect = HotglueDialect()
    life = [
        job(JobState.WAITING, P, P, P),
        job(JobState.ADMITTED, P, P, P),
        job(JobState.RUNNING, R, P, P, attempt=1),
        job(JobState.RUNNING, C, P, P, attempt=1),
        job(JobState.RUNNING, C, R, P, attempt=1),
        job(JobState.WAITING, C, P, P, attempt=1),
        job(JobState.RUNNING, C, F, P, attempt=2),
        job(JobState.FAILED, C, F, S, attempt=2),
    ]

    told = [topic for topic in map(dialect.topic, life) if topic]

    assert told == ["JOB_CREATED", "SYNC_STARTED", "SYNC_SUCCESS", "ETL_STARTED", "ETL_FAILED"]
    assert dialect.topic(job(JobState.RUNNING, C, C, C, attempt=1)) == ""
    assert dialect.topic(job(JobState.COMPLETED, C, C, C, attempt=1)) == "JOB_COMPLETED"


def test_a_finished_job_shows_its_numbers() -> None:
    minute = timedelta(seconds=60)
    steps = (
        step(
            0,
            C,
            "sync",
            started_at=NOON,
            finished_at=NOON + minute,
            output={
                "record_count": {"a": 3, "b": 4},
                "sync_type": "incremental_sync",
                "usage": {"memory_peak_bytes": 300 * 2**20, "memory_avg_bytes": 100 * 2**20, "cpu_seconds": 30.0},
                "data_bytes": {"sync-output": 1_500_000},
            },
        ),
        step(
            1,
            C,
            "etl",
            started_at=NOON + minute,
            finished_at=NOON + 2 * minute,
            output={
                "usage": {"memory_peak_bytes": 200 * 2**20, "memory_avg_bytes": 200 * 2**20, "cpu_seconds": 60.0},
                "data_bytes": {"etl-output": 10, "snapshots": 2_000_000},
            },
        ),
        step(2, C, "export", output={"export_summary": {"A": {"success": 7}}, "export_details": {"A": [{"id": 1}]}}),
    )
    done = record(
        job(JobState.COMPLETED, started_at=NOON, finished_at=NOON + 2.5 * minute, steps=steps, trigger="schedule")
    )

    assert (done["processed_rows"], done["sync_type"], done["duration"]) == (7, "incremental_sync", 150)
    assert done["metrics"] == {
        "recordCount": {"a": 3, "b": 4},
        "exportSummary": {"A": {"success": 7}},
        "exportDetails": {"A": [{"id": 1}]},
    }
    assert done["data_sizes"] == {"sync-output": 1.5, "etl-output": 0.0, "snapshots": 2.0}
    assert done["resources_usage"] == {"memory": {"max": 300.0, "avg": 150.0}, "cpu": {"max": 1.0, "avg": 0.75}}
    assert done["last_updated"] == "2024-07-25T12:02:30.000000+00:00"
    assert done["scheduled_job"] is True
    assert list(done["status_timestamp"]) == [
        "JOB_CREATED",
        "SYNC_STARTED",
        "SYNC_SUCCESS",
        "ETL_STARTED",
        "ETL_SUCCESS",
        "JOB_COMPLETED",
    ]


DOCUMENTED = [
    "job_id",
    "env_id",
    "flow_id",
    "job_name",
    "tenant",
    "started_by",
    "s3_root",
    "start_time",
    "state",
    "tap",
    "target",
    "connector_id",
    "job_type",
    "status",
    "scheduled_job",
    "sync_type",
    "override_start_date",
    "message",
    "task_id",
    "task_type",
    "task_definition",
    "last_updated",
    "metrics",
    "error",
    "data_sizes",
    "resources_usage",
    "flow",
    "streaming_job",
    "override_end_date",
    "override_field_map",
    "override_source_config",
    "override_target_config",
    "override_lifecycle_webhook",
    "task_region",
    "launch_type",
    "status_timestamp",
    "duration",
    "processed_rows",
    "tap_install_uri",
    "discover_install_uri",
    "metadata",
]

_OUTPUT = st.fixed_dictionaries(
    {},
    optional={
        "record_count": st.dictionaries(st.text("aB_/é", max_size=5), st.integers(0, 2**60), max_size=3),
        "usage": st.fixed_dictionaries(
            {},
            optional={
                "memory_peak_bytes": st.integers(0, 2**50),
                "memory_avg_bytes": st.integers(0, 2**50),
                "cpu_seconds": st.floats(0, 1e9),
            },
        ),
        "data_bytes": st.dictionaries(st.sampled_from(["sync-output", "snapshots"]), st.integers(0, 2**60)),
        "export_summary": st.dictionaries(st.text("aB", max_size=3), st.just({"success": 1})),
    },
)
_TIME = st.none() | st.datetimes(timezones=st.just(UTC))


@given(st.data())
def test_every_job_has_a_record_with_every_key(data: st.DataObject) -> None:
    """
    Pure and total: whatever the store may hold is shown, and nothing is left out.
    """
    steps = tuple(
        StepRecord(
            ordinal=at,
            name=data.draw(st.sampled_from(["discover", "sync", "etl", "export", "item-3"])),
            kind="sync",
            state=data.draw(st.sampled_from(StepState)),
            started_at=data.draw(_TIME),
            finished_at=data.draw(_TIME),
            output=data.draw(_OUTPUT),
        )
        for at in range(data.draw(st.integers(0, 4)))
    )
    one = job(data.draw(st.sampled_from(JobState)), steps=steps, started_at=data.draw(_TIME))

    shown = record(one)

    assert set(DOCUMENTED) <= set(shown)
    assert shown["status"] in STATUSES
    assert msgspec.json.decode(msgspec.json.encode(shown))["job_id"] == "37g_DK"
