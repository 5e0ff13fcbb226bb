"""
hotglue's paths.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final
from urllib.parse import quote
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from headrace.core.actor import Scope
from headrace.core.errors import InvalidError
from headrace.core.job import Job
from headrace.dialects.hotglue.compile import DIALECT
from headrace.dialects.hotglue.doors import Doors, Guest
from headrace.dialects.hotglue.errors import UnknownRootError, hotglue_reply
from headrace.dialects.hotglue.openapi import document
from headrace.dialects.hotglue.project import record
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.dialects.hotglue.tenancy_routes import tenancy_routes
from headrace.http.methods import direct
from headrace.http.middleware import ForBrowsers
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


class HotglueRoutes:
    """
    One method a path. Whoever asks is known before anything else of the request is looked at.
    """

    def __init__(self, services: Services, doors: Doors, run_flow: RunFlow) -> None:
        self._services = services
        self._doors = doors
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
        guest = await self._doors.enter(request, Scope.RUN)
        return run_reply(await self._run_flow(guest.actor, await _flow_run(request)))

    async def status(self, request: Request) -> Response:
        guest = await self._doors.enter(request, Scope.READ)
        return json_reply(record(await self._job(guest, _query_root(request))))

    async def history(self, request: Request) -> Response:
        guest = await self._doors.enter(request, Scope.READ)
        return json_reply([record(job) for job in await self._listed(guest, request, _count(request))])

    async def latest(self, request: Request) -> Response:
        guest = await self._doors.enter(request, Scope.READ)
        found = await self._listed(guest, request, 1)
        return json_reply(record(found[0]) if found else {})

    async def kill(self, request: Request) -> Response:
        guest = await self._doors.enter(request, Scope.RUN)
        job = await self._job(guest, request.query_params.get("job_root") or _body_root(await request.body()))
        return json_reply(
            record(await self._services.jobs.cancel(job.id, by=guest.actor.name, workspace_id=guest.workspace.id))
        )

    async def logs(self, request: Request) -> Response:
        guest = await self._doors.enter(request, Scope.READ)
        job = await self._job(guest, _query_root(request))
        after = whole_number(request, "after", default=0, most=2**53)
        as_json = request.query_params.get("format") == "ndjson"
        media_type = "application/x-ndjson" if as_json else "text/plain"
        return StreamingResponse(self._log_lines(job.id, after, as_json=as_json), media_type=media_type)

    async def openapi(self, _request: Request) -> Response:
        return json_reply(document())

    async def _job(self, guest: Guest, root: str) -> Job:
        job = await self._services.jobs.by_root(root, workspace_id=guest.workspace.id)
        if job is None or (job.dialect, job.definition, job.tenant) != (DIALECT, guest.flow, guest.tenant):
            raise UnknownRootError("No job has this root.", root=root)
        return job

    async def _listed(self, guest: Guest, request: Request, limit: int) -> list[Job]:
        entity = request.query_params.get("entity_id")
        field = _ENTITY_FIELDS.get(request.query_params.get("entity_type", ""), "tap")
        return await self._services.jobs.history(
            guest.workspace.id,
            definition=guest.flow,
            tenant=guest.tenant,
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
    v1 = HotglueRoutes(services, tenancy.doors, tenancy.run_flow).routes()
    v2 = HotglueRoutes(services, tenancy.doors, tenancy.run_connector).routes("/v2")
    # Routes are tried in their order, and clients poll: the calls that come most stand first.
    router = Router([direct(route) for route in (*v1, *v2, *tenancy_routes(tenancy))], redirect_slashes=False)
    return Wire(name=DIALECT, prefix="/hotglue", app=router, reply=hotglue_reply, outside=_for_browsers)


def _for_browsers(app: ASGIApp) -> ASGIApp:
    return ForBrowsers(
        app,
        headers=["x-api-key", "content-type", "authorization", "idempotency-key"],
        shown=["x-request-id", "x-job-root"],
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
