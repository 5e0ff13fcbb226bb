"""
hotglue's paths for schedules.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.dialects.hotglue.bodies import object_of, text_in
from headrace.dialects.hotglue.doors import Guest
from headrace.dialects.hotglue.schedule_wire import read_schedule, show_schedule
from headrace.dialects.hotglue.schedules import place_of
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.dialects.hotglue.wire import check_id
from headrace.http.reply import json_reply
from headrace.services.schedules import SchedulePlace

_NAMES = ("connector_id", "tap", "tap_name", "entity_id")


class ScheduleRoutes:
    """
    `jobs/schedule`, of a flow as a whole or of one of its connectors, by V1 or V2.
    """

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy

    def routes(self) -> list[Route]:
        return [route for prefix in ("", "/v2") for route in self._routes(prefix)]

    def _routes(self, prefix: str) -> list[Route]:
        path = f"{prefix}/{{env_id}}/{{flow_id}}/{{tenant}}/jobs/schedule"
        return [
            Route(path, self.show, methods=["GET"]),
            Route(path, self.put_v2 if prefix else self.put, methods=["PUT", "POST"]),
            Route(path, self.delete, methods=["DELETE"]),
        ]

    async def show(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        schedule = await self._tenancy.schedules.find(self._place(guest, _connector(request)))
        firings = await self._tenancy.schedules.firings(schedule) if schedule else ()
        return json_reply(show_schedule(schedule, firings))

    async def put(self, request: Request) -> Response:
        return await self._put(request, "")

    async def put_v2(self, request: Request) -> Response:
        return await self._put(request, "read")

    async def delete(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        body = object_of(await request.body())
        named = _connector(request) or text_in(body, *_NAMES)
        await self._tenancy.schedules.delete(self._place(guest, named))
        return json_reply({})

    async def _put(self, request: Request, job_type: str) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        body = object_of(await request.body())
        typed = {"job_type": job_type, **body} if job_type else body
        asked = read_schedule(typed, connector=_connector(request))
        await self._tenancy.schedules.put(
            self._place(guest, asked.connector),
            now=self._tenancy.now(),
            expression=asked.expression,
            enabled=asked.enabled,
            options=asked.options,
        )
        return json_reply({})

    def _place(self, guest: Guest, connector: str) -> SchedulePlace:
        flow = self._tenancy.flows.flow(guest.workspace, guest.flow)
        return place_of(guest.workspace.id, guest.tenant, flow.id, connector)


def _connector(request: Request) -> str:
    query = request.query_params
    named = next((query[name] for name in _NAMES if query.get(name)), "")
    return check_id(named, "connector_id") if named else ""
