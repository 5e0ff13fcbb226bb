"""
Schedules of jobs: what a job's definition says of them, and turning their instants into job runs.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from headrace.core.actor import Actor, Scope
from headrace.core.batch import Batch
from headrace.core.calendar_words import expression_of
from headrace.core.errors import ActiveJobError
from headrace.dialects.intuned.run import Place, StartAutomations, shown_of
from headrace.services.access import Access
from headrace.services.automations import Automations
from headrace.services.batches import Batches
from headrace.services.schedules import Call

SCHEDULER: Final = "scheduler"


def expression(batch: Batch) -> str | None:
    """
    Write a job's schedule as the core has it; None when it has none. Each job is put off by another share of the jitter.
    """
    schedule = shown_of(batch).schedule
    if schedule is None or not (schedule.intervals or schedule.calendars):
        return None
    return expression_of(msgspec.to_builtins(schedule), seed=str(batch.id))


class SubmitScheduledJob:
    """
    Makes the job run that an instant of a job's schedule calls for.
    """

    def __init__(self, access: Access, automations: Automations, batches: Batches, start: StartAutomations) -> None:
        self._access = access
        self._automations = automations
        self._batches = batches
        self._start = start

    async def __call__(self, call: Call) -> UUID:
        """
        Submit the run of one instant; gives its id. While another one is active it is recorded as canceled.

        Raises:
            ActiveJobError: the job has been paused meanwhile.
            HeadraceError: whatever `StartAutomations.batch` raises; `NotFoundError` when job or project is gone.
        """
        at = call.schedule.place
        actor = Actor(UUID(int=0), SCHEDULER, "environment", at.workspace_id)
        workspace = await self._access.workspace(actor, str(at.workspace_id), Scope.RUN)
        batch = await self._batches.get(at.workspace_id, at.tenant, at.definition)
        if batch.paused:
            raise ActiveJobError("The job is paused.", "Resume it first.")
        place = Place(actor=actor, workspace=workspace, project=self._automations.get(workspace, at.tenant))
        job = await self._start.batch(place, batch, trigger="schedule", idempotency_key=call.idempotency_key)
        return job.id
