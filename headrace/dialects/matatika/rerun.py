"""
A Matatika job again: the same command under a new id, or the same repository's newest commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from msgspec.structs import replace

from headrace.core.errors import ConflictError
from headrace.core.job import Job, NewJob
from headrace.core.plan import AnyStep, Checkout, Command, Plan
from headrace.core.rerun import Renewal
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.workspace_wire import Source, fields_of


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


class SubmitAgain:
    """
    Submits the new job of an old one.

    What a job of a workspace brings is put in force when it ends. So it is not run again when the workspace has come to name another
    repository, branch or directory since, or opens it with other credentials: nobody who changed that wants the former project back.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, new: NewJob, plan: Plan) -> Job:
        """
        Submit the job.

        Raises:
            ConflictError: it would bring what its workspace does not name any more.
            ActiveJobError: a job of the same key has not ended.
        """
        for step in plan.steps:
            if isinstance(step, Checkout):
                fields = fields_of(await self._desk.shelf.find("workspace", new.workspace_id))
                _refuse_changed(step, new, fields.source(self._desk.git_schemes))
        return await self._desk.jobs.submit(new, plan)


def _refuse_changed(step: Checkout, new: NewJob, now: Source) -> None:
    opening = new.sealed.get(step.sealed, {}) if step.sealed else {}
    if (step.url, step.branch, step.directory, opening) != (now.url, now.branch, now.directory, dict(now.opening)):
        raise ConflictError(
            "The workspace's repository, or what opens it, is not what it was when the job was made.",
            f"Deploy the workspace: POST /workspaces/{new.workspace_id}/deployments of the Matatika wire.",
        )


def _renewed(step: AnyStep, names: Mapping[str, str]) -> AnyStep:
    if not isinstance(step, Command):
        return step
    return replace(step, argv=tuple(names.get(word, word) for word in step.argv))
