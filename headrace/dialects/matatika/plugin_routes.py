"""
The paths of plugins: those of a workspace's project, those that were added, and the index by which `meltano add` finds both.

The index has the form of Meltano's own hub, tried with Meltano 4.4: `logo_url` must be there, `ref` leads to the definition.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import NotFoundError
from headrace.core.meltano import TYPES, Plugin, plugin_of, singular
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.doors import id_of
from headrace.dialects.matatika.hal import Links, hal_reply, links_of, page, paging_of, present, timestamp
from headrace.dialects.matatika.views import plugin_view
from headrace.dialects.matatika.wire import object_of
from headrace.services.field_problems import FieldProblem, refuse
from headrace.services.shelf import Resource

_OURS = {
    "name": "name", "namespace": "namespace", "variant": "variant", "label": "label", "description": "description",
    "pipUrl": "pip_url", "repo": "repo", "executable": "executable", "capabilities": "capabilities",
    "settings": "settings", "commands": "commands", "select": "select", "update": "update", "vars": "vars",
}  # fmt: skip
_NO_VARIANT = "default"


class PluginRoutes:
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
            )
        ]
        return [
            Route("/dataplugins", self.all, methods=["GET"]),
            Route(f"{here}/dataplugins", self.of_workspace, methods=["GET"]),
            Route(f"{here}/availabledataplugins", self.of_workspace, methods=["GET"]),
            Route(f"{here}/dataplugins", self.initialise, methods=["POST"]),
            Route(f"{here}/dataplugins/{{plugin_id}}", self.put, methods=["PUT"]),
            Route("/dataplugins/{plugin_id}", self.view, methods=["GET"]),
            Route("/dataplugins/{plugin_id}", self.delete, methods=["DELETE"]),
            *hub,
        ]

    async def all(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        links = links_of(request)
        rows = [
            row
            for workspace in await self._desk.doors.mine(actor)
            for row in await self._desk.shelf.all("plugin", workspace.id)
        ]
        paging = paging_of(request)
        shown = [self._shown(row, links) for row in rows[paging.offset : paging.offset + paging.size]]
        return hal_reply(request, page("dataplugins", shown, len(rows), paging, links.to("dataplugins")))

    async def of_workspace(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.READ)
        paging, links = paging_of(request), links_of(request)
        around = await self._desk.pipelines.around(workspace)
        added = {row.name: row for row in await self._desk.shelf.all("plugin", workspace.id)}
        plugins = sorted(around.plugins.values(), key=lambda each: each.full_name)
        shown = [
            self._shown(added[each.name], links) if each.name in added else plugin_view(each.type, each.body)
            for each in plugins[paging.offset : paging.offset + paging.size]
        ]
        here = links.to("workspaces", workspace.id, "dataplugins")
        return hal_reply(request, page("dataplugins", shown, len(plugins), paging, here))

    async def initialise(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.DEFINE)
        fresh, links = self._new_id(), links_of(request)
        create = links.to("workspaces", workspace.id, "dataplugins", fresh, method="PUT")
        found = {"self": links.to("dataplugins", fresh), "create dataplugin": create}
        return hal_reply(request, {"id": str(fresh), "_links": found})

    async def put(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.DEFINE)
        plural, definition = _plugin_in(object_of(await request.body()))
        row, new = await self._desk.shelf.put(
            "plugin",
            id_of(request, "plugin_id"),
            workspace_id=workspace.id,
            name=definition["name"],
            body={"pluginType": plural, "definition": definition},
        )
        shown = self._shown(row, links_of(request))
        return hal_reply(request, shown, HTTPStatus.CREATED if new else HTTPStatus.OK)

    async def view(self, request: Request) -> Response:
        return hal_reply(request, self._shown(await self._row(request, Scope.READ), links_of(request)))

    async def delete(self, request: Request) -> Response:
        row = await self._row(request, Scope.DEFINE)
        await self._desk.shelf.delete("plugin", row.id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

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
        if "workspace_id" in request.path_params:
            workspaces = [(await self._desk.entered(request, Scope.READ))[1]]
        else:
            workspaces = await self._desk.doors.mine(await self._desk.doors.actor(request))
        found: dict[str, Plugin] = {}
        for workspace in workspaces:
            for plugin in (await self._desk.pipelines.around(workspace)).plugins.values():
                if plugin.type == plural and plugin.pip_url and not plugin.parent:
                    found.setdefault(plugin.name, plugin)
        return list(found.values())

    async def _row(self, request: Request, scope: Scope) -> Resource:
        actor = await self._desk.doors.actor(request)
        row = await self._desk.shelf.get("plugin", id_of(request, "plugin_id"))
        assert row.workspace_id is not None  # noqa: S101 - written with one
        await self._desk.doors.workspace(actor, row.workspace_id, scope)
        return row

    @staticmethod
    def _shown(row: Resource, links: Links) -> dict[str, Any]:
        body = {
            "id": row.id,
            "created": timestamp(row.created_at),
            "lastModified": timestamp(row.updated_at),
            **plugin_view(row.body["pluginType"], row.body["definition"]),
        }
        found = {
            "self": links.to("dataplugins", row.id),
            "delete dataplugin": links.to("dataplugins", row.id, method="DELETE"),
        }
        return {**present(body), "_links": found}


def _plugin_in(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """
    Read a plugin; its type may be singular or plural, in any case.

    Raises:
        FieldsError: the type is none, or there is no name.
        DefinitionError: a part of it has not the form that Meltano wants.
    """
    word = str(body.get("pluginType", "")).lower()
    plural = next((each for each in TYPES if word in (each, singular(each))), "")
    definition = {ours: body[theirs] for theirs, ours in _OURS.items() if body.get(theirs) is not None}
    problems = []
    if not plural:
        problems.append(FieldProblem("pluginType", body.get("pluginType"), f"must be one of {', '.join(TYPES)}"))
    if not isinstance(definition.get("name"), str) or not definition["name"]:
        problems.append(FieldProblem("name", body.get("name"), "must not be blank", "NotBlank"))
    refuse("dataplugin", problems)
    plugin_of(plural, definition)
    return plural, definition
