"""
What Matatika's paths ask, in one value, and the questions that many of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from starlette.requests import Request

from headrace.core.actor import Actor, Scope
from headrace.core.errors import NotFoundError
from headrace.core.pipelines import OFF, Pipeline
from headrace.core.repository import SCHEMES
from headrace.dialects.matatika.compile import DIALECT, TENANT
from headrace.dialects.matatika.doors import Doors, id_of
from headrace.dialects.matatika.run import RunPipelines
from headrace.services.access import Access
from headrace.services.components import Components
from headrace.services.notices import Notices
from headrace.services.pipeline_jobs import PipelineJobs
from headrace.services.pipelines import Pipelines
from headrace.services.plugins import Plugins
from headrace.services.schedules import SchedulePlace, Schedules
from headrace.services.shelf import Shelf
from headrace.services.surroundings import Surroundings, Workspace
from headrace.services.workspaces import Workspaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """
    Attributes:
        v1_statuses: whether jobs show the statuses of 2021.
        git_schemes: schemes of the repositories that may be cloned.
    """

    doors: Doors
    pipelines: Pipelines
    components: Components
    plugins: Plugins
    jobs: PipelineJobs
    runs: RunPipelines
    schedules: Schedules
    notices: Notices
    shelf: Shelf
    keys: Access
    workspaces: Workspaces
    now: Callable[[], datetime]
    v1_statuses: bool = False
    git_schemes: Collection[str] = SCHEMES

    async def pipeline(self, request: Request, scope: Scope) -> Pipeline:
        """
        Give the pipeline that a path names, to somebody who may do *scope* in its workspace.
        """
        actor = await self.doors.actor(request)
        pipeline = await self.pipelines.get(id_of(request, "pipeline_id"))
        await self.doors.workspace(actor, pipeline.workspace_id, scope)
        return pipeline

    async def pipeline_around(self, request: Request, scope: Scope) -> tuple[Actor, Pipeline, Surroundings]:
        """
        As `pipeline`, with who asks and what the pipeline may refer to.
        """
        actor = await self.doors.actor(request)
        pipeline = await self.pipelines.get(id_of(request, "pipeline_id"))
        workspace = await self.doors.workspace(actor, pipeline.workspace_id, scope)
        return actor, pipeline, await self.pipelines.around(workspace)

    async def entered(self, request: Request, scope: Scope) -> tuple[Actor, Workspace]:
        """
        Let somebody into the workspace that a path names.
        """
        actor = await self.doors.actor(request)
        return actor, await self.doors.workspace(actor, request.path_params["workspace_id"], scope)

    async def deployment_secret(self, workspace_id: str | UUID) -> tuple[Workspace, str]:
        """
        Give a workspace and the key of its webhook; empty for none.
        """
        workspace = await self.doors.open(workspace_id)
        kept = await self.shelf.find("workspace", workspace.id)
        declared = workspace.definition.get("settings", {}).get("deployment_secret", "")
        return workspace, str((kept.secret.get("deploymentSecret") if kept else None) or declared)

    async def schedule(self, pipeline: Pipeline) -> None:
        """
        Let a pipeline's schedule be what the pipeline says now.
        """
        if pipeline.draft or pipeline.schedule in ("", OFF):
            await self.unschedule(pipeline)
            return
        await self.schedules.put(place_of(pipeline), now=self.now(), expression=f"spring({pipeline.schedule})")

    async def unschedule(self, pipeline: Pipeline) -> None:
        """
        Forget a pipeline's schedule, if it has one.
        """
        try:
            await self.schedules.delete(place_of(pipeline))
        except NotFoundError:
            return


def place_of(pipeline: Pipeline) -> SchedulePlace:
    """
    Say where a pipeline's schedule stands.
    """
    return SchedulePlace(
        workspace_id=pipeline.workspace_id, tenant=TENANT, dialect=DIALECT, definition=str(pipeline.id)
    )
