"""
hotglue's paths.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import quote
from uuid import UUID

import msgspec
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from headrace.core.actor import Scope
from headrace.core.errors import InvalidError
from headrace.core.job import Job
from headrace.dialects.hotglue.compile import DIALECT
from headrace.dialects.hotglue.errors import UnknownRootError, hotglue_reply
from headrace.dialects.hotglue.openapi import document
from headrace.dialects.hotglue.project import record
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.dialects.hotglue.tenancy_routes import tenancy_routes
from headrace.dialects.hotglue.wire import check_id
from headrace.http.auth import actor_of
from headrace.http.params import idempotency_key, whole_number
from headrace.http.reply import json_reply
from headrace.http.server import Wire
from headrace.http.services_bundle import FlowRun, RunFlow, Services
from headrace.services.jobs import Submission

QUEUED: Final = {
    "message": "Job has been queued. It will run when available",
    "reason": "There is a job currently running",
}
_HISTORY_DEFAULT = 50
_HISTORY_MOST = 1000
_LOG_PAGE = 1000
_ENTITY_FIELDS: Final = {"target": "target", "connector": "connector_id"}


class Place(NamedTuple):
    """A path that the actor may use."""

    workspace_id: UUID
    by: str
    flow: str
    tenant: str


class HotglueRoutes:
    """
    One method a path. Whoever asks is known before anything else of the request is looked at.
    """

    def __init__(self, services: Services, run_flow: RunFlow) -> None:
        self._services = services
        self._run_flow = run_flow

    def routes(self, prefix: str = "") -> list[Route]:
        jobs = f"{prefix}/{{env_id}}/{{flow_id}}/{{tenant}}/jobs"
        return [
            Route(f"{jobs}/status", self.status, methods=["GET"]),
            Route(jobs, self.run, methods=["POST"]),
            Route(jobs, self.history, methods=["GET"]),
            Route(f"{jobs}/latest", self.latest, methods=["GET"]),
            Route(f"{jobs}/kill", self.kill, methods=["POST", "DELETE"]),
            Route(f"{jobs}/logs", self.logs, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
        ]

    async def run(self, request: Request) -> Response:
        actor = await actor_of(request, self._services.access, in_a_page=True)
        return run_reply(await self._run_flow(actor, await _flow_run(request)))

    async def status(self, request: Request) -> Response:
        place = await self._place(request, Scope.READ)
        return json_reply(record(await self._job(place, _query_root(request))))

    async def history(self, request: Request) -> Response:
        place = await self._place(request, Scope.READ)
        return json_reply([record(job) for job in await self._listed(place, request, _count(request))])

    async def latest(self, request: Request) -> Response:
        place = await self._place(request, Scope.READ)
        found = await self._listed(place, request, 1)
        return json_reply(record(found[0]) if found else {})

    async def kill(self, request: Request) -> Response:
        place = await self._place(request, Scope.RUN)
        job = await self._job(place, request.query_params.get("job_root") or _body_root(await request.body()))
        return json_reply(
            record(await self._services.jobs.cancel(job.id, by=place.by, workspace_id=place.workspace_id))
        )

    async def logs(self, request: Request) -> Response:
        place = await self._place(request, Scope.READ)
        job = await self._job(place, _query_root(request))
        after = whole_number(request, "after", default=0, most=2**53)
        as_json = request.query_params.get("format") == "ndjson"
        media_type = "application/x-ndjson" if as_json else "text/plain"
        return StreamingResponse(self._log_lines(job.id, after, as_json=as_json), media_type=media_type)

    async def openapi(self, _request: Request) -> Response:
        return json_reply(document())

    async def _place(self, request: Request, scope: Scope) -> Place:
        actor = await actor_of(request, self._services.access, in_a_page=True)
        env_id, flow, tenant = (check_id(request.path_params[name], name) for name in ("env_id", "flow_id", "tenant"))
        workspace = await self._services.access.workspace(actor, env_id, scope)
        return Place(workspace.id, actor.name, flow, tenant)

    async def _job(self, place: Place, root: str) -> Job:
        job = await self._services.jobs.by_root(root, workspace_id=place.workspace_id)
        if job is None or (job.dialect, job.definition, job.tenant) != (DIALECT, place.flow, place.tenant):
            raise UnknownRootError("No job has this root.", root=root)
        return job

    async def _listed(self, place: Place, request: Request, limit: int) -> list[Job]:
        entity = request.query_params.get("entity_id")
        field = _ENTITY_FIELDS.get(request.query_params.get("entity_type", ""), "tap")
        return await self._services.jobs.history(
            place.workspace_id,
            definition=place.flow,
            tenant=place.tenant,
            dialect=DIALECT,
            details={field: entity} if entity else None,
            limit=limit,
        )

    async def _log_lines(self, job_id: UUID, after: int, *, as_json: bool) -> AsyncIterator[bytes]:
        while lines := await self._services.jobs.logs(job_id, after=after, limit=_LOG_PAGE):
            after = lines[-1].number
            if as_json:
                yield msgspec.json.Encoder().encode_lines(lines)
            else:
                yield "".join(f"{line.at:%Y-%m-%dT%H:%M:%S.%fZ} {line.stage} {line.text}\n" for line in lines).encode()


def run_reply(submission: Submission) -> Response:
    """
    Answer a run call: 202 with hotglue's own words for a job that waits for another, else 200 with the record.

    The 202 has no id in its body; the header `x-job-root` gives the root, percent-encoded, to whoever wants to poll.
    """
    if submission.queued:
        return json_reply(QUEUED, HTTPStatus.ACCEPTED, {"x-job-root": quote(submission.job.root)})
    return json_reply(record(submission.job))


def hotglue_wire(services: Services, tenancy: Tenancy) -> Wire:
    """
    Make the wire, to be mounted under `/hotglue`; browsers may call it from anywhere, as hotglue's widget does.
    """
    v1 = HotglueRoutes(services, tenancy.run_flow).routes()
    v2 = HotglueRoutes(services, tenancy.run_connector).routes("/v2")
    # Routes are tried in their order, and clients poll: the calls that come most stand first.
    routes = [*(tenancy.doors.guarded(route) for route in (*v1, *v2)), *tenancy_routes(tenancy)]
    router = Router(routes, redirect_slashes=False)
    return Wire(name=DIALECT, prefix="/hotglue", app=router, reply=hotglue_reply, outside=_cors)


def _cors(app: ASGIApp) -> ASGIApp:
    return CORSMiddleware(
        app,
        allow_origins=["*"],
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["x-api-key", "content-type", "authorization", "idempotency-key"],
        expose_headers=["x-request-id", "x-job-root"],
        max_age=3600,
    )


async def _flow_run(request: Request) -> FlowRun:
    path = request.path_params
    return FlowRun(
        workspace=path["env_id"],
        flow=path["flow_id"],
        tenant=path["tenant"],
        options=await request.body(),
        idempotency_key=idempotency_key(request),
    )


def _query_root(request: Request) -> str:
    root = request.query_params.get("job_root")
    if root is None:
        raise InvalidError("The query parameter `job_root` is missing.", "Give the `s3_root` of the run call's reply.")
    return root


class _KillRequest(msgspec.Struct):
    job_root: str


def _body_root(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_KillRequest).job_root
    except (ValueError, RecursionError):
        raise InvalidError(
            "`job_root` is missing.", "Give it as a query parameter, or as a field of a JSON body."
        ) from None


def _count(request: Request) -> int:
    name = "count" if "count" in request.query_params else "limit"
    return whole_number(request, name, default=_HISTORY_DEFAULT, most=_HISTORY_MOST)
