"""
From items to the runs of Intuned's wire: what the Run API, the lines of a job run's results and a sink say of one.

Pure and total, like `project.py`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from headrace.core.auth_session import REFUSED
from headrace.core.fan_out import Item
from headrace.core.job import Job
from headrace.core.state import StepState
from headrace.dialects.intuned.causes import (
    SESSION_REASONS,
    SURPLUS,
    TERMINATED,
    code_of,
    error_of,
    status_code_of,
    underlying,
)
from headrace.dialects.intuned.values import given, when_if

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


def run_status(item: Item) -> str:
    return _RUN_STATUS[item.state]


def run_result(job: Job, item: Item) -> dict[str, Any]:
    """
    Show one run as the Run API's result does.
    """
    return {
        "runId": item.id,
        "status": run_status(item),
        **given(
            result=_result(item) if item.state is StepState.COMPLETED else None,
            extendedPayloads=_extended(item) or None,
            error=error_of(item) if item.state is StepState.FAILED else None,
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
            "started_at": when_if(item.started_at),
            "ended_at": when_if(item.finished_at),
            "error": error_of(item) if item.state is StepState.FAILED else None,
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
    code = code_of(item.cause)
    if code == SURPLUS:
        return {"type": "terminated", "message": message}
    if code in SESSION_REASONS:
        return {"type": SESSION_REASONS[REFUSED], "message": message, **underlying(item.cause)}
    if code == TERMINATED and "batch" in job.details:
        return {"type": "job-run-terminated", "message": message}
    return {"type": "cancelled-user-action", "message": message}


def sink_body(job: Job, item: Item) -> dict[str, Any]:
    """
    Show one run that has ended as a sink is told of it.
    """
    return _around(job, {**_api_info(item), "result": _sink_result(item)})


def _api_info(item: Item) -> dict[str, Any]:
    return {"name": item.name, "parameters": Raw(item.input), "runId": item.id}


def _sink_result(item: Item) -> dict[str, Any]:
    if item.state is StepState.COMPLETED:
        return {"status": "completed", "result": _result(item), "statusCode": 200}
    error = error_of(item)
    return {
        "status": "failed",
        "error": error["code"],
        "message": error["message"],
        "statusCode": status_code_of(item),
    }


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
        {"api": each.name, "parameters": each.input, **given(runId=each.id)}
        for each in msgspec.json.decode(item.appended, type=list[_Extended])
    ]
