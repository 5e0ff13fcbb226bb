"""
The paths of data components and data stores: the same things, a store being the component of a loader.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Actor, Scope
from headrace.core.errors import ConflictError, NotFoundError
from headrace.core.pipelines import Component
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.doors import id_of
from headrace.dialects.matatika.hal import hal_reply, links_of, page, paging_of
from headrace.dialects.matatika.views import component_view
from headrace.dialects.matatika.wire import component_in, object_of
from headrace.services.field_problems import FieldProblem, refuse
from headrace.services.surroundings import Surroundings


class ComponentRoutes:
    """
    One method a path; *store* says which of the two relations was asked.

    Args:
        new_id: makes a version 4 UUID.
    """

    def __init__(self, desk: Desk, *, new_id: Callable[[], UUID]) -> None:
        self._desk = desk
        self._new_id = new_id

    def routes(self) -> list[Route]:
        return [
            *self._both("datacomponents", store=False),
            *self._both("datastores", store=True),
            Route("/datastores/{component_id}/default", self.make_default, methods=["PUT"]),
        ]

    def _both(self, relation: str, *, store: bool) -> list[Route]:
        here, one = f"/workspaces/{{workspace_id}}/{relation}", f"/{relation}/{{component_id}}"
        return [
            Route(here, partial(self.list, store=store), methods=["GET"]),
            Route(here, partial(self.initialise, store=store), methods=["POST"]),
            Route(f"{here}/{{component_id}}", partial(self.put, store=store), methods=["PUT"]),
            Route(one, partial(self.view, store=store), methods=["GET"]),
            Route(one, partial(self.update, store=store), methods=["PUT"]),
            Route(one, self.delete, methods=["DELETE"]),
        ]

    async def list(self, request: Request, *, store: bool) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.READ)
        paging, links = paging_of(request), links_of(request)
        found, total = await self._desk.components.page(
            workspace.id, offset=paging.offset, limit=paging.size, sort=paging.sort, stores=store
        )
        around = await self._desk.pipelines.around(workspace)
        relation = "datastores" if store else "datacomponents"
        secrets = actor.may(Scope.SECRETS)
        shown = [component_view(each, around, links, secrets=secrets, store=store) for each in found]
        return hal_reply(request, page(relation, shown, total, paging, links.to("workspaces", workspace.id, relation)))

    async def initialise(self, request: Request, *, store: bool) -> Response:
        _, workspace = await self._desk.entered(request, Scope.DEFINE)
        around = await self._desk.pipelines.around(workspace)
        fresh = Component(id=self._new_id(), workspace_id=workspace.id, name="", plugin="", draft=True)
        body = component_view(fresh, around, links_of(request), secrets=True, new=True, store=store)
        return hal_reply(request, body)

    async def view(self, request: Request, *, store: bool) -> Response:
        actor, component, around = await self._component(request, Scope.READ)
        secrets = actor.may(Scope.SECRETS)
        return hal_reply(request, component_view(component, around, links_of(request), secrets=secrets, store=store))

    async def put(self, request: Request, *, store: bool) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.DEFINE)
        try:
            before = await self._desk.components.get(id_of(request, "component_id"))
        except NotFoundError:
            before = None
        around = await self._desk.pipelines.around(workspace)
        mine = before if before and before.workspace_id == workspace.id else None
        return await self._write(request, actor, around, id_of(request, "component_id"), mine, store=store)

    async def update(self, request: Request, *, store: bool) -> Response:
        actor, component, around = await self._component(request, Scope.DEFINE)
        return await self._write(request, actor, around, component.id, component, store=store)

    async def delete(self, request: Request) -> Response:
        _, component, around = await self._component(request, Scope.DEFINE)
        await self._desk.components.delete(component, around.pipelines.values())
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def make_default(self, request: Request) -> Response:
        _, component, around = await self._component(request, Scope.DEFINE)
        if component.type != "loaders":
            raise ConflictError(f"{component.name} is no data store.", "Choose the component of a loader.")
        await self._desk.components.make_default(around, component)
        return Response(status_code=HTTPStatus.OK)

    async def _write(
        self,
        request: Request,
        actor: Actor,
        around: Surroundings,
        component_id: UUID,
        before: Component | None,
        *,
        store: bool,
    ) -> Response:
        sent = component_in(
            object_of(await request.body()), id=component_id, workspace_id=around.workspace.id, before=before
        )
        if store and sent.type != "loaders":
            refuse("datastore", [FieldProblem("dataPlugin", sent.plugin, "must be a loader, such as loaders/target-x")])
        component, new = await self._desk.components.put(around, sent)
        body = component_view(component, around, links_of(request), secrets=actor.may(Scope.SECRETS), store=store)
        return hal_reply(request, body, HTTPStatus.CREATED if new else HTTPStatus.OK)

    async def _component(self, request: Request, scope: Scope) -> tuple[Actor, Component, Surroundings]:
        actor = await self._desk.doors.actor(request)
        component = await self._desk.components.get(id_of(request, "component_id"))
        workspace = await self._desk.doors.workspace(actor, component.workspace_id, scope)
        return actor, component, await self._desk.pipelines.around(workspace)
