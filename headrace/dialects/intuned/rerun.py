"""
An Intuned job run again from elsewhere than its own wire: what failed of it or was canceled.
"""

from __future__ import annotations

from headrace.core.actor import Actor, Scope
from headrace.core.errors import ConflictError
from headrace.core.job import Job
from headrace.dialects.intuned.places import IntunedServices
from headrace.dialects.intuned.run import Place
from headrace.services.reruns import Repeat


class RerunBatch:
    """
    Args:
        services: what the wire asks.
    """

    def __init__(self, services: IntunedServices) -> None:
        self._services = services

    async def __call__(self, actor: Actor, job: Job, repeat: Repeat) -> Job:
        """
        Start a job of those items that did not complete.

        Raises:
            NotFoundError: the project or the job's definition is gone.
            ConflictError: it was a single run, or as `StartAutomations.rerun`.
        """
        project_name, _, name = job.definition.partition("/")
        if not name:
            raise ConflictError("A single run is not run again.", "Start a new one with its parameters.")
        services = self._services
        workspace = await services.access.workspace(actor, str(job.workspace_id), Scope.RUN)
        project = services.automations.get(workspace, project_name)
        batch = await services.batches.get(workspace.id, project_name, name)
        place = Place(actor=actor, workspace=workspace, project=project)
        return await services.start.rerun(place, batch, job.id, repeat)
