"""
Pipelines as the core API lists and runs them.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.actor import Actor
from headrace.core.errors import NotFoundError
from headrace.core.job import Job
from headrace.core.pipelines import Pipeline
from headrace.dialects.matatika.desk import Desk
from headrace.http.runnables import Runnable
from headrace.services.surroundings import Workspace


class RunnablePipelines:
    """
    See `headrace.http.runnables.Runnables`; pipelines stand in no project.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def of_workspace(self, workspace: Workspace) -> Sequence[Runnable]:
        found = await self._desk.pipelines.all(workspace.id)
        return [_shown(each) for each in sorted(found, key=lambda each: each.name)]

    async def run(
        self, actor: Actor, workspace: Workspace, project: str, name: str, *, idempotency_key: str | None
    ) -> Job:
        found = await self._desk.pipelines.all(workspace.id)
        pipeline = next((each for each in found if not project and name in (each.name, str(each.id))), None)
        if pipeline is None:
            raise NotFoundError(f"There is no pipeline {name!r}.", "List them at /api/v1/pipelines.")
        around = await self._desk.pipelines.around(workspace)
        return await self._desk.runs.run(around, pipeline, by=actor, idempotency_key=idempotency_key)


def _shown(pipeline: Pipeline) -> Runnable:
    parts = [*pipeline.data_components, *pipeline.actions]
    return Runnable(
        id=str(pipeline.id),
        name=pipeline.name,
        description=pipeline.label or ", ".join(parts),
        held="It is a draft; create it first." if pipeline.draft else "",
    )
