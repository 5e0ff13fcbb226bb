"""
Pausing single jobs: those that call functions, one item after the other.
"""

from __future__ import annotations

from uuid import UUID

from headrace.core.errors import ConflictError, FinalStateError
from headrace.core.job import Job
from headrace.services.fan_outs import FanOuts
from headrace.services.jobs import Jobs


class Pausing:
    """
    Whoever calls has checked the actor's scope. Asked again, both change nothing.
    """

    def __init__(self, jobs: Jobs, fan_outs: FanOuts) -> None:
        self._jobs = jobs
        self._fan_outs = fan_outs

    async def pause(self, job_id: UUID, *, by: str, workspace_id: UUID | None) -> Job:
        """
        Start no more items of a job, as *by* has asked; those that run go on to their end.

        Raises:
            NotFoundError: there is no such job in the workspace; None is every workspace.
            ConflictError: it has stages, which cannot be paused.
            FinalStateError: it has ended.
        """
        await self._fan_outs.pause(await self._pausable(job_id, workspace_id), by=by)
        return await self._now(job_id, workspace_id)

    async def resume(self, job_id: UUID, *, by: str, workspace_id: UUID | None) -> Job:
        """
        Let a paused job go on, as *by* has asked; what has ended is not repeated. Raises like `pause`.
        """
        await self._fan_outs.resume(await self._pausable(job_id, workspace_id), by=by)
        return await self._now(job_id, workspace_id)

    async def _pausable(self, job_id: UUID, workspace_id: UUID | None) -> UUID:
        job = await self._now(job_id, workspace_id)
        if job.items is None:
            raise ConflictError(
                "Only a job that calls functions can be paused; this one has stages.",
                "Let it end, or cancel it and run it again from a stage on.",
            )
        return job.id

    async def _now(self, job_id: UUID, workspace_id: UUID | None) -> Job:
        job = await self._jobs.get(job_id, workspace_id=workspace_id)
        if job.final:
            raise FinalStateError(f"The job has ended ({job.state}).", state=str(job.state))
        return job
