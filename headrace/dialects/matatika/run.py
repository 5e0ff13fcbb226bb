"""
Making jobs of pipelines and workspaces, for the wire and for whatever else starts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from headrace.core.actor import Actor
from headrace.core.errors import ActiveJobError, ConflictError
from headrace.core.job import Job, NewJob
from headrace.core.pipelines import Pipeline
from headrace.core.plan import Limits, Plan
from headrace.core.state import JobState
from headrace.dialects.matatika.compile import Asked, JobType, compile_pipeline, compile_workspace
from headrace.dialects.matatika.workspace_wire import Source
from headrace.services.pipeline_jobs import PipelineJobs
from headrace.services.pipelines import Pipelines
from headrace.services.surroundings import Surroundings

# States of the job that configures a pipeline, and what they make of it.
_STATUS_OF = {JobState.COMPLETED: "READY", JobState.FAILED: "FAILED", JobState.CANCELLED: "FAILED"}


def profile_of(actor: Actor) -> dict[str, Any]:
    """
    Show who asks as Matatika shows a profile; the id is opaque, as its own are.
    """
    return {"id": f"key|{actor.key_id.hex}", "name": actor.name, "handle": f"@{actor.name.replace(' ', '-')}"}


def pipeline_status(pipeline: Pipeline, config: JobState | None) -> str:
    """
    Say how far a pipeline is, by the state of the job that configures it; None when that job is gone.
    """
    if pipeline.draft:
        return "DRAFT"
    if config is None:
        return "READY"
    return _STATUS_OF.get(config, "PROVISIONING")


class RunPipelines:
    """
    Args:
        limits: of steps, for what a pipeline does not say.
        api_url: where child processes reach this API.
        new_id: makes a version 4 UUID, as the Jobs page promises.
    """

    def __init__(
        self,
        pipelines: Pipelines,
        jobs: PipelineJobs,
        *,
        limits: Limits,
        api_url: str,
        new_id: Callable[[], UUID],
    ) -> None:
        self._pipelines = pipelines
        self._jobs = jobs
        self._limits = limits
        self._api_url = api_url
        self._new_id = new_id

    async def run(
        self,
        around: Surroundings,
        pipeline: Pipeline,
        kind: JobType = "PIPELINE_RUN",
        *,
        by: Actor | None = None,
        trigger: str = "api",
        triggered_by: str = "",
        idempotency_key: str | None = None,
    ) -> Job:
        """
        Submit a job of a pipeline.

        Raises:
            ConflictError: the pipeline is a draft.
            ActiveJobError: a job of it has not ended, the one that configures it included.
        """
        if pipeline.draft:
            raise ConflictError(f"Pipeline {pipeline.name} is a draft.", "Create it first.")
        asked = self._asked(kind, by, trigger, triggered_by, idempotency_key)
        return await self._submit(*compile_pipeline(around, pipeline, asked))

    async def configure(self, around: Surroundings, pipeline: Pipeline, *, by: Actor | None = None) -> Pipeline:
        """
        Start the job that configures a pipeline, unless a job of it is at work already.
        """
        try:
            job = await self.run(around, pipeline, "PIPELINE_CONFIG", by=by)
        except ActiveJobError:
            return pipeline
        return await self._pipelines.configured_by(pipeline, job.id)

    async def deploy(
        self,
        around: Surroundings,
        kind: JobType = "WORKSPACE_DEPLOY",
        *,
        source: Source | None = None,
        by: Actor | None = None,
        trigger: str = "api",
    ) -> Job:
        """
        Submit a job of a workspace, whose project comes from its *source* if there is one; raises what `run` raises.
        """
        return await self._submit(*compile_workspace(around, self._asked(kind, by, trigger, "", None), source))

    async def states(self, job_ids: Sequence[UUID]) -> dict[UUID, JobState]:
        """
        Tell how jobs stand; one that is gone is missing.
        """
        return await self._jobs.states_of(job_ids)

    async def statuses(self, pipelines: list[Pipeline]) -> dict[UUID, str]:
        """
        Say how far pipelines are, by id.
        """
        states = await self._jobs.states_of([each.config_job for each in pipelines if each.config_job])
        return {
            each.id: pipeline_status(each, states.get(each.config_job) if each.config_job else None)
            for each in pipelines
        }

    def _asked(
        self, kind: JobType, by: Actor | None, trigger: str, triggered_by: str, idempotency_key: str | None
    ) -> Asked:
        return Asked(
            id=self._new_id(),
            type=kind,
            limits=self._limits,
            api_url=self._api_url,
            triggered_by=triggered_by,
            trigger=trigger,
            started_by=by.name if by else "",
            profile=profile_of(by) if by else None,
            idempotency_key=idempotency_key,
        )

    async def _submit(self, new: NewJob, plan: Plan) -> Job:
        try:
            return await self._jobs.submit(new, plan)
        except ActiveJobError as error:
            active = await self._jobs.active(new.workspace_id, new.definition)
            which = f" {active.id}" if active else ""
            raise ActiveJobError(
                f"Job{which} of {new.name} has not ended; only one may run at a time.",
                "Wait for it, or stop it first.",
                job=str(active.id) if active else None,
            ) from error
