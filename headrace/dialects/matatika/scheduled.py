"""
Turning an instant of a pipeline's schedule into its job.
"""

from __future__ import annotations

from uuid import UUID, uuid5

from headrace.core.errors import ActiveJobError
from headrace.dialects.matatika.doors import Doors
from headrace.dialects.matatika.follow import skipped
from headrace.dialects.matatika.run import RunPipelines
from headrace.services.notices import Notices
from headrace.services.pipelines import Pipelines
from headrace.services.schedules import Call


class SubmitScheduledRun:
    """
    Submits the run of the pipeline that a schedule belongs to, and tells of one that had to be skipped.
    """

    def __init__(self, doors: Doors, pipelines: Pipelines, runs: RunPipelines, notices: Notices) -> None:
        self._doors = doors
        self._pipelines = pipelines
        self._runs = runs
        self._notices = notices

    async def __call__(self, call: Call) -> UUID:
        """
        Raises what `RunPipelines.run` raises.
        """
        pipeline = await self._pipelines.get(UUID(call.schedule.place.definition))
        around = await self._pipelines.around(await self._doors.open(pipeline.workspace_id))
        try:
            job = await self._runs.run(
                around, pipeline, trigger="schedule", triggered_by="schedule", idempotency_key=call.idempotency_key
            )
        except ActiveJobError as busy:
            await skipped(self._notices, pipeline, busy, about=uuid5(call.schedule.id, call.instant.isoformat()))
            raise
        return job.id
