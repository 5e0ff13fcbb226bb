"""
Batches as the core API lists, runs and pauses them.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.actor import Actor
from headrace.core.batch import Batch
from headrace.core.job import Job
from headrace.dialects.intuned.places import IntunedServices
from headrace.dialects.intuned.run import Place, shown_of
from headrace.http.runnables import Runnable
from headrace.services.automations import Workspace


class RunnableBatches:
    """
    See `headrace.http.runnables.Pausables`; a batch stands in a project, and its name is its id.
    """

    def __init__(self, services: IntunedServices) -> None:
        self._services = services

    async def of_workspace(self, workspace: Workspace) -> Sequence[Runnable]:
        projects = sorted(project.name for project in self._services.automations.of_workspace(workspace))
        return [
            _shown(batch)
            for project in projects
            for batch in await self._services.batches.of_project(workspace.id, project)
        ]

    async def run(
        self, actor: Actor, workspace: Workspace, project: str, name: str, *, idempotency_key: str | None
    ) -> Job:
        place = Place(actor=actor, workspace=workspace, project=self._services.automations.get(workspace, project))
        batch = await self._services.batches.get(workspace.id, project, name)
        return await self._services.start.batch(place, batch, idempotency_key=idempotency_key)

    async def pause(self, actor: Actor, workspace: Workspace, project: str, name: str) -> Runnable:
        batch = await self._services.batches.get(workspace.id, project, name)
        await self._services.batches.pause(batch, by=actor.name)
        return await self._kept(workspace, project, name)

    async def resume(self, actor: Actor, workspace: Workspace, project: str, name: str) -> Runnable:
        batch = await self._services.batches.get(workspace.id, project, name)
        await self._services.batches.resume(batch, by=actor.name)
        return await self._kept(workspace, project, name)

    async def _kept(self, workspace: Workspace, project: str, name: str) -> Runnable:
        await self._services.schedules.keep(workspace.id, project, name)
        return _shown(await self._services.batches.get(workspace.id, project, name))


def _shown(batch: Batch) -> Runnable:
    many = len(shown_of(batch).payload)
    return Runnable(
        project=batch.project,
        id=batch.name,
        name=batch.name,
        description="1 item" if many == 1 else f"{many:,} items",
        held="It is paused; resume it first." if batch.paused else "",
        paused=batch.paused,
    )
