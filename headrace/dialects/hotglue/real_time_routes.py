"""
hotglue's paths for real-time writes.

Source: hotglue's documentation, an example only: `{"data": {…}, "async": false}`, answered by `async`, `jobId`, `taskId`, `state` and `logs`.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import InvalidError
from headrace.core.state import JobState
from headrace.dialects.hotglue.bodies import object_of
from headrace.dialects.hotglue.real_time import Write, task
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.dialects.hotglue.wire import check_id
from headrace.http.params import idempotency_key
from headrace.http.reply import json_reply


class RealTimeRoutes:
    """
    `POST …/connectors/{connector_id}/{stream}` and `GET …/connectors/status?taskId=`, under V1's paths and V2's.
    """

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy

    def routes(self) -> list[Route]:
        path = "/{env_id}/{flow_id}/{tenant}/connectors"
        return [
            route
            for prefix in ("", "/v2")
            for route in (
                Route(f"{prefix}{path}/status", self.status, methods=["GET"]),
                Route(f"{prefix}{path}/{{connector_id}}/{{stream}}", self.write, methods=["POST"]),
            )
        ]

    async def write(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.RUN)
        flow = self._tenancy.flows.flow(guest.workspace, guest.flow).id
        text = await request.body()
        body = object_of(text)
        aside = body.get("async", False)
        if not isinstance(aside, bool):
            raise InvalidError("The field `async` is neither true nor false.", "Correct it.", field="async")
        write = Write(
            connector_id=check_id(request.path_params["connector_id"], "connector_id"),
            stream=check_id(request.path_params["stream"], "stream"),
            rows=_rows(body.get("data")),
            idempotency_key=idempotency_key(request),
            fingerprint=hashlib.sha256(request.url.path.encode() + b"\x00" + text.strip()).digest(),
        )
        job = await self._tenancy.real_time.write(guest.workspace, flow, guest.tenant, write, wait=not aside)
        if not job.final:
            return json_reply({"async": True, **task(job)})
        result = await self._tenancy.real_time.result(job)
        return json_reply({"async": False, **result}, _status_of(job.state))

    async def status(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        task_id = request.query_params.get("taskId")
        if not task_id:
            raise InvalidError("The query parameter `taskId` is missing.", "Give that of a write's answer.")
        flow = self._tenancy.flows.flow(guest.workspace, guest.flow).id
        job = await self._tenancy.real_time.find(guest.workspace, flow, guest.tenant, task_id)
        if not job.final:
            return json_reply({"has_data": False, "result": None})
        result = await self._tenancy.real_time.result(job)
        return json_reply({"has_data": True, "result": {**result, "status_code": _status_of(job.state)}})


def _rows(data: Any) -> list[dict[str, Any]]:
    rows = data if isinstance(data, list) else [data]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise InvalidError(
            "The field `data` is not a record.", "Give an object, or a list of objects, of the stream.", field="data"
        )
    return rows


def _status_of(state: JobState) -> int:
    return int(HTTPStatus.OK if state is JobState.COMPLETED else HTTPStatus.BAD_REQUEST)
