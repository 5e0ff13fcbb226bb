"""
From a job's record to Matatika's words, both vocabularies of them.

Pure and total: every job that the store can hold has a status and a resource. Source: the Jobs page of Matatika's documentation as it stood
in 2021 (V1: four statuses and four details behind a header) and stands today (V2).
"""

from __future__ import annotations

from typing import Any, Final

from headrace.core.job import Job
from headrace.core.state import JobState
from headrace.dialects.matatika.compile import DIALECT
from headrace.dialects.matatika.hal import Links, present, timestamp

V2_STATUSES: Final = ("QUEUED", "RUNNING", "COMPLETE", "ERROR", "STOPPED")
V1_STATUSES: Final = ("RUNNING", "COMPLETE", "ERROR", "UNKNOWN")
_V1_OF: Final = {"QUEUED": "UNKNOWN", "STOPPED": "ERROR"}
_TERMINATED = 143  # how a shell says that SIGTERM ended a program


class MatatikaDialect:
    """
    Matatika, as far as the core has to know it; see `headrace.core.ports.Dialect`.
    """

    name = DIALECT

    def details(self, job: Job) -> dict[str, Any]:
        return job_body(job)

    def topic(self, job: Job) -> str:
        """
        Give the notification's type: a job's start and its end mean something, a retry in between does not.
        """
        if job.final:
            return "JOB_ENDED"
        return "JOB_STARTED" if job.state is JobState.RUNNING and job.failures == 0 else ""


def status(job: Job) -> str:
    """
    Say how a job stands, in V2's words.

    A job between two tries runs still; one that its timeout ended was stopped.
    """
    match job.state:
        case JobState.COMPLETED:
            return "COMPLETE"
        case JobState.CANCELLED:
            return "STOPPED"
        case JobState.FAILED:
            return "STOPPED" if _output(job, "timed_out") else "ERROR"
        case _:
            return "RUNNING" if job.started_at is not None else "QUEUED"


def exit_code(job: Job) -> int | None:
    """
    Give the exit code of a job that has ended; None for one that never started a program.
    """
    if not job.final or job.started_at is None:
        return None
    code = _output(job, "exit_code")
    if code is not None:
        return int(code)
    return {JobState.COMPLETED: 0, JobState.CANCELLED: _TERMINATED}.get(job.state, 1)


def job_body(job: Job, *, v1_statuses: bool = False) -> dict[str, Any]:
    """
    Show a job without links; keys in the order of the samples.
    """
    word = status(job)
    return present(
        {
            "id": str(job.id),
            "created": timestamp(job.created_at),
            "type": job.details.get("type", "PIPELINE_RUN"),
            "triggeredBy": job.details.get("triggeredBy"),
            "maxAttempts": job.details.get("maxRetries", 0),
            "attempt": job.failures,
            "commitId": (job.details.get("commitId") or _output(job, "commit") or None) if job.started_at else None,
            "exitCode": exit_code(job),
            "status": _V1_OF.get(word, word) if v1_statuses else word,
            "startTime": timestamp(job.started_at, milliseconds=True),
            "endTime": timestamp(job.finished_at, milliseconds=True) if job.started_at else None,
        }
    )


def job_resource(job: Job, links: Links, *, task_details: bool = False, v1_statuses: bool = False) -> dict[str, Any]:
    """
    Show a job with links, and the details of its task where they were asked for: V1 has them as null otherwise.
    """
    embedded = {name: job.details[name] for name in ("pipeline", "profile") if name in job.details}
    if "pipeline" in embedded:
        embedded["pipeline"] = present(embedded["pipeline"])
    return {
        **job_body(job, v1_statuses=v1_statuses),
        **(_task_details(job) if task_details else dict.fromkeys(_task_details(job))),
        **({"_embedded": embedded} if embedded else {}),
        "_links": _links(job, links),
    }


def _task_details(job: Job) -> dict[str, Any]:
    cause = job.cause
    kind = str(job.details.get("type", "PIPELINE_RUN")).lower().replace("_", "-")
    of = job.definition.removeprefix("workspace:")
    code = exit_code(job)
    return {
        "taskName": f"{kind}-{of}",
        "exitMessage": cause.sentence if cause else (f"Exit code {code}" if code is not None else None),
        "arguments": list(job.details.get("arguments", ())),
        "errorMessage": cause.sentence if cause and job.state is JobState.FAILED else None,
    }


def _links(job: Job, links: Links) -> dict[str, Any]:
    found: dict[str, Any] = {
        "self": links.to("jobs", job.id),
        "delete job": links.to("jobs", job.id, method="DELETE"),
        "logs": links.to("jobs", job.id, "logs", method="GET", query="sequence=0"),
    }
    if not job.final:
        found["withdraw job"] = links.to("jobs", job.id, "stopped", method="PUT")
    if "pipeline" in job.details:
        found["pipeline"] = links.to("pipelines", job.definition)
    found["workspace"] = links.to("workspaces", job.workspace_id)
    return found


def _output(job: Job, name: str) -> Any:
    return next((step.output[name] for step in reversed(job.steps) if name in step.output), None)
