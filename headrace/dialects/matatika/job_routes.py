"""
The paths of jobs: J1 to J10 of our reference, in its order.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import ForbiddenError, InvalidError
from headrace.core.job import Job
from headrace.dialects.matatika.deploy import Deployments
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.doors import id_of
from headrace.dialects.matatika.hal import Links, hal_reply, links_of, page, paging_of, timestamp
from headrace.dialects.matatika.project import job_resource
from headrace.services.pipeline_jobs import LogEntry

_LOG_PAGE = 1000
_LARGEST_SEQUENCE = 2**64 - 1
_STREAMS = ("application/x-ndjson", "application/stream+json")
_LEVEL = re.compile(r"\b(debug|info|warning|warn|error|critical|fatal)\b", re.IGNORECASE)


class JobRoutes:
    """
    One method a path.
    """

    def __init__(self, desk: Desk, deployments: Deployments) -> None:
        self._desk = desk
        self._deployments = deployments

    def routes(self) -> list[Route]:
        return [
            Route("/workspaces/{workspace_id}/jobs", self.of_workspace, methods=["GET"]),
            Route("/pipelines/{pipeline_id}/jobs", self.of_pipeline, methods=["GET"]),
            Route("/pipelines/{pipeline_id}/jobs", self.create, methods=["POST"]),
            Route("/pipeline/{pipeline_id}/jobs", self.of_pipeline, methods=["GET"]),  # the spelling of 2021
            Route("/pipeline/{pipeline_id}/jobs", self.create, methods=["POST"]),
            Route("/pipelines/{pipeline_id}/verification", self.verify, methods=["POST"]),
            Route("/pipelines/{pipeline_id}/verify", self.verify, methods=["POST"]),  # the spelling of 2021
            Route("/jobs/{job_id}", self.view, methods=["GET"]),
            Route("/jobs/{job_id}", self.delete, methods=["DELETE"]),
            Route("/jobs/{job_id}/logs", self.logs, methods=["GET"]),
            Route("/jobs/{job_id}/stopped", self.stop, methods=["PUT"]),
            Route("/workspaces/{workspace_id}/deployments", self.deploy, methods=["POST"]),
            Route("/workspaces/{workspace_id}/deployments/github-webhook", self.deploy_by_webhook, methods=["POST"]),
        ]

    async def of_workspace(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        workspace = await self._desk.doors.workspace(actor, request.path_params["workspace_id"], Scope.READ)
        paging, links = paging_of(request), links_of(request)
        jobs, total = await self._desk.jobs.page(
            workspace.id, offset=paging.offset, limit=paging.size, sort=paging.sort
        )
        here = links.to("workspaces", workspace.id, "jobs")
        return hal_reply(request, page("jobs", [self._shown(request, job, links) for job in jobs], total, paging, here))

    async def of_pipeline(self, request: Request) -> Response:
        pipeline = await self._desk.pipeline(request, Scope.READ)
        paging, links = paging_of(request), links_of(request)
        jobs, total = await self._desk.jobs.page(
            pipeline.workspace_id, pipeline.id, offset=paging.offset, limit=paging.size, sort=paging.sort
        )
        here = links.to("pipelines", pipeline.id, "jobs")
        return hal_reply(request, page("jobs", [self._shown(request, job, links) for job in jobs], total, paging, here))

    async def view(self, request: Request) -> Response:
        job, _ = await self._job(request, Scope.READ)
        return hal_reply(request, self._shown(request, job, links_of(request)))

    async def logs(self, request: Request) -> Response:
        job, _ = await self._job(request, Scope.READ)
        after = _sequence(request)
        accept = request.headers.get("accept", "")
        media_type = next((form for form in _STREAMS if form in accept), "text/plain")
        lines = await self._desk.jobs.logs(job, after=after, limit=_LOG_PAGE)
        if not lines:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        body = self._log_lines(job, lines, as_json=media_type != "text/plain")
        return StreamingResponse(body, media_type=media_type)

    async def create(self, request: Request) -> Response:
        actor, pipeline, around = await self._desk.pipeline_around(request, Scope.RUN)
        job = await self._desk.runs.run(around, pipeline, by=actor)
        return hal_reply(request, self._shown(request, job, links_of(request)), HTTPStatus.CREATED)

    async def stop(self, request: Request) -> Response:
        job, by = await self._job(request, Scope.RUN)
        await self._desk.jobs.stop(job, by=by)
        return hal_reply(request, {"message": f"Job {job.id} will be stopped."}, HTTPStatus.ACCEPTED)

    async def delete(self, request: Request) -> Response:
        job, by = await self._job(request, Scope.RUN)
        await self._desk.jobs.delete(job, by=by)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def verify(self, request: Request) -> Response:
        actor, pipeline, around = await self._desk.pipeline_around(request, Scope.RUN)
        job = await self._desk.runs.run(around, pipeline, "PIPELINE_VERIFY", by=actor)
        return hal_reply(request, self._shown(request, job, links_of(request)))

    async def deploy(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        workspace = await self._desk.doors.workspace(actor, request.path_params["workspace_id"], Scope.DEFINE)
        job = await self._deployments.deploy(workspace, by=actor)
        return hal_reply(request, self._shown(request, job, links_of(request)), HTTPStatus.ACCEPTED)

    async def deploy_by_webhook(self, request: Request) -> Response:
        """
        Deploy when the repository's host says that there is something new; the signature is the only key.
        """
        workspace, secret = await self._desk.deployment_secret(request.path_params["workspace_id"])
        sent = request.headers.get("x-hub-signature", "")
        made = hmac.new(secret.encode(), await request.body(), hashlib.sha1).hexdigest()
        if not secret or not hmac.compare_digest(sent.encode(), f"sha1={made}".encode()):
            raise ForbiddenError("The signature does not fit.", "Sign the body with the workspace's deploymentSecret.")
        job = await self._deployments.deploy(workspace, trigger="webhook")
        return hal_reply(request, self._shown(request, job, links_of(request)), HTTPStatus.ACCEPTED)

    async def _job(self, request: Request, scope: Scope) -> tuple[Job, str]:
        actor = await self._desk.doors.actor(request)
        job = await self._desk.jobs.find(id_of(request, "job_id"))
        await self._desk.doors.workspace(actor, job.workspace_id, scope)
        return job, actor.name

    def _shown(self, request: Request, job: Job, links: Links) -> dict[str, Any]:
        wanted = request.headers.get("enable-task-details", "").strip().lower() == "true"
        return job_resource(job, links, task_details=wanted, v1_statuses=self._desk.v1_statuses)

    async def _log_lines(self, job: Job, lines: list[LogEntry], *, as_json: bool) -> AsyncIterator[bytes]:
        while lines:
            if as_json:
                yield msgspec.json.Encoder().encode_lines([_as_object(line) for line in lines])
            else:
                yield "".join(f"{line.text}\n" for line in lines).encode(errors="replace")
            lines = await self._desk.jobs.logs(job, after=lines[-1].number, limit=_LOG_PAGE)


def _as_object(line: LogEntry) -> dict[str, Any]:
    found = _LEVEL.search(line.text[:120])
    level = found[1].lower() if found else "info"
    return {
        "sequence": line.number - 1,
        "timestamp": timestamp(line.at),
        "level": {"warn": "warning", "fatal": "critical"}.get(level, level),
        "message": line.text,
    }


def _sequence(request: Request) -> int:
    text = request.query_params.get("sequence", "0")
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > _LARGEST_SEQUENCE:
        raise InvalidError("The query parameter `sequence` is not a line number.", "Give 0 or more.")
    return min(int(text), 2**62)
