"""
The paths of workspaces and profiles. A profile is the holder of a key; its id is opaque, as the product's own are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Actor, Scope
from headrace.core.errors import ForbiddenError
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.hal import Links, hal_reply, links_of, page, paging_of
from headrace.dialects.matatika.run import profile_of
from headrace.dialects.matatika.views import SECRET_FIELDS, workspace_view
from headrace.dialects.matatika.wire import object_of
from headrace.services.surroundings import Workspace

_SET_OVER_API = (
    "alias", "name", "domains", "repositoryUrl", "repositoryBranch", "repositoryDirectory", "githubInstallationId",
    "deploymentSecret", "sshPrivateKey", "defaultEnvironment", "pipelinesImage", "imageUrl", "appProperties",
)  # fmt: skip
_PROFILE_FIELDS = ("name", "phone", "email")


class WorkspaceRoutes:
    """
    One method a path.

    Args:
        new_id: makes a version 4 UUID.
    """

    def __init__(self, desk: Desk, *, new_id: Callable[[], UUID]) -> None:
        self._desk = desk
        self._new_id = new_id

    def routes(self) -> list[Route]:
        one, profile = "/workspaces/{workspace_id}", "/profiles/{profile_id}"
        return [
            Route("/workspaces", self.list, methods=["GET"]),
            Route(one, self.view, methods=["GET"]),
            Route(one, self.update, methods=["PUT"]),
            Route(f"{one}/default", self.make_default, methods=["PUT"]),
            Route(f"{one}/members", self.members, methods=["GET"]),
            Route("/profiles", self.profiles, methods=["GET"]),
            Route(profile, self.profile, methods=["GET"]),
            Route(profile, self.put_profile, methods=["PUT", "PATCH"]),
            Route(f"{profile}/login", self.profile, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        mine = await self._desk.doors.mine(actor)
        paging, links = paging_of(request), links_of(request)
        default = await self._default(actor)
        shown = [
            await self._shown(each, actor, links, default) for each in mine[paging.offset : paging.offset + paging.size]
        ]
        return hal_reply(request, page("workspaces", shown, len(mine), paging, links.to("workspaces")))

    async def view(self, request: Request) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.READ)
        return hal_reply(request, await self._shown(workspace, actor, links_of(request), await self._default(actor)))

    async def update(self, request: Request) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.DEFINE)
        sent = object_of(await request.body())
        kept = await self._desk.shelf.find("workspace", workspace.id)
        values = {**_values(kept), **{name: sent[name] for name in _SET_OVER_API if name in sent}}
        await self._desk.shelf.put(
            "workspace",
            workspace.id,
            workspace_id=workspace.id,
            name=workspace.name,
            body={name: value for name, value in values.items() if name not in SECRET_FIELDS},
            secret={name: value for name, value in values.items() if name in SECRET_FIELDS},
        )
        return hal_reply(request, await self._shown(workspace, actor, links_of(request), await self._default(actor)))

    async def make_default(self, request: Request) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.READ)
        await self._keep_profile(actor, {"defaultWorkspace": str(workspace.id)})
        return hal_reply(request, await self._shown(workspace, actor, links_of(request), str(workspace.id)))

    async def members(self, request: Request) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.READ)
        links = links_of(request)
        body = {"_embedded": {"members": [profile_of(actor)]}}
        return hal_reply(request, {**body, "_links": {"self": links.to("workspaces", workspace.id, "members")}})

    async def profiles(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        links = links_of(request)
        shown = await self._profile(actor, links)
        return hal_reply(request, {"_embedded": {"profiles": [shown]}, "_links": {"self": links.to("profiles")}})

    async def profile(self, request: Request) -> Response:
        actor = await self._me(request)
        return hal_reply(request, await self._profile(actor, links_of(request)))

    async def put_profile(self, request: Request) -> Response:
        actor = await self._me(request)
        sent = object_of(await request.body())
        values = {name: str(sent[name]) for name in _PROFILE_FIELDS if isinstance(sent.get(name), str)}
        default = sent.get("defaultWorkspace")
        if isinstance(default, dict) and default.get("id"):
            workspace = await self._desk.doors.workspace(actor, str(default["id"]), Scope.READ)
            values["defaultWorkspace"] = str(workspace.id)
        await self._keep_profile(actor, values)
        return hal_reply(request, await self._profile(actor, links_of(request)))

    async def _me(self, request: Request) -> Actor:
        actor = await self._desk.doors.actor(request)
        if request.path_params["profile_id"] != profile_of(actor)["id"]:
            raise ForbiddenError("A profile is its holder's own.", "Ask for the one that /profiles gives.")
        return actor

    async def _profile(self, actor: Actor, links: Links) -> dict[str, Any]:
        kept = await self._desk.shelf.find("profile", profile_of(actor)["id"])
        values = dict(kept.body) if kept else {}
        default = values.pop("defaultWorkspace", None)
        here = links.to("profiles", profile_of(actor)["id"])
        return {
            **profile_of(actor),
            **values,
            **({"defaultWorkspace": {"id": default}} if default else {}),
            "_links": {
                "self": links.to("profiles"),
                "update edit profile": here,
                "workspaces": links.to("workspaces"),
                "new workspace": links.to("workspaces", method="POST"),
            },
        }

    async def _keep_profile(self, actor: Actor, values: dict[str, str]) -> None:
        profile_id = profile_of(actor)["id"]
        kept = await self._desk.shelf.find("profile", profile_id)
        body = {**(kept.body if kept else {}), **values}
        await self._desk.shelf.put("profile", profile_id, workspace_id=None, name=profile_id, body=body)

    async def _default(self, actor: Actor) -> str:
        kept = await self._desk.shelf.find("profile", profile_of(actor)["id"])
        return str(kept.body.get("defaultWorkspace", "")) if kept else ""

    async def _shown(self, workspace: Workspace, actor: Actor, links: Links, default: str) -> dict[str, Any]:
        kept = await self._desk.shelf.find("workspace", workspace.id)
        return workspace_view(
            workspace,
            links,
            secrets=actor.may(Scope.DEFINE),
            default=default == str(workspace.id),
            body=_values(kept),
        )


def _values(kept: Any) -> dict[str, Any]:
    return {**kept.body, **kept.secret} if kept else {}
