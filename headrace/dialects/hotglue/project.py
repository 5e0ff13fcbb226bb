"""
From a job's record to hotglue's words.

Pure and total: every job that the store can hold has a status and a record with every key. Keys and words are those of hotglue's pages
"Job Details" and "Poll job status" (API v1.2, documented only); where those are silent, the choice is in docs/reference/hotglue.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from headrace.core.job import Job, StepRecord
from headrace.core.outcome import Cause
from headrace.core.state import JobState, StepState

STAGES: Final = ("discover", "sync", "etl", "export")
STATUSES: Final = (
    "JOB_CREATED", "DISCOVER_STARTED", "DISCOVER_FAILED", "SYNC_STARTED", "SYNC_FAILED", "SYNC_SUCCESS", "ETL_STARTED",
    "ETL_FAILED", "ETL_SUCCESS", "EXPORT_STARTED", "EXPORT_FAILED", "JOB_COMPLETED",
)  # fmt: skip

Outputs = Sequence[dict[str, Any]]

# A stage that is done has no word of its own where hotglue has none: its start stays the status until the next one begins.
_DONE: Final = {"sync": "SYNC_SUCCESS", "etl": "ETL_SUCCESS"}
_MEGABYTE = 10**6
_MEBIBYTE = 2**20


class HotglueDialect:
    """
    hotglue, as far as the core has to know it; see `headrace.core.ports.Dialect`.
    """

    name = "hotglue"

    def details(self, job: Job) -> dict[str, Any]:
        return record(job)

    def topic(self, job: Job) -> str:
        """
        Give the status, or nothing where hotglue has no word for what just happened.

        Nothing: a stage that is done without a word of its own, a failed stage while the job may still be tried again, a job that went
        back to waiting. Each would repeat the status before.
        """
        if job.final:
            return status(job)
        if job.state is not JobState.RUNNING:
            return "JOB_CREATED" if job.state is JobState.WAITING and job.attempt == 0 else ""
        step = job.current_step
        if step is None:
            return ""
        if step.state is StepState.RUNNING or (step.state is StepState.COMPLETED and stage_of(step) in _DONE):
            return status(job)
        return ""


def status(job: Job) -> str:
    """
    Say how far a job is in one of hotglue's words.
    """
    if job.state is JobState.COMPLETED:
        return "JOB_COMPLETED"
    if job.state in (JobState.FAILED, JobState.CANCELLED):
        return f"{failed_stage(job).upper()}_FAILED"
    begun = [step for step in job.steps if step.state not in (StepState.PENDING, StepState.SKIPPED)]
    if not begun:
        return "JOB_CREATED"
    stage = stage_of(begun[-1])
    done = begun[-1].state is StepState.COMPLETED
    return _DONE.get(stage, f"{stage.upper()}_STARTED") if done else f"{stage.upper()}_STARTED"


def stage_of(step: StepRecord) -> str:
    """
    Give hotglue's stage for a step; one it does not know counts as part of the sync.
    """
    return step.name if step.name in STAGES else "sync"


def failed_stage(job: Job) -> str:
    """
    Name the stage in which a failed or killed job ended: what its cause says, else the first step that is not done.
    """
    cause = cause_of(job)
    if cause is not None and cause.stage in STAGES:
        return cause.stage
    for states in (
        (StepState.FAILED,),
        (StepState.RUNNING, StepState.CANCELLED, StepState.ADMITTED, StepState.RETRYABLE),
        (StepState.PENDING,),
        (StepState.SKIPPED,),
    ):
        found = next((step for step in job.steps if step.state in states), None)
        if found is not None:
            return stage_of(found)
    return stage_of(job.steps[-1]) if job.steps else "sync"


def cause_of(job: Job) -> Cause | None:
    """
    Give why a job ended: its own cause, else that of its failed step.
    """
    return job.cause or next((step.cause for step in job.steps if step.cause is not None), None)


def message(job: Job) -> str:
    """
    Say how a job ended, in a sentence; empty before it has.
    """
    if not job.final:
        return ""
    if job.state is JobState.COMPLETED:
        return "Job completed"
    cause = cause_of(job)
    told = f"{cause.sentence} {cause.instruction}".strip() if cause else ""
    if job.state is JobState.CANCELLED:
        return f"Job was killed. {told}".strip()
    return told or "The job failed and left no cause."


def record(job: Job) -> dict[str, Any]:
    """
    Show a job with every key that hotglue's clients may look for; what is not known is null, not left out.
    """
    details = job.details
    outputs = [step.output for step in job.steps if step.output]
    counts = _counts(outputs)
    return {
        "job_id": job.public_id,
        "env_id": job.workspace,
        "flow_id": job.definition,
        "flow": job.definition,
        "job_name": job.name,
        "tenant": job.tenant,
        "started_by": job.started_by or job.tenant,
        "s3_root": job.root,
        "start_time": timestamp(job.started_at or job.created_at),
        "state": _state(details),
        "tap": details.get("tap") or "api",
        "target": details.get("target"),
        "connector_id": details.get("connector_id"),
        "job_type": details.get("job_type"),
        "status": status(job),
        "scheduled_job": job.trigger == "schedule",
        "sync_type": _sync_type(details, outputs),
        "streaming_job": bool(details.get("streaming_job")),
        "override_start_date": details.get("override_start_date"),
        "override_end_date": details.get("override_end_date"),
        "override_field_map": details.get("override_field_map"),
        "override_selected_tables": details.get("override_selected_tables"),
        "override_source_config": details.get("override_source_config"),
        "override_target_config": details.get("override_target_config"),
        "override_lifecycle_webhook": None,
        "message": message(job),
        "error": _error(job),
        "task_id": job.id.hex,
        "task_type": "STANDARD",
        "task_definition": _task_definition(details),
        "task_region": None,
        "launch_type": None,
        "last_updated": timestamp(job.finished_at or job.updated_at),
        "status_timestamp": _status_timestamps(job),
        "duration": _duration_seconds(job),
        "processed_rows": sum(counts.values()),
        "metrics": {"recordCount": counts, **_export_metrics(outputs)},
        "data_sizes": _data_sizes(outputs),
        "resources_usage": _resources_usage(job),
        "tap_install_uri": details.get("tap_install_uri"),
        "discover_install_uri": details.get("tap_install_uri"),
        "metadata": details.get("metadata"),
    }


def timestamp(at: datetime) -> str:
    """
    Write a time as hotglue does: UTC, microseconds, `+00:00`.
    """
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")


def _state(details: dict[str, Any]) -> Any:
    text = details.get("state_text")
    return msgspec.Raw(text.encode()) if isinstance(text, str) else details.get("state") or {}


def _found(outputs: Outputs, key: str) -> Iterable[Any]:
    return (output[key] for output in outputs if output.get(key))


def _counts(outputs: Outputs) -> dict[str, int]:
    counts: dict[str, int] = {}
    for found in _found(outputs, "record_count"):
        for stream, count in found.items():
            counts[stream] = counts.get(stream, 0) + int(count)
    return counts


def _sync_type(details: dict[str, Any], outputs: Outputs) -> str | None:
    told = next(iter(_found(outputs, "sync_type")), None)
    return told or details.get("sync_type")


def _export_metrics(outputs: Outputs) -> dict[str, Any]:
    names = {
        "export_summary": "exportSummary",
        "export_details": "exportDetails",
        "estimated_record_count": "estimatedRecordCount",
    }
    return {shown: found for key, shown in names.items() for found in _found(outputs, key)}


def _error(job: Job) -> dict[str, Any] | None:
    if job.state not in (JobState.FAILED, JobState.CANCELLED):
        return None
    cause = cause_of(job)
    return {"message": message(job), "stage": failed_stage(job), "who": str(cause.who) if cause else None}


def _task_definition(details: dict[str, Any]) -> dict[str, Any]:
    memory_bytes = details.get("memory_bytes")
    return {"id": "headrace", "memory": memory_bytes // _MEBIBYTE if memory_bytes else None, "cpu": None}


def _status_timestamps(job: Job) -> dict[str, str]:
    stamps = {"JOB_CREATED": timestamp(job.created_at)}
    for step in job.steps:
        stage = stage_of(step)
        if step.started_at is not None:
            stamps[f"{stage.upper()}_STARTED"] = timestamp(step.started_at)
        if step.finished_at is not None and step.state is StepState.COMPLETED and stage in _DONE:
            stamps[_DONE[stage]] = timestamp(step.finished_at)
    if job.finished_at is not None:
        stamps[status(job)] = timestamp(job.finished_at)
    return stamps


def _duration_seconds(job: Job) -> int | None:
    if job.finished_at is None:
        return None
    return max(0, round((job.finished_at - (job.started_at or job.created_at)).total_seconds()))


def _data_sizes(outputs: Outputs) -> dict[str, float]:
    sizes: dict[str, int] = {}
    for found in _found(outputs, "data_bytes"):
        for folder, size in found.items():
            sizes[folder] = sizes.get(folder, 0) + int(size)
    return {folder: round(size / _MEGABYTE, 3) for folder, size in sizes.items()}


def _resources_usage(job: Job) -> dict[str, Any]:
    used = [step for step in job.steps if step.output.get("usage")]
    if not used:
        return {}
    usages = [step.output["usage"] for step in used]
    seconds = [_seconds(step) for step in used]
    total_seconds = sum(seconds)
    cpu_seconds = [usage.get("cpu_seconds") or 0.0 for usage in usages]
    memory = sum((usage.get("memory_avg_bytes") or 0) * spent for usage, spent in zip(usages, seconds, strict=True))
    return {
        "memory": {
            "max": round(max(usage.get("memory_peak_bytes") or 0 for usage in usages) / _MEBIBYTE, 1),
            "avg": round(memory / total_seconds / _MEBIBYTE, 1),
        },
        "cpu": {
            "max": round(max(cpu / spent for cpu, spent in zip(cpu_seconds, seconds, strict=True)), 3),
            "avg": round(sum(cpu_seconds) / total_seconds, 3),
        },
    }


def _seconds(step: StepRecord) -> float:
    if step.started_at is None or step.finished_at is None:
        return 1.0
    return max(0.001, (step.finished_at - step.started_at).total_seconds())
