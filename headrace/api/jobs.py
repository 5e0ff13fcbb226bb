"""
Jobs: list, show, follow, pause, cancel, run.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from headrace.api.asking import Asked, Asking, workspace_of
from headrace.api.views import (
    CountsView,
    EventsView,
    EventView,
    JobsView,
    JobView,
    LinesView,
    LineView,
    NewRerun,
    SubmittedView,
    WaitingView,
    job_fields,
    job_view,
)
from headrace.core.actor import Scope
from headrace.core.errors import InvalidError
from headrace.core.rerun import Rerun
from headrace.core.state import JobState
from headrace.http.params import idempotency_key
from headrace.http.services_bundle import FlowRun

router = APIRouter(tags=["jobs"])

_BIGINT = 2**63 - 1
Number = Annotated[int, Query(ge=0, le=_BIGINT)]
Text = Annotated[str | None, Query(max_length=255)]
Last = Annotated[int | None, Query(ge=1, le=10_000, description="Only the so many newest lines.")]

REPEATABLE: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Repeats under one key give the job that the first of them made.",
            "schema": {"type": "string", "maxLength": 255},
        }
    ]
}
_RUN_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["tenant"],
                    "properties": {"tenant": {"type": "string", "minLength": 1, "maxLength": 255}},
                    "additionalProperties": True,
                    "description": "The tenant, and any option of the run call of the flow's dialect.",
                }
            }
        },
    },
    **REPEATABLE,
}


@router.get("/jobs")
async def list_jobs(
    services: Asked,
    actor: Asking,
    workspace: Text = None,
    flow: Text = None,
    tenant: Text = None,
    dialect: Text = None,
    state: Annotated[list[JobState] | None, Query()] = None,
    text: Annotated[str | None, Query(max_length=255, description="In a name or an id, in whatever case.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Annotated[int | None, Query(ge=0, le=_BIGINT, description="Only jobs with a lower `seq`.")] = None,
) -> JobsView:
    """
    List jobs, newest first.
    """
    found = await services.jobs.history(
        await workspace_of(services, actor, workspace, Scope.READ),
        definition=flow,
        tenant=tenant,
        dialect=dialect,
        states=state or (),
        text=text,
        before_seq=before,
        limit=limit,
    )
    return JobsView(jobs=[job_view(job) for job in found], next=found[-1].seq if len(found) == limit else None)


@router.get("/jobs/{job_id}")
async def show_job(services: Asked, actor: Asking, job_id: UUID) -> JobView:
    """
    Show a job with its steps, and why it ended as it did.
    """
    actor.require(Scope.READ)
    return job_view(await services.jobs.get(job_id, workspace_id=actor.workspace_id))


@router.get("/counts")
async def count_jobs(services: Asked, actor: Asking, workspace: Text = None) -> CountsView:
    """
    Count jobs by state: all that have not ended, and those that ended within a day.
    """
    place = await workspace_of(services, actor, workspace, Scope.READ)
    found = await services.jobs.standing(place)
    return CountsView(
        unfinished={state: found.get(state, 0) for state in JobState if not state.final},
        ended={state: found.get(state, 0) for state in JobState if state.final},
    )


@router.get("/jobs/{job_id}/waiting")
async def why_waiting(services: Asked, actor: Asking, job_id: UUID) -> WaitingView:
    """
    Say why a job does not run yet.
    """
    actor.require(Scope.READ)
    job = await services.jobs.get(job_id, workspace_id=actor.workspace_id)
    slots = sum(node.slots for node in await services.nodes.all() if node.alive and not node.draining)
    return WaitingView.model_validate(await services.jobs.why_it_waits(job, slots=slots))


@router.get("/jobs/{job_id}/events")
async def list_events(services: Asked, actor: Asking, job_id: UUID, after: Number = 0) -> EventsView:
    """
    List what happened to a job, in order.
    """
    job = await show_job(services, actor, job_id)
    found = await services.jobs.events(job.id, after=after)
    return EventsView(
        events=[EventView.model_validate(event) for event in found], next=found[-1].id if found else after
    )


@router.get(
    "/jobs/{job_id}/logs",
    response_model=LinesView,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def read_logs(
    services: Asked,
    actor: Asking,
    job_id: UUID,
    after: Number = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    last: Last = None,
    format: Annotated[str, Query(pattern="^(json|ndjson)$", description="`ndjson`: one object a line.")] = "json",  # noqa: A002 - the parameter's public name
) -> LinesView | Response:
    """
    Read the lines of a job's log above number `after`, live while it runs.
    """
    job = await show_job(services, actor, job_id)
    found = await services.jobs.logs(job.id, after=after, limit=limit, last=last)
    if format == "ndjson":
        return Response(msgspec.json.Encoder().encode_lines(found), media_type="application/x-ndjson")
    return LinesView(lines=[LineView.model_validate(line) for line in found], next=found[-1].number if found else after)


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(services: Asked, actor: Asking, job_id: UUID) -> JobView:
    """
    End a job: at once when no worker has begun it, else within its grace time.
    """
    actor.require(Scope.RUN)
    return job_view(await services.jobs.cancel(job_id, by=actor.name, workspace_id=actor.workspace_id))


@router.post("/jobs/{job_id}/pause")
async def pause_job(services: Asked, actor: Asking, job_id: UUID) -> JobView:
    """
    Start no more items of a job that calls functions; those that run go on to their end.
    """
    actor.require(Scope.RUN)
    return job_view(await services.pausing.pause(job_id, by=actor.name, workspace_id=actor.workspace_id))


@router.post("/jobs/{job_id}/resume")
async def resume_job(services: Asked, actor: Asking, job_id: UUID) -> JobView:
    """
    Let a paused job go on where it was.
    """
    actor.require(Scope.RUN)
    return job_view(await services.pausing.resume(job_id, by=actor.name, workspace_id=actor.workspace_id))


@router.post("/jobs/{job_id}/rerun", status_code=201, openapi_extra=REPEATABLE)
async def rerun_job(services: Asked, actor: Asking, request: Request, job_id: UUID, wanted: NewRerun) -> SubmittedView:
    """
    Run an ended job again: the same plan, or that plan with named overrides, whole or from one of its steps on.
    """
    rerun = Rerun(
        job_id=job_id,
        from_step=wanted.from_step,
        options=wanted.options,
        queue=wanted.queue,
        idempotency_key=idempotency_key(request),
    )
    submission = await services.rerun(actor, rerun)
    return SubmittedView.model_validate(
        job_fields(submission.job) | {"queued": submission.queued, "repeated": submission.repeated}
    )


@router.post("/flows/{workspace}/{flow}/runs", status_code=201, openapi_extra=_RUN_BODY)
async def run_flow(services: Asked, actor: Asking, request: Request, workspace: str, flow: str) -> SubmittedView:
    """
    Run a flow for a tenant.
    """
    tenant, options = _split(await request.body())
    key = idempotency_key(request)
    run = FlowRun(workspace=workspace, flow=flow, tenant=tenant, options=options, idempotency_key=key)
    submission = await services.run_flow(actor, run)
    return SubmittedView.model_validate(
        job_fields(submission.job) | {"queued": submission.queued, "repeated": submission.repeated}
    )


def _split(body: bytes) -> tuple[str, bytes]:
    """
    Take the tenant out of a body; the options stay as the very bytes that were sent.
    """
    try:
        fields = msgspec.json.decode(body or b"{}", type=dict[str, msgspec.Raw])
        tenant = msgspec.json.decode(fields.pop("tenant", msgspec.Raw(b'""')), type=str)
    except (ValueError, RecursionError):
        raise InvalidError("The body is not a JSON object with a text `tenant`.", "Correct it.") from None
    if not tenant:
        raise InvalidError("The field `tenant` is missing.", "Name the tenant to run the flow for.", field="tenant")
    return tenant, msgspec.json.encode(fields)
