"""
From batches and their jobs to Intuned's words.

Pure and total: every record that the store can hold has a status out of the closed lists of the published clients (2025, 2026). A field
that those leave out when it is empty is left out here; where they require the key, it is there with a null.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.core.batch import Batch
from headrace.core.job import Job
from headrace.core.state import JobState
from headrace.dialects.intuned.causes import ANOTHER, SESSION_REASONS, code_of, underlying
from headrace.dialects.intuned.ids import project_id
from headrace.dialects.intuned.values import given, when, when_if
from headrace.dialects.intuned.wire import JobBody
from headrace.services.batch_schedules import BatchSchedule


def listed_job(batch: Batch, shown: JobBody, schedule: BatchSchedule | None) -> dict[str, Any]:
    """
    Show a batch as Get Jobs does.
    """
    next_at = schedule.next_at if schedule else None
    return {
        "id": batch.name,
        "workspace_id": str(batch.workspace_id),
        "project_id": str(project_id(batch.workspace_id, batch.project)),
        "created_at": when(batch.created_at),
        "configuration": shown.configuration,
        "payload": shown.payload,
        "state": _state(batch),
        "next_run_time": when_if(next_at),
        "last_run_time": when_if(batch.last_run_at),
        "source": batch.source,
        **_of_2024(batch, shown, next_at),
        **given(
            sink=shown.sink,
            schedule=shown.schedule,
            auth_session=shown.session,
            proxy=_proxy_object(shown.proxy),
            reason=_pause_reason(batch),
            schedule_id=str(schedule.id) if schedule else None,
            notifications=shown.notifications,
        ),
    }


def one_job(batch: Batch, shown: JobBody, *, next_at: datetime | None) -> dict[str, Any]:
    """
    Show a batch as Get Job does.
    """
    return {
        "id": batch.name,
        "created_at": when(batch.created_at),
        "configuration": shown.configuration,
        "state": _state(batch),
        "payload": shown.payload,
        "next_run_time": when_if(next_at),
        "last_run_time": when_if(batch.last_run_at),
        **_of_2024(batch, shown, next_at),
        **given(sink=shown.sink, schedule=shown.schedule, auth_session=shown.session, proxy=shown.proxy),
    }


def _of_2024(batch: Batch, shown: JobBody, next_at: datetime | None) -> dict[str, Any]:
    """
    Give the fields of a job that Intuned's page of 2024 spells otherwise. Of them the clients of today know `projectId`, in Get Job.
    """
    return {
        "projectId": str(project_id(batch.workspace_id, batch.project)),
        "createdAt": when(batch.created_at),
        "nextRunTime": when_if(next_at),
        "lastRunTime": when_if(batch.last_run_at),
        **given(authSession=shown.session),
    }


def job_run(job: Job) -> dict[str, Any]:
    """
    Show one job of a batch.
    """
    items = job.items
    snapshot = job.details.get("snapshot", {})
    return {
        "id": str(job.id),
        "start_time": when(job.started_at or job.created_at),
        "end_time": when_if(job.finished_at),
        "type": "SCHEDULED" if job.trigger == "schedule" else "MANUAL",
        "status": job_run_status(job),
        "workspace_id": str(job.workspace_id),
        "project_id": job.details.get("project_id", ""),
        "job_id": job.details.get("job", job.name),
        "created_at": when(job.created_at),
        "updated_at": when(job.updated_at),
        "payloads": items.total if items else 0,
        "successful_runs": items.completed if items else 0,
        "failed_runs": items.failed if items else 0,
        "job_configuration_snapshot": {
            "configuration": snapshot.get("configuration", {}),
            **given(
                sink=snapshot.get("sink"),
                auth_session=snapshot.get("auth_session"),
                proxy=_proxy_object(snapshot.get("proxy")),
                notifications=snapshot.get("notifications"),
            ),
        },
        **given(reason=_job_run_reason(job), error=_job_run_error(job)),
    }


def job_run_status(job: Job) -> str:
    """
    Say how far a job is. A job whose runs failed has succeeded: it brought every one of them to its end.
    """
    match job.state:
        case JobState.COMPLETED:
            return "SUCCESS"
        case JobState.FAILED:
            return "FAILURE"
        case JobState.CANCELLED:
            return "CANCELED" if job.items is None or code_of(job.cause) in SESSION_REASONS else "TERMINATED"
        case JobState.PAUSED:
            return "PAUSED"
    if job.items is not None and job.items.pause_requested_at is not None:
        return "PAUSING" if job.items.live else "PAUSED"
    return "RESUMING" if job.state is JobState.WAITING and job.started_at is not None else "PENDING"


def _state(batch: Batch) -> str:
    return "PAUSED" if batch.paused else "ACTIVE"


def _proxy_object(url: str | None) -> dict[str, str] | None:
    return {"version": "v1", "url": url} if url is not None else None


def _pause_reason(batch: Batch) -> dict[str, Any] | None:
    return {**batch.reason, "timestamp": when(batch.updated_at)} if batch.paused and batch.reason else None


def _job_run_reason(job: Job) -> dict[str, Any] | None:
    cause = job.cause or (job.items.stop_cause if job.items else None)
    status = job_run_status(job)
    if cause is not None and status in ("CANCELED", "PAUSED", "PAUSING") and code_of(cause) in SESSION_REASONS:
        return {"type": SESSION_REASONS[code_of(cause)], "message": cause.sentence, **underlying(cause)}
    match status:
        case "TERMINATED":
            return {"type": "terminated", "message": "The job run was terminated by a user."}
        case "PAUSED" | "PAUSING":
            return {"type": "user-request", "message": "The job was paused by a user."}
        case "CANCELED" if code_of(job.cause) == ANOTHER:
            return {"type": "another-job-run-active", "message": "Another run of the job is active."}
        case "CANCELED":
            return {"type": "terminated", "message": job.cause.sentence if job.cause else "It was canceled."}
    return None


def _job_run_error(job: Job) -> dict[str, Any] | None:
    if job.state is not JobState.FAILED:
        return None
    message = job.cause.sentence if job.cause else "The job run failed."
    return {"message": message, "code": "internal-server-error", "category": "infrastructure", "retirable": False}
