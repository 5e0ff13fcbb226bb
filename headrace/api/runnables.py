"""
Pipelines and batches, which are run by their names, and the schedules of all that can be run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import Field

from headrace.api.asking import Asked, Asking, Named, workspace_of
from headrace.api.jobs import REPEATABLE
from headrace.api.views import JobView, View, job_view
from headrace.core.actor import Actor, Scope
from headrace.http.params import idempotency_key
from headrace.http.runnables import Runnable, Runnables
from headrace.http.services_bundle import Services

router = APIRouter(tags=["definitions"])

Where = Annotated[str | None, Query(max_length=255, description="Only of this workspace: its name or id.")]


class RunnableView(View):
    workspace: str
    project: str = Field(description="Empty for pipelines.")
    id: str = Field(description="What its schedules name as their definition.")
    name: str
    description: str
    held: str = Field(description="Why it cannot be run now; empty when it can.")
    paused: bool | None = Field(description="Null where the kind cannot be paused.")


class PipelinesView(View):
    pipelines: list[RunnableView]


class BatchesView(View):
    batches: list[RunnableView]


class ScheduleView(View):
    id: UUID
    workspace: str
    dialect: str
    definition: str
    tenant: str
    connector: str = Field(description="Empty for the definition as a whole.")
    expression: str
    enabled: bool
    next_at: datetime | None


class SchedulesView(View):
    schedules: list[ScheduleView]


@router.get("/pipelines")
async def list_pipelines(services: Asked, actor: Asking, workspace: Where = None) -> PipelinesView:
    """
    List the Meltano pipelines that can be run.
    """
    return PipelinesView(pipelines=await _listed(services, actor, services.pipelines, workspace))


@router.post("/pipelines/{workspace}/{pipeline}/runs", status_code=201, openapi_extra=REPEATABLE)
async def run_pipeline(services: Asked, actor: Asking, request: Request, workspace: Named, pipeline: Named) -> JobView:
    """
    Run a pipeline, by its name or id.
    """
    place = await services.access.workspace(actor, workspace, Scope.RUN)
    key = idempotency_key(request)
    return job_view(await services.pipelines.run(actor, place, "", pipeline, idempotency_key=key))


@router.get("/batches")
async def list_batches(services: Asked, actor: Asking, workspace: Where = None) -> BatchesView:
    """
    List the batches of automation projects that can be run.
    """
    return BatchesView(batches=await _listed(services, actor, services.batches, workspace))


@router.post("/batches/{workspace}/{project}/{batch}/runs", status_code=201, openapi_extra=REPEATABLE)
async def run_batch(
    services: Asked, actor: Asking, request: Request, workspace: Named, project: Named, batch: Named
) -> JobView:
    """
    Run a batch; while another job of it has not ended, the new one is recorded as cancelled.
    """
    place = await services.access.workspace(actor, workspace, Scope.RUN)
    key = idempotency_key(request)
    return job_view(await services.batches.run(actor, place, project, batch, idempotency_key=key))


@router.post("/batches/{workspace}/{project}/{batch}/pause")
async def pause_batch(services: Asked, actor: Asking, workspace: Named, project: Named, batch: Named) -> RunnableView:
    """
    Start no more jobs of a batch, by its schedule neither, and no more items of the one that runs.
    """
    place = await services.access.workspace(actor, workspace, Scope.RUN)
    return _view(await services.batches.pause(actor, place, project, batch), place.name)


@router.post("/batches/{workspace}/{project}/{batch}/resume")
async def resume_batch(services: Asked, actor: Asking, workspace: Named, project: Named, batch: Named) -> RunnableView:
    """
    Let a paused batch be run again, and its paused job go on.
    """
    place = await services.access.workspace(actor, workspace, Scope.RUN)
    return _view(await services.batches.resume(actor, place, project, batch), place.name)


@router.get("/schedules")
async def list_schedules(services: Asked, actor: Asking, workspace: Where = None) -> SchedulesView:
    """
    List schedules, the next to come first; what they run their jobs with is not shown.
    """
    one = await workspace_of(services, actor, workspace, Scope.READ)
    names = {found.id: found.name for found in await services.access.workspaces(actor) if one in (None, found.id)}
    found = [_schedule_view(each, name) for place, name in names.items() for each in await services.schedules(place)]
    # Those that never come stand last.
    found.sort(key=lambda each: (each.next_at is None, each.next_at or 0, each.workspace, each.definition))
    return SchedulesView(schedules=found)


async def _listed(services: Services, actor: Actor, kind: Runnables, workspace: str | None) -> list[RunnableView]:
    one = await workspace_of(services, actor, workspace, Scope.READ)
    return [
        _view(each, place.name)
        for place in await services.access.workspaces(actor)
        if one in (None, place.id)
        for each in await kind.of_workspace(place)
    ]


def _view(one: Runnable, workspace: str) -> RunnableView:
    fields = {name: getattr(one, name) for name in RunnableView.model_fields if name != "workspace"}
    return RunnableView(workspace=workspace, **fields)


def _schedule_view(schedule: Any, workspace: str) -> ScheduleView:
    at = schedule.place
    return ScheduleView(
        id=schedule.id,
        workspace=workspace,
        dialect=at.dialect,
        definition=at.definition,
        tenant=at.tenant,
        connector=at.connector,
        expression=schedule.expression,
        enabled=schedule.enabled,
        next_at=schedule.next_at if schedule.enabled else None,
    )
