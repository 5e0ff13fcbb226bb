"""
The paths of workspaces.

One that a caller makes lives in the database, beside those of headrace.yml; that file owns its own, so those are not deleted here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Actor, Scope
from headrace.core.errors import ForbiddenError, NotFoundError
from headrace.core.state import JobState
from headrace.dialects.matatika.deploy import Deployments
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.doors import id_of
from headrace.dialects.matatika.hal import hal_reply, links_of, page, paging_of
from headrace.dialects.matatika.members import ADMINISTRATORS, members_of
from headrace.dialects.matatika.profile_routes import default_workspace, keep_profile
from headrace.dialects.matatika.views import workspace_view
from headrace.dialects.matatika.wire import object_of
from headrace.dialects.matatika.workspace_wire import WorkspaceFields, fields_of, workspace_in
from headrace.services.field_problems import FieldProblem, refuse
from headrace.services.surroundings import Workspace

_ENDED_WITHOUT = frozenset({JobState.FAILED, JobState.CANCELLED})


class WorkspaceRoutes:
    """
    One method a path.

    Args:
        new_id: makes a version 4 UUID.
    """

    def __init__(self, desk: Desk, deployments: Deployments, *, new_id: Callable[[], UUID]) -> None:
        self._desk = desk
        self._deployments = deployments
        self._new_id = new_id

    def routes(self) -> list[Route]:
        one = "/workspaces/{workspace_id}"
        return [
            Route("/workspaces", self.list, methods=["GET"]),
            Route("/workspaces", self.initialise, methods=["POST"]),
            Route(one, self.view, methods=["GET"]),
            Route(one, self.put, methods=["PUT"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/default", self.make_default, methods=["PUT"]),
            Route(f"{one}/members", self.members, methods=["GET"]),
            Route(f"{one}/administrators", self.administrators, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        mine = await self._desk.doors.mine(actor)
        paging, links = paging_of(request), links_of(request)
        part = mine[paging.offset : paging.offset + paging.size]
        more = {"new workspace": links.to("workspaces", method="POST")}
        shown = await self._shown(request, actor, part)
        return hal_reply(request, page("workspaces", shown, len(mine), paging, links.to("workspaces"), more))

    async def initialise(self, request: Request) -> Response:
        await self._founder(request)
        fresh, links = self._new_id(), links_of(request)
        create = links.to("workspaces", fresh, method="PUT")
        found = {"self": links.to("workspaces", fresh), "create workspace": create}
        return hal_reply(request, {"id": str(fresh), "_links": found})

    async def view(self, request: Request) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.READ)
        return hal_reply(request, (await self._shown(request, actor, [workspace]))[0])

    async def put(self, request: Request) -> Response:
        """
        Change a workspace, or make the one that nobody has the id of.
        """
        try:
            actor, workspace = await self._desk.entered(request, Scope.DEFINE)
        except NotFoundError:
            return await self._create(request)
        before = fields_of(await self._desk.shelf.find("workspace", workspace.id))
        await self._keep(workspace, await self._sent(request, before))
        if not self._desk.workspaces.is_declared(workspace):
            await self._deployments.initialise(workspace, by=actor)
        return hal_reply(request, (await self._shown(request, actor, [workspace]))[0])

    async def delete(self, request: Request) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.DEFINE)
        actor.require(Scope.KEYS)
        await self._desk.workspaces.delete(workspace)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def make_default(self, request: Request) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.READ)
        await keep_profile(self._desk, actor, {"defaultWorkspace": str(workspace.id)})
        return hal_reply(request, (await self._shown(request, actor, [workspace]))[0])

    async def members(self, request: Request) -> Response:
        return await self._holders(request, "members", None)

    async def administrators(self, request: Request) -> Response:
        return await self._holders(request, "administrators", ADMINISTRATORS)

    async def _holders(self, request: Request, relation: str, roles: Collection[str] | None) -> Response:
        _, workspace = await self._desk.entered(request, Scope.READ)
        holders = await members_of(self._desk, workspace.id, roles)
        here = links_of(request).to("workspaces", workspace.id, relation)
        embedded = {"_embedded": {relation: holders}} if holders else {}
        return hal_reply(request, {**embedded, "_links": {"self": here}})

    async def _create(self, request: Request) -> Response:
        actor, workspace_id = await self._founder(request), id_of(request, "workspace_id")
        fields = await self._sent(request, WorkspaceFields())
        title = str(fields.public.get("name", ""))
        if not title:
            refuse("workspace", [FieldProblem("name", None, "must not be blank", "NotBlank")])
        new = await self._desk.workspaces.create(workspace_id, title)
        workspace = await self._desk.doors.open(workspace_id)
        await self._keep(workspace, fields)
        await self._deployments.initialise(workspace, by=actor)
        shown = (await self._shown(request, actor, [workspace]))[0]
        return hal_reply(request, shown, HTTPStatus.CREATED if new else HTTPStatus.OK)

    async def _founder(self, request: Request) -> Actor:
        """
        Let in who may make workspaces: whoever defines things in all of them.
        """
        actor = await self._desk.doors.actor(request)
        actor.require(Scope.DEFINE)
        if actor.workspace_id is not None:
            raise ForbiddenError(
                "This key opens one workspace and makes no others.", "Use a key that opens every workspace."
            )
        return actor

    async def _sent(self, request: Request, before: WorkspaceFields) -> WorkspaceFields:
        return workspace_in(object_of(await request.body()), before, schemes=self._desk.git_schemes)

    async def _keep(self, workspace: Workspace, fields: WorkspaceFields) -> None:
        await self._desk.shelf.put(
            "workspace",
            workspace.id,
            workspace_id=workspace.id,
            name=workspace.name,
            body=fields.public,
            secret=fields.secret,
        )

    async def _shown(self, request: Request, actor: Actor, workspaces: Sequence[Workspace]) -> Sequence[dict[str, Any]]:
        links, default = links_of(request), await default_workspace(self._desk, actor)
        inits = await self._desk.workspaces.init_jobs()
        states = await self._desk.runs.states(list(inits.values()))
        shown = []
        for each in workspaces:
            fields = fields_of(await self._desk.shelf.find("workspace", each.id))
            init = inits.get(each.id)
            shown.append(
                workspace_view(
                    each,
                    links,
                    secrets=actor.may(Scope.DEFINE),
                    default=default == str(each.id),
                    body=fields.shown,
                    status=_status(init is not None, states.get(init) if init else None),
                )
            )
        return shown


def _status(to_make: bool, job: JobState | None) -> str:
    """
    Say how far a workspace is whose project is *to_make*; a job that completed is about to be applied.
    """
    if not to_make:
        return "READY"
    return "FAILED" if job is None or job in _ENDED_WITHOUT else "PROVISIONING"
