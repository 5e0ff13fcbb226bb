"""
From batches, jobs and items to Intuned's words.

Pure and total: every record that the store can hold has a status out of the closed lists of the published clients (2025, 2026). A field
that those leave out when it is empty is left out here; where they require the key, it is there with a null.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from headrace.core.auth_session import LOST, MISSING, REFUSED
from headrace.core.batch import Batch
from headrace.core.fan_out import Item
from headrace.core.job import Job
from headrace.core.outcome import Cause
from headrace.core.ports import ItemOutcome, JobNotice
from headrace.core.state import JobState, StepState
from headrace.dialects.intuned.ids import project_id
from headrace.dialects.intuned.wire import JobBody

JOB_RUN_STATUSES: Final = (
    "CANCELED", "PENDING", "PAUSED", "PAUSING", "RESUMING", "SUCCESS", "FAILURE", "TERMINATED", "COMPLETED",
)  # fmt: skip
RUN_STATUSES: Final = ("pending", "started", "completed", "canceled", "failed")

# From the codes of our causes to those of the wire, with category and the status that sinks are told.
_CODES: Final[dict[str, tuple[str, str, int]]] = {
    "exception": ("script-execution-exception", "execution", 500),
    "timeout": ("script-timeout", "execution", 504),
    "result-too-large": ("result-too-big-error", "execution", 500),
    "no-output": ("script-no-valid-output-received", "execution", 500),
    "crashed": ("script-process-crashed", "execution", 500),
    "not-found": ("script-unexpected-error", "user", 400),
    "invalid": ("script-unexpected-error", "user", 400),
    "auth-check-failed": ("auth-check-failed", "auth", 500),
    "check-attempts-failed": ("check-attempts-failed", "auth", 500),
    "create-attempts-failed": ("create-attempts-failed", "auth", 500),
    "post-create-check-attempts-failed": ("post-create-check-attempts-failed", "auth", 500),
    MISSING: ("auth-check-failed", "auth", 500),
    "internal": ("internal-server-error", "infrastructure", 500),
}
_UNEXPECTED: Final = ("unexpected", "infrastructure", 500)
_TERMINATED: Final = "job-terminated"
_SURPLUS: Final = "job-full"
_ANOTHER: Final = "another-job-active"

# Of a job run whose session is not valid, and of its runs.
_SESSION_REASONS: Final = {
    REFUSED: "auth-session-validate-dependency-failed",
    MISSING: "auth-session-not-found",
    LOST: "auth-session-invalid-mid-job",
}

_RUN_STATUS: Final = {
    StepState.PENDING: "pending",
    StepState.ADMITTED: "pending",
    StepState.RUNNING: "started",
    StepState.RETRYABLE: "started",
    StepState.COMPLETED: "completed",
    StepState.FAILED: "failed",
    StepState.CANCELLED: "canceled",
    StepState.SKIPPED: "canceled",
}


_NOTIFIED = (
    "id", "type", "status", "start_time", "end_time", "payloads", "successful_runs", "failed_runs", "reason", "error",
)  # fmt: skip


class IntunedDialect:
    """
    Intuned, as far as the core has to know it; see `headrace.core.ports.Dialect`.
    """

    name = "intuned"

    def details(self, job: Job) -> dict[str, Any]:
        return job_run(job) if "batch" in job.details else {"runId": job.details.get("run")}

    def topic(self, job: Job) -> str:
        """
        Give nothing: webhooks of a workspace speak of hotglue's jobs; `notices` is what a job's own are told.
        """
        return ""

    def notices(self, job: Job) -> list[JobNotice]:
        """
        Say who is told that a job run has ended or was paused. What the vendor sends, and when, nobody has documented.
        """
        if "batch" not in job.details or not (job.final or job.state is JobState.PAUSED):
            return []
        named = job.details.get("snapshot", {}).get("notifications") or []
        run = job_run(job)
        return [
            JobNotice(
                sealed=f"notification-{place}",
                url=each["url"],
                topic=f"job-run-{run['status'].lower()}",
                body={
                    "workspaceId": run["workspace_id"],
                    "project": {"id": run["project_id"], "name": job.tenant},
                    "projectJob": {"id": run["job_id"]},
                    "projectJobRun": {name: run[name] for name in _NOTIFIED if name in run},
                },
            )
            for place, each in enumerate(named)
        ]

    def item_outcome(self, job: Job, item: Item) -> ItemOutcome | None:
        """
        Show how a run ended, as a sink is told; None for a run that was canceled.
        """
        if item.state not in (StepState.COMPLETED, StepState.FAILED):
            return None
        return ItemOutcome(
            topic=f"run-{item.state}",
            path=f"{job.id}/{item.id}.json" if "batch" in job.details else f"{item.id}.json",
            body=_around(job, {**_api_info(item), "result": _sink_result(item)}),
        )


def listed_job(batch: Batch, shown: JobBody, *, next_at: datetime | None) -> dict[str, Any]:
    """
    Show a batch as Get Jobs does; *next_at* is when its schedule comes next.
    """
    return {
        "id": batch.name,
        "workspace_id": str(batch.workspace_id),
        "project_id": str(project_id(batch.workspace_id, batch.project)),
        "created_at": when(batch.created_at),
        "configuration": shown.configuration,
        "payload": shown.payload,
        "state": _state(batch),
        "next_run_time": _when(next_at),
        "last_run_time": _when(batch.last_run_at),
        "source": batch.source,
        **_given(
            sink=shown.sink,
            schedule=shown.schedule,
            auth_session=shown.session,
            proxy=_proxy_object(shown.proxy),
            reason=_pause_reason(batch),
            notifications=shown.notifications,
        ),
    }


def one_job(batch: Batch, shown: JobBody, *, next_at: datetime | None) -> dict[str, Any]:
    """
    Show a batch as Get Job does; the field `projectId` is spelt so here alone.
    """
    return {
        "id": batch.name,
        "created_at": when(batch.created_at),
        "projectId": str(project_id(batch.workspace_id, batch.project)),
        "configuration": shown.configuration,
        "state": _state(batch),
        "payload": shown.payload,
        "next_run_time": _when(next_at),
        "last_run_time": _when(batch.last_run_at),
        **_given(sink=shown.sink, schedule=shown.schedule, auth_session=shown.session, proxy=shown.proxy),
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
        "end_time": _when(job.finished_at),
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
            **_given(
                sink=snapshot.get("sink"),
                auth_session=snapshot.get("auth_session"),
                proxy=_proxy_object(snapshot.get("proxy")),
                notifications=snapshot.get("notifications"),
            ),
        },
        **_given(reason=_job_run_reason(job), error=_job_run_error(job)),
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
            return "CANCELED" if job.items is None or _code_of(job.cause) in _SESSION_REASONS else "TERMINATED"
        case JobState.PAUSED:
            return "PAUSED"
    if job.items is not None and job.items.pause_requested_at is not None:
        return "PAUSING" if job.items.live else "PAUSED"
    return "RESUMING" if job.state is JobState.WAITING and job.started_at is not None else "PENDING"


def run_status(item: Item) -> str:
    return _RUN_STATUS[item.state]


def run_result(job: Job, item: Item) -> dict[str, Any]:
    """
    Show one run as the Run API's result does.
    """
    return {
        "runId": item.id,
        "status": run_status(item),
        **_given(
            result=_result(item) if item.state is StepState.COMPLETED else None,
            extendedPayloads=_extended(item) or None,
            error=_error(item) if item.state is StepState.FAILED else None,
            message=item.cause.sentence if item.cause else None,
            reason=run_reason(job, item),
        ),
    }


def result_line(job: Job, item: Item) -> dict[str, Any]:
    """
    Show one run as a line of a job run's results.
    """
    output = {"output": _result(item), "extendedPayloads": _extended(item)}
    return _around(
        job,
        {
            **_api_info(item),
            "result": output if item.state is StepState.COMPLETED else None,
            "started_at": _when(item.started_at),
            "ended_at": _when(item.finished_at),
            "error": _error(item) if item.state is StepState.FAILED else None,
            "reason": run_reason(job, item),
            "status": run_status(item),
        },
    )


def run_reason(job: Job, item: Item) -> dict[str, Any] | None:
    """
    Say why a run was canceled; None for one that was not.
    """
    if item.state not in (StepState.CANCELLED, StepState.SKIPPED):
        return None
    message = item.cause.sentence if item.cause else "The run was canceled."
    code = _code_of(item.cause)
    if code == _SURPLUS:
        return {"type": "terminated", "message": message}
    if code in _SESSION_REASONS:
        return {"type": _SESSION_REASONS[REFUSED], "message": message, **_underlying(item.cause)}
    if code == _TERMINATED and "batch" in job.details:
        return {"type": "job-run-terminated", "message": message}
    return {"type": "cancelled-user-action", "message": message}


def when(at: datetime) -> str:
    """
    Write a time as the wire has it: ISO 8601, UTC, milliseconds, `Z`.
    """
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _when(at: datetime | None) -> str | None:
    return when(at) if at is not None else None


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _state(batch: Batch) -> str:
    return "PAUSED" if batch.paused else "ACTIVE"


def _proxy_object(url: str | None) -> dict[str, str] | None:
    return {"version": "v1", "url": url} if url is not None else None


def _pause_reason(batch: Batch) -> dict[str, Any] | None:
    return {**batch.reason, "timestamp": when(batch.updated_at)} if batch.paused and batch.reason else None


def _job_run_reason(job: Job) -> dict[str, Any] | None:
    cause = job.cause or (job.items.stop_cause if job.items else None)
    status = job_run_status(job)
    if cause is not None and status in ("CANCELED", "PAUSED", "PAUSING") and _code_of(cause) in _SESSION_REASONS:
        return {"type": _SESSION_REASONS[_code_of(cause)], "message": cause.sentence, **_underlying(cause)}
    match status:
        case "TERMINATED":
            return {"type": "terminated", "message": "The job run was terminated by a user."}
        case "PAUSED" | "PAUSING":
            return {"type": "user-request", "message": "The job was paused by a user."}
        case "CANCELED" if _code_of(job.cause) == _ANOTHER:
            return {"type": "another-job-run-active", "message": "Another run of the job is active."}
        case "CANCELED":
            return {"type": "terminated", "message": job.cause.sentence if job.cause else "It was canceled."}
    return None


def _job_run_error(job: Job) -> dict[str, Any] | None:
    if job.state is not JobState.FAILED:
        return None
    message = job.cause.sentence if job.cause else "The job run failed."
    return {"message": message, "code": "internal-server-error", "category": "infrastructure", "retirable": False}


def _underlying(cause: Cause | None) -> dict[str, Any]:
    """
    Say which error of a session is behind a reason.
    """
    code = cause.evidence.get("error") if cause else None
    return {"details": {"code": _CODES[code][0]}} if code in _CODES else {}


def _code_of(cause: Cause | None) -> str:
    return str(cause.evidence.get("code", "")) if cause else ""


def _error(item: Item) -> dict[str, Any]:
    """
    Say why a run failed. After several tries the code says so, and the details say how the last one failed.
    """
    code, category, _ = _CODES.get(_code_of(item.cause), _UNEXPECTED)
    message = item.cause.sentence if item.cause else "The run failed."
    details: dict[str, Any] = {"attempts_count": max(1, item.failures)}
    if item.failures > 1:
        details["last_error"] = {"code": code, "message": message}
        code, category = "api-attempts-failed", "execution"
    return {"message": message, "code": code, "category": category, "retirable": False, "details": details}


def _api_info(item: Item) -> dict[str, Any]:
    return {"name": item.name, "parameters": Raw(item.input), "runId": item.id}


def _sink_result(item: Item) -> dict[str, Any]:
    if item.state is StepState.COMPLETED:
        return {"status": "completed", "result": _result(item), "statusCode": 200}
    error = _error(item)
    status = _CODES.get(_code_of(item.cause), _UNEXPECTED)[2]
    return {"status": "failed", "error": error["code"], "message": error["message"], "statusCode": status}


def _around(job: Job, api_info: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "apiInfo": api_info,
        "workspaceId": str(job.workspace_id),
        "project": {"id": job.details.get("project_id", ""), "name": job.details.get("project", job.tenant)},
    }
    if "session" in job.details:
        found["authSession"] = {"id": job.details["session"]}
    if "batch" in job.details:
        found |= {"projectJob": {"id": job.details.get("job", "")}, "projectJobRun": {"id": str(job.id)}}
    return found


def _result(item: Item) -> Raw:
    return Raw(item.result if item.result is not None else b"null")


class _Extended(Struct):
    name: str
    input: Raw
    id: str | None = None


def _extended(item: Item) -> list[dict[str, Any]]:
    if item.appended is None:
        return []
    return [
        {"api": each.name, "parameters": each.input, **_given(runId=each.id)}
        for each in msgspec.json.decode(item.appended, type=list[_Extended])
    ]


def parse_uuid(text: str) -> UUID | None:
    """
    Read an id that is a UUID; None for anything else.
    """
    try:
        return UUID(text)
    except ValueError:
        return None
