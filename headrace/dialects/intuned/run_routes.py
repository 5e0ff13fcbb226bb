"""
Intuned's paths for single runs, and ours for what its clients have no call for: projects, and the runs of a job run.
"""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import NotFoundError
from headrace.core.fan_out import Item
from headrace.dialects.intuned.bodies import decode_run
from headrace.dialects.intuned.ids import project_id
from headrace.dialects.intuned.places import IntunedServices, Places
from headrace.dialects.intuned.project_runs import result_line, run_result
from headrace.dialects.intuned.run import digest_of
from headrace.dialects.intuned.values import parse_uuid, when
from headrace.http.params import idempotency_key, whole_number
from headrace.http.reply import json_reply
from headrace.services.reruns import Repeat

_PAGE = 200
_MOST_PAGE = 1000


class RunRoutes:
    """
    One method a path.
    """

    def __init__(self, services: IntunedServices) -> None:
        self._services = services
        self._places = Places(services)

    def routes(self) -> list[Route]:
        project = "/{workspace}/projects/{project}"
        return [
            Route("/{workspace}/projects", self.projects, methods=["GET"]),
            Route(project + "/run/start", self.start, methods=["POST"]),
            Route(project + "/run/{run}/result", self.result, methods=["GET"]),
            Route(project + "/run/{run}/attempts", self.attempts, methods=["GET"]),
            Route(project + "/jobs/{job}/runs/{run}/items", self.items, methods=["GET"]),
        ]

    async def projects(self, request: Request) -> Response:
        workspace = await self._places.workspace(request, Scope.READ)
        return json_reply(
            [
                {
                    "id": str(project_id(workspace.id, project.name)),
                    "name": project.name,
                    "apis": project.apis,
                    "maxConcurrentRequests": project.max_concurrent,
                    "apiAccess": project.api_access,
                    "authSessions": project.auth_sessions,
                }
                for project in self._services.automations.of_workspace(workspace)
            ]
        )

    async def start(self, request: Request) -> Response:
        place = await self._places.project(request, Scope.RUN)
        body = await request.body()
        repeat = Repeat(idempotency_key(request), digest_of("start", place.project.name, body))
        run = await self._services.start.run(place, decode_run(body), repeat)
        return json_reply({"runId": run, "status": "pending"}, HTTPStatus.CREATED)

    async def result(self, request: Request) -> Response:
        workspace_id, item = await self._item(request)
        job = await self._services.jobs.get(item.job_id, workspace_id=workspace_id)
        return json_reply(run_result(job, item))

    async def attempts(self, request: Request) -> Response:
        _, item = await self._item(request)
        return json_reply(
            [
                {
                    "number": attempt.number,
                    "started_at": when(attempt.started_at),
                    "ended_at": when(attempt.finished_at) if attempt.finished_at else None,
                    "outcome": attempt.outcome,
                    "worker": attempt.node_name,
                    "message": attempt.cause.sentence if attempt.cause else None,
                }
                for attempt in await self._services.fan_outs.attempts(item.job_id, item.ordinal)
            ]
        )

    async def items(self, request: Request) -> Response:
        """
        List the runs of a job run, a page at a time; *after* is the `ordinal` of the last one seen.
        """
        _, batch = await self._places.batch(request, Scope.READ)
        job_id = parse_uuid(request.path_params["run"])
        if job_id is None:
            raise NotFoundError(f"There is no job run {request.path_params['run']!r}.", "Check the id.")
        job = await self._services.batches.job(batch, job_id)
        after = whole_number(request, "after", default=-1, most=2**31 - 1)
        limit = whole_number(request, "limit", default=_PAGE, most=_MOST_PAGE)
        found = await self._services.fan_outs.items(job.id, after=after, limit=limit)
        return json_reply([{"ordinal": item.ordinal, **result_line(job, item)} for item in found])

    async def _item(self, request: Request) -> tuple[UUID, Item]:
        place = await self._places.project(request, Scope.READ)
        item = await self._services.fan_outs.item(place.workspace.id, request.path_params["run"])
        job = await self._services.jobs.get(item.job_id, workspace_id=place.workspace.id)
        if job.tenant != place.project.name:
            raise NotFoundError(f"There is no run {item.id!r} in the project.", "Check the id.")
        return place.workspace.id, item
