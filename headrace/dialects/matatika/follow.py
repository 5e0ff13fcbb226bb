"""
What follows from a pipeline's job: people are told, pipelines that it triggers are started, deleted jobs go.

Each duty is done before it is struck off, under ids that are the same the second time: a crash in between repeats it without effect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

from headrace.core.errors import ActiveJobError, CallerError, ConflictError
from headrace.core.job import Job
from headrace.core.pipelines import Pipeline
from headrace.core.state import JobState
from headrace.dialects.matatika.doors import Doors
from headrace.dialects.matatika.project import status
from headrace.dialects.matatika.run import RunPipelines
from headrace.services.components import Components
from headrace.services.notices import Notices
from headrace.services.pipeline_checks import DEPLOY
from headrace.services.pipeline_jobs import PipelineJobs
from headrace.services.pipelines import Pipelines

log = structlog.get_logger(__name__)


class FollowUps:
    """
    A duty: `tick` does what follows from every job that has begun or ended.

    Args:
        arrived: applies what the job of a workspace has brought.
    """

    def __init__(
        self,
        doors: Doors,
        pipelines: Pipelines,
        components: Components,
        jobs: PipelineJobs,
        runs: RunPipelines,
        notices: Notices,
        *,
        arrived: Callable[[Job], Awaitable[None]],
    ) -> None:
        self._doors = doors
        self._pipelines = pipelines
        self._components = components
        self._jobs = jobs
        self._runs = runs
        self._notices = notices
        self._arrived = arrived

    async def tick(self) -> int:
        """
        Do what is owed now; gives the number of jobs that it was owed for.
        """
        owing = await self._jobs.owing()
        for job in owing:
            await self._follow(job)
        await self._jobs.remove_deleted()
        return len(owing)

    async def _follow(self, job: Job) -> None:
        kind = str(job.details.get("type", ""))
        if job.started_at is not None and await self._jobs.started_told(job):
            await self._tell(job, "JOB_STARTED", f"{kind} of {job.name} started.", alert=False)
        if not job.final:
            return
        word = status(job)
        said = f" {job.cause.sentence}" if job.cause else ""
        await self._tell(job, "JOB_ENDED", f"{kind} of {job.name} ended: {word}.{said}", alert=word == "ERROR")
        if job.state is JobState.COMPLETED and kind in ("WORKSPACE_INIT", "WORKSPACE_DEPLOY"):
            await self._apply(job)
        if job.state is JobState.COMPLETED and kind == "PIPELINE_VERIFY":
            await self._verified(job)
        if job.state is JobState.COMPLETED and kind in ("PIPELINE_RUN", "WORKSPACE_DEPLOY"):
            await self._trigger(job, DEPLOY if kind == "WORKSPACE_DEPLOY" else job.name)
        await self._jobs.followed(job)

    async def _apply(self, job: Job) -> None:
        try:
            await self._arrived(job)
        except CallerError as error:
            log.error("deployment refused", workspace=job.workspace, reason=error.reason)

    async def _verified(self, job: Job) -> None:
        found = next((step.output for step in job.steps if "selection" in step.output), None)
        if found is not None:
            await self._components.found_streams(job.workspace_id, str(found["extractor"]), found["selection"])

    async def _trigger(self, job: Job, name: str) -> None:
        for pipeline in await self._pipelines.all(job.workspace_id):
            names = [DEPLOY if each.lower() == DEPLOY else each for each in pipeline.triggered_by]
            if name in names and not pipeline.draft:
                await self._start(pipeline, job, name)

    async def _start(self, pipeline: Pipeline, cause: Job, name: str) -> None:
        around = await self._pipelines.around(await self._doors.open(pipeline.workspace_id))
        try:
            await self._runs.run(
                around,
                pipeline,
                trigger="pipeline",
                triggered_by=name,
                idempotency_key=f"trigger:{cause.id}:{pipeline.id}",
            )
        except ActiveJobError as busy:
            await skipped(self._notices, pipeline, busy, about=cause.id)
        except ConflictError as error:  # the key was used, and the pipeline has changed since: it was started
            log.info("trigger met before", pipeline=pipeline.name, reason=error.reason)
        except CallerError as error:
            log.warning("trigger made no job", pipeline=pipeline.name, reason=error.reason)

    async def _tell(self, job: Job, kind: str, message: str, *, alert: bool) -> None:
        pipeline_id = UUID(job.definition) if "pipeline" in job.details else None
        body = {
            "jobId": str(job.id),
            "pipelineId": str(pipeline_id) if pipeline_id else None,
            "actor": job.details.get("profile"),
        }
        await self._notices.tell(job.workspace_id, pipeline_id, kind, message, about=job.id, alert=alert, body=body)


async def skipped(notices: Notices, pipeline: Pipeline, busy: ActiveJobError, *, about: UUID) -> None:
    """
    Tell that a start was skipped because a job of the pipeline has not ended.
    """
    log.warning("pipeline skipped", pipeline=pipeline.name, reason=busy.reason)
    await notices.tell(
        pipeline.workspace_id,
        pipeline.id,
        "PIPELINE_ACTIVITY",
        f"A start of {pipeline.name} was skipped: {busy.reason}",
        about=about,
        alert=True,
        body={"pipelineId": str(pipeline.id), "jobId": busy.facts.get("job")},
    )
