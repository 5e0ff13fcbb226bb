"""
A Matatika job again: the same command under a new id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from msgspec.structs import replace

from headrace.core.job import NewJob
from headrace.core.plan import AnyStep, Checkout, Command, Plan
from headrace.core.rerun import Renewal


class RenewMatatika:
    """
    Args:
        new_id: makes a version 4 UUID, as the Jobs page promises.
    """

    def __init__(self, new_id: Callable[[], UUID]) -> None:
        self._new_id = new_id

    def __call__(self, again: Renewal) -> tuple[NewJob, Plan]:
        """
        Make the new job of an old one; where its id stood in the plan, the new one stands.
        """
        job, job_id = again.job, self._new_id()
        names = {str(job.id): str(job_id)}
        new = NewJob(
            id=job_id,
            workspace_id=job.workspace_id,
            workspace=job.workspace,
            tenant=job.tenant,
            dialect=job.dialect,
            definition=job.definition,
            public_id=str(job_id)[:8],
            root=f"{job.workspace_id}/jobs/{job_id}",
            name=job.name,
            started_by=again.by,
            details={
                **job.details,
                "arguments": [names.get(word, word) for word in job.details.get("arguments", ())],
            },
        )
        steps = tuple(_renewed(step, names) for step in again.plan.steps)
        return new, replace(again.plan, steps=steps, variables={**again.plan.variables, "JOB_ID": str(job_id)})


def _renewed(step: AnyStep, names: Mapping[str, str]) -> AnyStep:
    if isinstance(step, Command):
        return replace(step, argv=tuple(names.get(word, word) for word in step.argv))
    if isinstance(step, Checkout):  # another project may be in force by now
        return replace(step, before=None)
    return step
