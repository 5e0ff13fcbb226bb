"""
The results of a job run, behind an address that is the right to them and expires: a line per run, and each run's log and trace.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from headrace.core.errors import NotFoundError
from headrace.core.fan_out import Item
from headrace.core.job import Job
from headrace.dialects.intuned.places import IntunedServices
from headrace.dialects.intuned.project_runs import result_line
from headrace.dialects.intuned.values import when

_PATH = "/{workspace}/results/{token}"
_LINES = "application/x-ndjson"
_PAGE = 1000


class ResultRoutes:
    """
    One method a path; none needs a key.
    """

    def __init__(self, services: IntunedServices) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route(_PATH, self.results, methods=["GET"]),
            Route(_PATH + "/{run}/log", self.log, methods=["GET"]),
            Route(_PATH + "/{run}/trace", self.trace, methods=["GET"]),
        ]

    async def results(self, request: Request) -> Response:
        """
        Give every run of a job run, one JSON line each, with the addresses of its log and of its trace.
        """
        job = await self._job(request)
        files = await self._services.files.listed(job, secrets=False)
        address = str(request.url.replace(query=""))

        async def lines() -> AsyncIterator[bytes]:
            encode = msgspec.json.Encoder().encode
            async for item in self._services.fan_outs.every_item(job.id):
                line = result_line(job, item)
                line["apiInfo"] |= {
                    "trace_url": f"{address}/{item.id}/trace" if _trace_of(item) in files else None,
                    "log_url": f"{address}/{item.id}/log" if item.started_at else None,
                }
                yield encode(line) + b"\n"

        return StreamingResponse(lines(), media_type=_LINES)

    async def log(self, request: Request) -> Response:
        """
        Give what a run has printed, over all of its tries: one JSON line each, with its time and text.
        """
        job = await self._job(request)
        item = await self._item(request, job)

        async def lines() -> AsyncIterator[bytes]:
            after = 0
            while page := await self._services.jobs.logs(job.id, after=after, limit=_PAGE, item=item.ordinal):
                after = page[-1].number
                yield msgspec.json.Encoder().encode_lines(
                    {"timestamp": when(each.at), "message": each.text} for each in page
                )

        return StreamingResponse(lines(), media_type=_LINES)

    async def trace(self, request: Request) -> Response:
        job = await self._job(request)
        item = await self._item(request, job)
        found = await self._services.files.read(job, _trace_of(item), secrets=False)
        return StreamingResponse(found, media_type="application/zip")

    async def _job(self, request: Request) -> Job:
        """
        Raises:
            NotFoundError: the address is unknown or has expired, or the job whose run it was is deleted.
        """
        job = await self._services.jobs.get(self._services.links.open(request.path_params["token"]), workspace_id=None)
        of: dict[str, Any] = dict(job.details)
        batch = await self._services.batches.get(job.workspace_id, of["project"], of["job"])
        return await self._services.batches.job(batch, job.id)

    async def _item(self, request: Request, job: Job) -> Item:
        item = await self._services.fan_outs.item(job.workspace_id, request.path_params["run"])
        if item.job_id != job.id:
            raise NotFoundError(f"The job run has no run {item.id!r}.", "Check the id.")
        return item


def address_of(request: Request, services: IntunedServices, job_id: UUID) -> dict[str, Any]:
    """
    Make an address at which a job run's results can be fetched for a while.
    """
    token, expires_at = services.links.issue(job_id)
    root = request.scope.get("root_path", "")
    url = request.url.replace(path=f"{root}/{request.path_params['workspace']}/results/{token}", query="")
    return {"signed_url": str(url), "signed_url_expiration": when(expires_at), "format": "jsonl"}


def _trace_of(item: Item) -> str:
    return f"items/{item.ordinal:06d}/trace.zip"
