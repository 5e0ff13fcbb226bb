"""
The paths by which Meltano finds plugins: the index that `meltano add` asks, and the older discovery file.

The index has the form of Meltano's own hub, tried with Meltano 4.4: `logo_url` must be there, `ref` leads to the definition. The discovery
file is one document with a list for each type, as Meltano read it until version 2 and as this API still takes and gives it.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from io import StringIO
from typing import Any, Final
from uuid import UUID

from ruamel.yaml import YAML
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import NotFoundError
from headrace.core.meltano import TYPES, Plugin
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.hal import hal_reply, links_of
from headrace.services.plugins import discovered
from headrace.services.surroundings import Workspace

_NO_VARIANT: Final = "default"
_NOT_TOLD: Final = frozenset({"config", "inherit_from"})
_DISCOVERY_VERSION: Final = 20


class HubRoutes:
    """
    One method a path.

    Args:
        new_id: makes a version 4 UUID.
    """

    def __init__(self, desk: Desk, *, new_id: Callable[[], UUID]) -> None:
        self._desk = desk
        self._new_id = new_id

    def routes(self) -> list[Route]:
        here = "/workspaces/{workspace_id}"
        hub = [
            route
            for prefix in ("", here)
            for route in (
                Route(f"{prefix}/plugins/{{plural}}/index", self.index, methods=["GET"]),
                Route(f"{prefix}/plugins/{{plural}}/{{name}}", self.definition, methods=["GET"]),
                Route(f"{prefix}/discovery.yml", self.discovery, methods=["GET"]),
            )
        ]
        return [
            *hub,
            Route(f"{here}/discovery", self.discovery, methods=["GET"]),
            Route(f"{here}/discovery", self.discover, methods=["POST"]),
            Route(f"{here}/discovery.yml", self.discover, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        plural = request.path_params["plural"]
        links = links_of(request)
        under = [part for part in ("workspaces", request.path_params.get("workspace_id")) if part]
        found = {
            plugin.name: {
                "logo_url": "",
                "default_variant": plugin.variant or _NO_VARIANT,
                "variants": {
                    plugin.variant or _NO_VARIANT: {
                        "ref": links.to(
                            *(under if len(under) == 2 else ()),
                            "plugins",
                            plural,
                            f"{plugin.name}--{plugin.variant or _NO_VARIANT}",
                        )["href"]
                    }
                },
            }
            for plugin in await self._plugins(request)
        }
        return hal_reply(request, found)

    async def definition(self, request: Request) -> Response:
        name = request.path_params["name"]
        for plugin in await self._plugins(request):
            if name in (plugin.name, f"{plugin.name}--{plugin.variant or _NO_VARIANT}"):
                body = {key: value for key, value in plugin.body.items() if key not in ("config", "inherit_from")}
                return hal_reply(
                    request, {"variant": plugin.variant or _NO_VARIANT, "namespace": plugin.namespace, **body}
                )
        raise NotFoundError(f"Entity not found: {name}", entity=name)

    async def _plugins(self, request: Request) -> list[Plugin]:
        """
        List the plugins of a type that are defined whole, in the workspace of the path or in all of the caller's.
        """
        plural = request.path_params["plural"]
        if plural not in TYPES:
            raise NotFoundError(f"Entity not found: {plural}", entity=plural)
        return [each for each in await self._whole(request) if each.type == plural]

    async def discovery(self, request: Request) -> Response:
        document: dict[str, Any] = {"version": _DISCOVERY_VERSION}
        for plugin in await self._whole(request):
            body = {key: value for key, value in plugin.body.items() if key not in _NOT_TOLD}
            document.setdefault(plugin.type, []).append({**body, "namespace": plugin.namespace})
        text = StringIO()
        yaml = YAML(typ="safe")
        yaml.default_flow_style = False
        yaml.dump(document, text)
        return Response(text.getvalue(), media_type="application/yaml")

    async def discover(self, request: Request) -> Response:
        """
        Add every plugin of a discovery file to the workspace, or none: one of a name that was added before is replaced.
        """
        _, workspace = await self._desk.entered(request, Scope.DEFINE)
        added = discovered(await request.body())
        known = {row.plugin.name: row.id for row in await self._desk.plugins.all(workspace) if row.added}
        for plural, definition in added:
            plugin_id = known.get(definition["name"]) or self._new_id()
            await self._desk.plugins.add(workspace, plugin_id, plural, definition)
        return Response(status_code=HTTPStatus.OK)

    async def _whole(self, request: Request) -> list[Plugin]:
        """
        List the plugins that are defined whole, each name once.
        """
        found: dict[str, Plugin] = {}
        for workspace in await self._workspaces(request):
            for row in await self._desk.plugins.all(workspace):
                if row.plugin.pip_url and not row.plugin.parent:
                    found.setdefault(row.plugin.name, row.plugin)
        return list(found.values())

    async def _workspaces(self, request: Request) -> list[Workspace]:
        if "workspace_id" in request.path_params:
            return [(await self._desk.entered(request, Scope.READ))[1]]
        return await self._desk.doors.mine(await self._desk.doors.actor(request))
