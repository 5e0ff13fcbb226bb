"""
hotglue's paths for what an environment offers: flows, connectors, and how its widget looks.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.definitions import FlowDef
from headrace.core.errors import InvalidError
from headrace.dialects.hotglue.bodies import flag_in
from headrace.dialects.hotglue.connector_names import Side, definition_of, linkable, offered, two_way
from headrace.dialects.hotglue.doors import Guest
from headrace.dialects.hotglue.linking_wire import CONNECTORS, SOURCES, TARGETS, Kind, show_connector
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.dialects.hotglue.wire import check_id
from headrace.http.reply import json_reply

# What hotglue's widget 1.4 reads, with what it does when nothing is set; the workspace's setting `widget` goes over it.
# Without a colour and a font it does not start at all.
PREFERENCES: Final[dict[str, Any]] = {
    "primaryColor": "#1769aa",
    "fontFamily": '"Roboto", "Helvetica", "Arial", sans-serif',
    "enableJobPollIndicator": True,
    "jobsEnabled": True,
    "writeJobsEnabled": True,
    "fullSyncJobs": True,
    "jobHistoryEnabled": True,
    "scheduleEnabled": True,
    "fieldMapsEnabled": True,
    "updateFieldsOnMapping": False,
    "multipleTenantLinks": True,
    "disableSubtenantCreation": False,
    "enforceCsvUpload": False,
    "enforceFileTypes": [],
    "domain": "",
    "domainName": "",
    "company": "",
    "favicon": "",
    "bgColor": "",
    "hideText": False,
    "darkTheme": False,
    "demo": False,
    "demoMode": False,
}
_TENANT_NAMES = ("user_id", "tenant_id", "tenant")


class FlowRoutes:
    """
    One method a path.
    """

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy

    def routes(self) -> list[Route]:
        return [
            Route("/{env_id}/flows/supported", self.flows, methods=["GET"]),
            Route("/{env_id}/flows/linked", self.linked, methods=["GET"]),
            Route("/{env_id}/flows/{flow_id}/supported", self.flow, methods=["GET"]),
            Route("/{env_id}/preferences", self.preferences, methods=["GET"]),
            Route("/{env_id}/availableSources", self.available(SOURCES), methods=["GET"]),
            Route("/{env_id}/availableTargets", self.available(TARGETS), methods=["GET"]),
            Route("/v2/{env_id}/availableConnectors", self.available(CONNECTORS), methods=["GET"]),
            Route("/{env_id}/{flow_id}/supportedSources", self.supported(SOURCES), methods=["GET"]),
            Route("/{env_id}/{flow_id}/supportedTargets", self.supported(TARGETS), methods=["GET"]),
            Route("/v2/{env_id}/{flow_id}/supportedConnectors", self.supported(CONNECTORS), methods=["GET"]),
        ]

    async def flows(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        return json_reply([show_flow(flow) for flow in self._flows(guest)])

    async def flow(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        return json_reply(show_flow(self._tenancy.flows.flow(guest.workspace, guest.flow)))

    async def linked(self, request: Request) -> Response:
        """
        List the flows in which a tenant has linked anything, each with what it is.
        """
        guest = await self._tenancy.doors.enter_for(request, Scope.READ, _tenant(request))
        found: dict[str, dict[str, list[str]]] = {}
        for flow, role, connector in await self._tenancy.linking.flows_of(guest.workspace.id, guest.tenant):
            found.setdefault(flow, {}).setdefault(role, []).append(connector)
        shown = [
            {
                **show_flow(flow),
                "linkedSources": found[flow.id].get("source", []),
                "linkedTargets": found[flow.id].get("target", []),
                "linkedConnectors": found[flow.id].get("connector", []),
            }
            for flow in self._flows(guest)
            if flow.id in found
        ]
        return json_reply(shown)

    async def preferences(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        given = (guest.workspace.definition.get("settings") or {}).get("widget")
        back = {"redirectUri": f"{self._tenancy.url}/tap/auth"}
        return json_reply({**PREFERENCES, **back, **(given if isinstance(given, dict) else {})})

    def supported(self, kind: Kind) -> Any:
        """
        Make the path of what one flow offers of a kind.
        """

        async def endpoint(request: Request) -> Response:
            guest = await self._tenancy.doors.enter(request, Scope.READ)
            flow = self._tenancy.flows.flow(guest.workspace, guest.flow)
            return json_reply(self._shown(guest, linkable(flow, kind.role), kind, request))

        return endpoint

    def available(self, kind: Kind) -> Any:
        """
        Make the path of what an environment's flows offer of a kind.
        """

        async def endpoint(request: Request) -> Response:
            guest = await self._tenancy.doors.enter(request, Scope.READ)
            names = dict.fromkeys(name for flow in self._flows(guest) for name in linkable(flow, kind.role))
            return json_reply(self._shown(guest, tuple(names), kind, request))

        return endpoint

    def _shown(self, guest: Guest, names: tuple[str, ...], kind: Kind, request: Request) -> list[dict[str, Any]]:
        specs = self._tenancy.flows.connectors(guest.workspace.name)
        more = {"catalog": None} if flag_in(request.query_params, "catalog") else {}
        side: Side = "target" if kind is TARGETS else "tap"
        return [
            {kind.id: name, **show_connector(name, definition_of(specs, name, side), self._tenancy.url), **more}
            for name in names
        ]

    def _flows(self, guest: Guest) -> list[FlowDef]:
        return sorted(
            (flow for flow in self._tenancy.flows.all() if flow.workspace == guest.workspace.name),
            key=lambda flow: flow.id,
        )


def show_flow(flow: FlowDef) -> dict[str, Any]:
    """
    Show a flow as the widget reads it.

    By `type` (true: targets) and `version` (2: connectors) it decides which links it offers; calls of every kind serve every flow.
    """
    kind = offered(flow)
    return {
        "id": flow.id,
        "name": flow.name or flow.id,
        "description": flow.description,
        "type": kind == "target",
        "taps": list(flow.sources),
        "targets": list(flow.targets),
        "connectors": list(two_way(flow)),
        "version": 2 if kind == "connector" else 1,
    }


def _tenant(request: Request) -> str:
    query = request.query_params
    named = next((query[name] for name in _TENANT_NAMES if query.get(name)), "")
    if not named:
        raise InvalidError("The query parameter `user_id` is missing.", "Give the tenant's id.", field="user_id")
    return check_id(named, "user_id")
