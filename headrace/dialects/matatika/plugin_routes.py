"""
The paths of plugins: those of a workspace's project, and those that were added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Actor, Scope
from headrace.core.meltano import TYPES, plugin_of, singular
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.doors import id_of
from headrace.dialects.matatika.hal import Link, Links, hal_reply, links_of, page, paging_of, present, timestamp
from headrace.dialects.matatika.views import plugin_view
from headrace.dialects.matatika.wire import object_of
from headrace.services.field_problems import FieldProblem, refuse
from headrace.services.plugins import PluginOfWorkspace

_OURS = {
    "name": "name", "namespace": "namespace", "variant": "variant", "label": "label", "description": "description",
    "pipUrl": "pip_url", "repo": "repo", "executable": "executable", "capabilities": "capabilities",
    "settings": "settings", "commands": "commands", "select": "select", "update": "update", "vars": "vars",
}  # fmt: skip


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
        return [
            Route("/dataplugins", self.all, methods=["GET"]),
            Route(f"{here}/dataplugins", self.of_workspace, methods=["GET"]),
            Route(f"{here}/availabledataplugins", self.available, methods=["GET"]),
            Route(f"{here}/dataplugins", self.initialise, methods=["POST"]),
            Route(f"{here}/dataplugins/{{plugin_id}}", self.put, methods=["PUT"]),
            Route("/dataplugins/{plugin_id}", self.view, methods=["GET"]),
            Route("/dataplugins/{plugin_id}", self.delete, methods=["DELETE"]),
            Route("/dataplugins/{plugin_id}/workspaces/{workspace_id}/installed", self.install, methods=["PUT"]),
        ]

    async def all(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        found = [
            row for workspace in await self._desk.doors.mine(actor) for row in await self._desk.plugins.all(workspace)
        ]
        return self._listed(request, found, links_of(request).to("dataplugins"))

    async def of_workspace(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.READ)
        found = await self._desk.plugins.all(workspace)
        return self._listed(request, found, links_of(request).to("workspaces", workspace.id, "dataplugins"))

    async def available(self, request: Request) -> Response:
        """
        List what a workspace has and what it could have: the plugins of the caller's other workspaces, each name once.
        """
        actor, workspace = await self._desk.entered(request, Scope.READ)
        others = [each for each in await self._desk.doors.mine(actor) if each.id != workspace.id]
        found: dict[str, PluginOfWorkspace] = {}
        for each in (workspace, *others):
            for row in await self._desk.plugins.all(each):
                if each.id == workspace.id or not row.plugin.parent:
                    found.setdefault(row.plugin.name, row)
        here = links_of(request).to("workspaces", workspace.id, "availabledataplugins")
        return self._listed(request, sorted(found.values(), key=lambda row: row.plugin.full_name), here)

    async def initialise(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.DEFINE)
        fresh, links = self._new_id(), links_of(request)
        create = links.to("workspaces", workspace.id, "dataplugins", fresh, method="PUT")
        found = {"self": links.to("dataplugins", fresh), "create dataplugin": create}
        return hal_reply(request, {"id": str(fresh), "_links": found})

    async def put(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.DEFINE)
        plural, definition = plugin_in(object_of(await request.body()))
        found, new = await self._desk.plugins.add(workspace, id_of(request, "plugin_id"), plural, definition)
        return hal_reply(request, _shown(found, links_of(request)), HTTPStatus.CREATED if new else HTTPStatus.OK)

    async def install(self, request: Request) -> Response:
        """
        Let a workspace have a plugin of another one; one that it has already stays as it is.
        """
        actor, workspace = await self._desk.entered(request, Scope.DEFINE)
        found = await self._found(request, actor, Scope.READ)
        have = {row.plugin.name: row for row in await self._desk.plugins.all(workspace)}
        row = have.get(found.plugin.name)
        if row is None:
            definition = _OURS.values()
            body = {name: found.plugin.body[name] for name in definition if name in found.plugin.body}
            row, _ = await self._desk.plugins.add(workspace, self._new_id(), found.plugin.type, body)
        return hal_reply(request, _shown(row, links_of(request)))

    async def view(self, request: Request) -> Response:
        found = await self._found(request, await self._desk.doors.actor(request), Scope.READ)
        return hal_reply(request, _shown(found, links_of(request)))

    async def delete(self, request: Request) -> Response:
        found = await self._found(request, await self._desk.doors.actor(request), Scope.DEFINE)
        around = await self._desk.pipelines.around(await self._desk.doors.open(found.workspace_id))
        await self._desk.plugins.delete(found, around.components.values())
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _found(self, request: Request, actor: Actor, scope: Scope) -> PluginOfWorkspace:
        found = await self._desk.plugins.get(id_of(request, "plugin_id"), await self._desk.doors.all())
        await self._desk.doors.workspace(actor, found.workspace_id, scope)
        return found

    @staticmethod
    def _listed(request: Request, rows: Sequence[PluginOfWorkspace], here: Link) -> Response:
        paging, links = paging_of(request), links_of(request)
        shown = [_shown(row, links) for row in rows[paging.offset : paging.offset + paging.size]]
        return hal_reply(request, page("dataplugins", shown, len(rows), paging, here))


def _shown(row: PluginOfWorkspace, links: Links) -> dict[str, Any]:
    body = {
        "id": str(row.id),
        "created": timestamp(row.created_at),
        "lastModified": timestamp(row.updated_at),
        **plugin_view(row.plugin.type, row.plugin.body),
    }
    found = {"self": links.to("dataplugins", row.id), "workspace": links.to("workspaces", row.workspace_id)}
    if row.added:
        here = links.to("workspaces", row.workspace_id, "dataplugins", row.id, method="PUT")
        found |= {"update dataplugin": here, "delete dataplugin": links.to("dataplugins", row.id, method="DELETE")}
    return {**present(body), "_links": found}


def plugin_in(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
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
