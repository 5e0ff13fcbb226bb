"""
The paths of profiles. A profile is the holder of a key; its id is opaque, as the product's own are.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Actor, Scope
from headrace.core.errors import ForbiddenError
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.hal import Links, hal_reply, links_of
from headrace.dialects.matatika.run import profile_of
from headrace.dialects.matatika.wire import object_of

_FIELDS = ("name", "phone", "email")


class ProfileRoutes:
    """
    One method a path; everybody sees their own alone.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        one = "/profiles/{profile_id}"
        return [
            Route("/profiles", self.profiles, methods=["GET"]),
            Route(one, self.profile, methods=["GET"]),
            Route(one, self.put, methods=["PUT", "PATCH"]),
            Route(f"{one}/login", self.profile, methods=["POST"]),
        ]

    async def profiles(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        links = links_of(request)
        shown = await self._profile(actor, links)
        return hal_reply(request, {"_embedded": {"profiles": [shown]}, "_links": {"self": links.to("profiles")}})

    async def profile(self, request: Request) -> Response:
        actor = await self._me(request)
        return hal_reply(request, await self._profile(actor, links_of(request)))

    async def put(self, request: Request) -> Response:
        actor = await self._me(request)
        sent = object_of(await request.body())
        values = {name: str(sent[name]) for name in _FIELDS if isinstance(sent.get(name), str)}
        default = sent.get("defaultWorkspace")
        if isinstance(default, dict) and default.get("id"):
            workspace = await self._desk.doors.workspace(actor, str(default["id"]), Scope.READ)
            values["defaultWorkspace"] = str(workspace.id)
        await keep_profile(self._desk, actor, values)
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


async def keep_profile(desk: Desk, actor: Actor, values: dict[str, str]) -> None:
    """
    Lay values over what is kept of somebody's profile.
    """
    profile_id = profile_of(actor)["id"]
    kept = await desk.shelf.find("profile", profile_id)
    body = {**(kept.body if kept else {}), **values}
    await desk.shelf.put("profile", profile_id, workspace_id=None, name=profile_id, body=body)


async def default_workspace(desk: Desk, actor: Actor) -> str:
    """
    Give the id of somebody's default workspace; empty for none.
    """
    kept = await desk.shelf.find("profile", profile_of(actor)["id"])
    return str(kept.body.get("defaultWorkspace", "")) if kept else ""
