"""
Turning an instant of a pipeline's schedule into its job.
"""

from __future__ import annotations

from uuid import UUID

from headrace.dialects.matatika.doors import Doors
from headrace.dialects.matatika.run import RunPipelines
from headrace.services.pipelines import Pipelines
from headrace.services.schedules import Call


class SubmitScheduledRun:
    """
    Submits the run of the pipeline that a schedule belongs to.
    """

    def __init__(self, doors: Doors, pipelines: Pipelines, runs: RunPipelines) -> None:
        self._doors = doors
        self._pipelines = pipelines
        self._runs = runs

    async def __call__(self, call: Call) -> UUID:
        """
        Raises what `RunPipelines.run` raises.
        """
        pipeline = await self._pipelines.get(UUID(call.schedule.place.definition))
        around = await self._pipelines.around(await self._doors.open(pipeline.workspace_id))
        job = await self._runs.run(
            around, pipeline, trigger="schedule", triggered_by="schedule", idempotency_key=call.idempotency_key
        )
        return job.id
