"""
hotglue's paths for what a tenant has linked: sources, targets and connectors, their bookmarks and their catalogs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import ForbiddenError, InvalidError
from headrace.core.job import Job
from headrace.core.plan import ConnectorSpec
from headrace.dialects.hotglue.bodies import flag_in, object_in, object_of
from headrace.dialects.hotglue.connector_names import definition_of, linkable
from headrace.dialects.hotglue.discover import status as discover_status
from headrace.dialects.hotglue.discover import task_status
from headrace.dialects.hotglue.doors import Guest
from headrace.dialects.hotglue.flow_routes import show_flow
from headrace.dialects.hotglue.linking_wire import (
    CONNECTORS,
    KINDS,
    SOURCES,
    TARGETS,
    Kind,
    LinkRequest,
    awaits_consent,
    connector_asked,
    connector_in,
    read_link,
    show_link,
    take_reconnecting,
)
from headrace.dialects.hotglue.project import message
from headrace.dialects.hotglue.schedules import place_of
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.http.params import whole_number
from headrace.http.reply import json_reply
from headrace.services.connections import Linked, Place

_STREAMS_DEFAULT = 100
_STREAMS_MOST = 10_000


class LinkingRoutes:
    """
    The paths of one sort of links.
    """

    def __init__(self, tenancy: Tenancy, kind: Kind) -> None:
        self._tenancy = tenancy
        self._kind = kind

    def routes(self) -> list[Route]:
        prefix = "/v2" if self._kind is CONNECTORS else ""
        path = f"{prefix}/{{env_id}}/{{flow_id}}/{{tenant}}/{self._kind.path}"
        return [
            Route(path, self.list, methods=["GET"]),
            Route(path, self.link, methods=["POST"]),
            Route(path, self.patch, methods=["PATCH"]),
            Route(path, self.unlink, methods=["DELETE"]),
            Route(f"{path}/state", self.bookmark, methods=["GET"]),
            Route(f"{path}/state", self.save_bookmark, methods=["PUT"]),
            Route(f"{path}/state", self.forget_bookmark, methods=["DELETE"]),
            Route(f"{path}/catalog/search", self.search_catalog, methods=["GET"]),
            Route(f"{path}/discover", self.discover, methods=["GET", "POST"]),
            Route(f"{path}/discover/poll", self.poll_discover, methods=["GET"]),
            Route(f"{path}/discover/kill", self.kill_discover, methods=["POST", "DELETE"]),
        ]

    async def list(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        wanted = connector_asked(request.query_params, self._kind)
        links = await self._tenancy.linking.of_tenant(guest.workspace.id, guest.tenant, self._flow(guest))
        found = [link for link in links if link.role == self._kind.role and wanted in ("", link.connector)]
        return json_reply(await self._shown(guest, found, request))

    async def link(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        asked = read_link(object_of(await request.body()), self._kind, flow=guest.flow, tenant=guest.tenant)
        self._check(guest, asked)
        spec = self._spec(self._tenancy.flows.connectors(guest.workspace.name), asked.connector)
        made = await self._tenancy.linking.link(
            guest.workspace,
            self._place(guest, asked.connector),
            config=asked.config,
            field_map=asked.field_map,
            symlink=asked.symlink,
            awaits_consent=awaits_consent(spec, asked),
        )
        problems = await self._tenancy.after_link(guest.workspace, made, asked.schedule)
        [shown] = await self._shown(guest, [made.linked], request)
        return json_reply({**shown, "problems": problems} if problems else shown)

    async def patch(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        body = object_of(await request.body())
        inner = body.get(self._kind.body)
        what = inner if isinstance(inner, dict) else body
        config, field_map = object_in(what, "config"), object_in(what, "field_map", "fieldMap")
        if config is None and field_map is None:
            raise InvalidError("The body changes nothing.", "Give `config` or `field_map`.")
        config, reconnecting = take_reconnecting(config)
        linked = await self._tenancy.linking.patch(
            self._place(guest, connector_in(what, self._kind)),
            config=config,
            field_map=field_map,
            reconnecting=reconnecting,
        )
        return json_reply((await self._shown(guest, [linked], request))[0])

    async def unlink(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        await self._tenancy.linking.unlink(guest.workspace, await self._asked(guest, request))
        return json_reply({})

    async def bookmark(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        linked = await self._tenancy.linking.get(await self._asked(guest, request))
        return json_reply(linked.bookmark or {})

    async def save_bookmark(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        body = object_of(await request.body())
        state = object_in(body, "state")
        if state is None:
            raise InvalidError("The field `state` is missing.", "Give the Singer state as an object.", field="state")
        await self._tenancy.linking.save_bookmark(await self._asked(guest, request, body), state)
        return json_reply({})

    async def forget_bookmark(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        await self._tenancy.linking.save_bookmark(await self._asked(guest, request), None)
        return json_reply({})

    async def search_catalog(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        linked = await self._tenancy.linking.get(await self._asked(guest, request))
        query = request.query_params
        wanted = next((query[name] for name in ("query", "search", "q") if query.get(name)), "").casefold()
        limit = whole_number(request, "limit", default=_STREAMS_DEFAULT, most=_STREAMS_MOST)
        streams = [stream for stream in (linked.catalog or {}).get("streams", []) if wanted in _name_of(stream)]
        return json_reply({"streams": streams[:limit], "total": len(streams)})

    async def discover(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.RUN)
        link = await self._tenancy.linking.get(await self._asked(guest, request))
        return json_reply(_discovering(await self._tenancy.discovers.start(guest.workspace, link, by=guest.actor.name)))

    async def poll_discover(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        link = await self._tenancy.linking.get(await self._asked(guest, request))
        return json_reply(_discovering(await self._tenancy.discovers.latest(link)))

    async def kill_discover(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.RUN)
        body = object_of(await request.body()) if request.method == "POST" else None
        link = await self._tenancy.linking.get(await self._asked(guest, request, body))
        return json_reply(_discovering(await self._tenancy.discovers.kill(link, by=guest.actor.name)))

    async def _shown(self, guest: Guest, links: Sequence[Linked], request: Request) -> Sequence[dict[str, Any]]:
        query = request.query_params
        specs = self._tenancy.flows.connectors(guest.workspace.name)
        place = (guest.workspace.id, guest.tenant, guest.flow)
        statuses = await self._tenancy.discovers.statuses(*place)
        schedule = await self._tenancy.schedules.find(place_of(*place))
        return [
            show_link(
                link,
                self._kind,
                spec=self._spec(specs, link.connector),
                url=self._tenancy.url,
                config=flag_in(query, "config") and guest.sees_settings_of(link),
                catalog=flag_in(query, "catalog"),
                discover_status=statuses.get(str(link.id)),
                schedule=schedule.expression if schedule else None,
            )
            for link in links
        ]

    def _check(self, guest: Guest, asked: LinkRequest) -> None:
        """
        Refuse what the flow does not offer, and another tenant's connection to whoever may not see secrets.
        """
        flow = self._tenancy.flows.flow(guest.workspace, guest.flow)
        known = linkable(flow, self._kind.role)
        if asked.connector not in known:
            raise InvalidError(
                f"The flow does not offer `{asked.connector}`.",
                f"It offers: {', '.join(f'`{name}`' for name in known) or 'nothing to link here'}.",
                field=self._kind.id,
            )
        if asked.symlink and asked.symlink.tenant != guest.tenant and not guest.actor.may(Scope.SECRETS):
            raise ForbiddenError(
                "This key may not use another tenant's connection.", "Use an environment key.", field="symlink"
            )

    def _spec(self, specs: Mapping[str, ConnectorSpec], name: str) -> ConnectorSpec | None:
        return definition_of(specs, name, "target" if self._kind is TARGETS else "tap")

    def _flow(self, guest: Guest) -> str:
        return self._tenancy.flows.flow(guest.workspace, guest.flow).id

    def _place(self, guest: Guest, connector: str) -> Place:
        return Place(guest.workspace.id, guest.tenant, self._flow(guest), self._kind.role, connector)

    async def _asked(self, guest: Guest, request: Request, body: dict[str, Any] | None = None) -> Place:
        """
        Find which connection is meant: the one that is named, or the only one there is.
        """
        named = connector_asked(request.query_params, self._kind)
        if not named and body and any(name in body for name in self._kind.names):
            named = connector_in(body, self._kind)
        if named:
            return self._place(guest, named)
        links = await self._tenancy.linking.of_tenant(guest.workspace.id, guest.tenant, self._flow(guest))
        names = [link.connector for link in links if link.role == self._kind.role]
        if (request.method == "DELETE" and not request.url.path.endswith("/state")) or len(names) != 1:
            raise InvalidError(
                f"The query parameter `{self._kind.names[0]}` is missing.",
                f"Linked: {', '.join(f'`{name}`' for name in names) or 'none'}.",
                field=self._kind.names[0],
            )
        return self._place(guest, names[0])


class EntityRoutes:
    """
    The paths about anything linked, whatever its sort.
    """

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy

    def routes(self) -> list[Route]:
        return [Route("/entity/{env_id}/{tenant}/linked", self.linked, methods=["GET"])]

    async def linked(self, request: Request) -> Response:
        """
        List the flows in which a tenant has linked something of that name, which is what the widget offers to reuse.
        """
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        entity = request.query_params.get("entity") or request.query_params.get("entity_id") or ""
        places = await self._tenancy.linking.flows_of(guest.workspace.id, guest.tenant)
        known = {flow.id: flow for flow in self._tenancy.flows.all() if flow.workspace == guest.workspace.name}
        return json_reply(
            [
                {
                    **show_flow(known[flow]),
                    "flow_id": flow,
                    "tenant": guest.tenant,
                    "entity_type": role,
                    KINDS[role].names[0]: entity,
                }
                for flow, role, connector in places
                if connector == entity and flow in known
            ]
        )


def linking_routes(tenancy: Tenancy) -> list[Route]:
    """
    Make the paths of all three sorts of links.
    """
    routes = [route for kind in (SOURCES, TARGETS, CONNECTORS) for route in LinkingRoutes(tenancy, kind).routes()]
    return [*routes, *EntityRoutes(tenancy).routes()]


def _discovering(job: Job | None) -> dict[str, Any]:
    return {
        "status": task_status(job),
        "discover_task_status": discover_status(job) if job else None,
        "job_id": job.public_id if job else None,
        "message": message(job) if job else "",
    }


def _name_of(stream: Any) -> str:
    return str(stream.get("stream") or stream.get("tap_stream_id") or "").casefold() if isinstance(stream, dict) else ""
