"""
What the core asks Intuned's dialect while jobs run: how it shows them, and who is told.
"""

from __future__ import annotations

from typing import Any

from headrace.core.fan_out import Item
from headrace.core.job import Job
from headrace.core.ports import ItemOutcome, JobNotice
from headrace.core.state import JobState, StepState
from headrace.dialects.intuned.project import job_run
from headrace.dialects.intuned.project_runs import sink_body

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
            body=sink_body(job, item),
        )
