"""
Starting jobs and single runs the Intuned way, for its own wire and for whoever else starts them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

import msgspec

from headrace.core.actor import Actor
from headrace.core.batch import AutomationProject, Batch
from headrace.core.errors import InvalidError
from headrace.core.job import Job
from headrace.core.plan import Limits
from headrace.dialects.intuned.compile import Asked, compile_batch, compile_rerun, compile_run
from headrace.dialects.intuned.ids import RUN_ID_LENGTH, run_id
from headrace.dialects.intuned.secrets import opened
from headrace.dialects.intuned.wire import JobBody, RunBody
from headrace.services.automations import Workspace
from headrace.services.batches import Batches
from headrace.services.jobs import Jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    A project, and who asks.
    """

    actor: Actor
    workspace: Workspace
    project: AutomationProject


class StartAutomations:
    """
    Args:
        limits: of every item.
        new_id: makes a UUID.
        chance: gives so many random bytes.
    """

    def __init__(
        self,
        batches: Batches,
        jobs: Jobs,
        *,
        limits: Limits,
        new_id: Callable[[], UUID],
        chance: Callable[[int], bytes],
    ) -> None:
        self._batches = batches
        self._jobs = jobs
        self._limits = limits
        self._new_id = new_id
        self._chance = chance

    async def batch(
        self, place: Place, batch: Batch, *, trigger: str = "api", idempotency_key: str | None = None
    ) -> Job:
        """
        Start a job of a batch; while another one of it has not ended, the new one is recorded as cancelled.

        Asked again with the same key, it gives the job that is there.

        Raises:
            ConflictError: the batch is paused.
            InvalidError: the project's settings do not fit.
        """
        body = opened(shown_of(batch), batch.secrets)
        _refuse_sessions(place.project)
        asked = replace(self._asked(place, trigger), idempotency_key=idempotency_key)
        new, plan = compile_batch(batch, body, place.project, asked)
        return await self._batches.start(batch, new, plan)

    async def rerun(self, place: Place, batch: Batch, job_id: UUID) -> Job:
        """
        Start a job of those items of an ended one that did not complete, as they were.

        Raises:
            NotFoundError: no such job was made of the batch.
            ConflictError: the batch is paused, or the job has not ended or has nothing to repeat.
        """
        job, plan, sealed, items = await self._batches.failed_items(batch, job_id)
        new, plan = compile_rerun(plan, job, items, batch, self._asked(place, "rerun"))
        return await self._batches.start(batch, replace(new, sealed=sealed), plan)

    async def run(self, place: Place, body: RunBody) -> str:
        """
        Start a single run, and give its id.

        Raises:
            InvalidError: the project takes no single runs, or its settings do not fit.
        """
        _refuse_sessions(place.project)
        new, plan = compile_run(body, place.project, self._asked(place, "api"))
        await self._jobs.submit(new, plan)
        return new.items[0].id

    def _asked(self, place: Place, trigger: str) -> Asked:
        return Asked(
            id=self._new_id(),
            run_id=self.new_run_id,
            workspace_id=place.workspace.id,
            workspace=place.workspace.name,
            by=place.actor.name,
            limits=self._limits,
            variables=place.workspace.definition.get("environment", {}),
            trigger=trigger,
        )

    def new_run_id(self) -> str:
        return run_id(self._chance(RUN_ID_LENGTH))


def shown_of(batch: Batch) -> JobBody:
    """
    Read a batch's definition; secrets are masked in it.
    """
    return msgspec.json.decode(batch.definition, type=JobBody)


def _refuse_sessions(project: AutomationProject) -> None:
    if project.auth_sessions:
        raise InvalidError(
            f"Project {project.name!r} has auth sessions on, which this server does not keep yet.",
            "Set `authSessions.enabled` to false in its settings.",
        )
