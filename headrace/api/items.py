"""
The items of a job that calls functions: how each went, and what it wrote.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from headrace.api.asking import Asked, Asking
from headrace.api.jobs import Last, Number, show_job
from headrace.api.views import CauseView, LinesView, LineView, View
from headrace.core.fan_out import Item
from headrace.core.state import StepState

router = APIRouter(tags=["jobs"])

_MOST = 2**31 - 1
Ordinal = Annotated[int, Path(ge=0, le=_MOST, description="The item's place in its job, from 0.")]


class ItemView(View):
    ordinal: int
    id: str = Field(description="Intuned's runId.")
    name: str = Field(description="The function.")
    state: StepState
    parent: int | None = Field(description="The item that asked for this one; null for those the job began with.")
    attempt: int
    failures: int = Field(description="Tries that failed.")
    due_at: datetime | None = Field(description="Until then the next try waits.")
    started_at: datetime | None
    finished_at: datetime | None
    cause: CauseView | None
    output: dict[str, Any]


class ItemsView(View):
    items: list[ItemView]
    next: int | None = Field(description="`after` of the next page; null on the last.")


@router.get("/jobs/{job_id}/items")
async def list_items(
    services: Asked,
    actor: Asking,
    job_id: UUID,
    after: Annotated[int, Query(ge=-1, le=_MOST, description="Only items behind this ordinal.")] = -1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    state: Annotated[list[StepState] | None, Query()] = None,
) -> ItemsView:
    """
    List the items of a job in their order; none for a job that has none.
    """
    job = await show_job(services, actor, job_id)
    found = await services.jobs.items(job.id, after=after, limit=limit, states=state or ())
    return ItemsView(items=[_view(item) for item in found], next=found[-1].ordinal if len(found) == limit else None)


@router.get(
    "/jobs/{job_id}/items/{ordinal}/logs",
    response_model=LinesView,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def read_item_logs(
    services: Asked,
    actor: Asking,
    job_id: UUID,
    ordinal: Ordinal,
    after: Number = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    last: Last = None,
    format: Annotated[str, Query(pattern="^(json|ndjson)$", description="`ndjson`: one object a line.")] = "json",  # noqa: A002 - the parameter's public name
) -> LinesView | Response:
    """
    Read the lines of an item's log above number `after`, over all of its tries, live while it runs.
    """
    job = await show_job(services, actor, job_id)
    found = await services.jobs.logs(job.id, after=after, limit=limit, item=ordinal, last=last)
    if format == "ndjson":
        return Response(msgspec.json.Encoder().encode_lines(found), media_type="application/x-ndjson")
    return LinesView(lines=[LineView.model_validate(line) for line in found], next=found[-1].number if found else after)


def _view(item: Item) -> ItemView:
    return ItemView.model_validate({name: getattr(item, name) for name in ItemView.model_fields})
