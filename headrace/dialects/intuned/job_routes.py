"""
Intuned's paths for jobs and their runs.

The messages of success are closed enums of the published clients (2025, 2026), byte for byte.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.batch import Batch
from headrace.core.errors import InvalidError, NotFoundError
from headrace.core.job import Job
from headrace.dialects.intuned.bodies import decode_job
from headrace.dialects.intuned.places import IntunedServices, Places
from headrace.dialects.intuned.project import job_run, listed_job, one_job
from headrace.dialects.intuned.result_routes import address_of
from headrace.dialects.intuned.run import LONG_BYTES, digest_of, shown_of
from headrace.dialects.intuned.secrets import masked, secrets_of, unmasked
from headrace.dialects.intuned.session_use import session_of_job
from headrace.dialects.intuned.values import parse_uuid
from headrace.dialects.intuned.wire import JobBody
from headrace.http.params import idempotency_key, whole_number
from headrace.http.reply import json_reply
from headrace.services.batches import SORTABLE
from headrace.services.reruns import Repeat

DEFAULT_PAGE_SIZE: Final = 50
MOST_PAGE_SIZE: Final = 1000
DEFAULT_ORDER: Final = (("start_time", True),)
_MOST_PAGES = 10**9


class JobRoutes:
    """
    One method a path.
    """

    def __init__(self, services: IntunedServices) -> None:
        self._services = services
        self._places = Places(services)

    def routes(self) -> list[Route]:
        jobs = "/{workspace}/projects/{project}/jobs"
        run = jobs + "/{job}/runs/{run}"
        return [
            Route(jobs, self.all, methods=["GET"]),
            Route(jobs, self.create, methods=["POST"]),
            Route(jobs + "/{job}", self.one, methods=["GET"]),
            Route(jobs + "/{job}", self.update, methods=["PUT"]),
            Route(jobs + "/{job}", self.delete, methods=["DELETE"]),
            Route(jobs + "/{job}/pause", self.pause, methods=["POST"]),
            Route(jobs + "/{job}/resume", self.resume, methods=["POST"]),
            Route(jobs + "/{job}/trigger", self.trigger, methods=["POST"]),
            Route(jobs + "/{job}/runs", self.runs, methods=["GET"]),
            Route(run, self.run, methods=["GET"]),
            Route(f"{run}/terminate", self.terminate, methods=["POST"]),
            Route(f"{run}/rerun", self.rerun, methods=["POST"]),
        ]

    async def all(self, request: Request) -> Response:
        place = await self._places.project(request, Scope.READ)
        found = await self._services.batches.of_project(place.workspace.id, place.project.name)
        schedules = await self._services.schedules.of_project(place.workspace.id, place.project.name)
        return json_reply([listed_job(batch, shown_of(batch), schedules.get(batch.name)) for batch in found])

    async def create(self, request: Request) -> Response:
        place = await self._places.project(request, Scope.DEFINE)
        body = await _read(request, with_id=True)
        session_of_job(body.session, place.project)  # refuses one that is missing
        batch = await self._services.batches.create(
            place.workspace.id,
            place.project.name,
            body.id or "",
            definition=_definition(body),
            secrets=secrets_of(body),
        )
        await self._keep_schedule(batch)
        return json_reply({"id": batch.name, "message": "created"}, HTTPStatus.CREATED)

    async def one(self, request: Request) -> Response:
        _, batch = await self._places.batch(request, Scope.READ)
        return json_reply(one_job(batch, shown_of(batch), next_at=await self._services.schedules.next_time(batch)))

    async def update(self, request: Request) -> Response:
        place, batch = await self._places.batch(request, Scope.DEFINE)
        body = unmasked(await _read(request, with_id=False), batch.secrets)
        session_of_job(body.session, place.project)
        await self._services.batches.update(batch, definition=_definition(body), secrets=secrets_of(body))
        await self._keep_schedule(batch)
        return json_reply({"id": batch.name, "message": "updated job successfully"})

    async def delete(self, request: Request) -> Response:
        place, batch = await self._places.batch(request, Scope.DEFINE)
        await self._services.batches.delete(batch, by=place.actor.name)
        await self._keep_schedule(batch)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def pause(self, request: Request) -> Response:
        place, batch = await self._places.batch(request, Scope.RUN)
        await self._services.batches.pause(batch, by=place.actor.name)
        await self._keep_schedule(batch)
        return json_reply({"message": "Paused"})

    async def resume(self, request: Request) -> Response:
        place, batch = await self._places.batch(request, Scope.RUN)
        await self._services.batches.resume(batch, by=place.actor.name)
        await self._keep_schedule(batch)
        return json_reply({"message": "Resumed"})

    async def trigger(self, request: Request) -> Response:
        place, batch = await self._places.batch(request, Scope.RUN)
        job = await self._services.start.batch(place, batch, idempotency_key=idempotency_key(request))
        return json_reply({"jobRunId": str(job.id), "message": "Triggered"})

    async def runs(self, request: Request) -> Response:
        _, batch = await self._places.batch(request, Scope.READ)
        size = whole_number(request, "pageSize", default=DEFAULT_PAGE_SIZE, most=MOST_PAGE_SIZE)
        if size == 0:
            raise InvalidError("The query parameter `pageSize` is 0.", "Give 1 or more.", parameter="pageSize")
        page = whole_number(request, "pageNumber", default=0, most=_MOST_PAGES)
        order = read_order(request.query_params.get("sortBy", ""))
        found, total = await self._services.batches.jobs(batch, order=order, limit=size, offset=page * size)
        return json_reply({"jobRuns": [job_run(job) for job in found], "totalCount": total})

    async def run(self, request: Request) -> Response:
        _, batch = await self._places.batch(request, Scope.READ)
        job = await self._services.batches.job(batch, _run_id(request))
        return json_reply({"jobRun": job_run(job), **self._results_of(request, job)})

    async def terminate(self, request: Request) -> Response:
        place, batch = await self._places.batch(request, Scope.RUN)
        await self._services.batches.terminate(batch, _run_id(request), by=place.actor.name)
        return json_reply({"message": "Job run terminated"})

    async def rerun(self, request: Request) -> Response:
        """
        Run again what failed or was canceled; ours.
        """
        place, batch = await self._places.batch(request, Scope.RUN)
        run = _run_id(request)
        repeat = Repeat(idempotency_key(request), digest_of("rerun", run))
        job = await self._services.start.rerun(place, batch, run, repeat)
        return json_reply({"jobRunId": str(job.id), "message": "Triggered"})

    async def _keep_schedule(self, batch: Batch) -> None:
        await self._services.schedules.keep(batch.workspace_id, batch.project, batch.name)

    def _results_of(self, request: Request, job: Job) -> dict[str, Any]:
        """
        Give the address of the results, once there is something final to fetch.
        """
        if not job.final or job.items is None:
            return {}
        return {"results": address_of(request, self._services, job.id)}


def read_order(text: str) -> tuple[tuple[str, bool], ...]:
    """
    Read `sortBy`: `column,asc` or `column,desc`, several parted by `/`; gives each column with whether it falls.

    Raises:
        InvalidError: there is no such column or direction.
    """
    if not text:
        return DEFAULT_ORDER
    order = []
    for part in text.split("/"):
        column, _, direction = part.partition(",")
        if column not in SORTABLE or direction not in ("asc", "desc", ""):
            raise InvalidError(
                f"`sortBy` cannot be {part!r}.",
                f"Write column,asc or column,desc with one of {', '.join(SORTABLE)}; several are parted by a slash.",
                field="sortBy",
            )
        order.append((column, direction == "desc"))
    return tuple(order)


async def _read(request: Request, *, with_id: bool) -> JobBody:
    """
    Read a job's definition; a long one in a thread, so that others are answered meanwhile.
    """
    content = await request.body()
    if len(content) < LONG_BYTES:
        return decode_job(content, with_id=with_id)
    return await asyncio.to_thread(decode_job, content, with_id=with_id)


def _definition(body: JobBody) -> bytes:
    return msgspec.json.encode(masked(body))


def _run_id(request: Request) -> UUID:
    found = parse_uuid(request.path_params["run"])
    if found is None:
        raise NotFoundError(f"There is no job run {request.path_params['run']!r}.", "Check the id.")
    return found
