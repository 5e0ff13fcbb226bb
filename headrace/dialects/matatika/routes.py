"""
All paths of the Matatika wire, to be mounted under `/matatika`: its base address is `/matatika/api`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace.dialects.matatika.compile import DIALECT
from headrace.dialects.matatika.component_routes import ComponentRoutes
from headrace.dialects.matatika.dataset_routes import DatasetRoutes
from headrace.dialects.matatika.deploy import Deployments
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.errors import matatika_reply
from headrace.dialects.matatika.hal import hal_reply, links_of
from headrace.dialects.matatika.hub_routes import HubRoutes
from headrace.dialects.matatika.job_routes import JobRoutes
from headrace.dialects.matatika.key_routes import KeyRoutes
from headrace.dialects.matatika.notice_routes import NoticeRoutes
from headrace.dialects.matatika.pipeline_routes import PipelineRoutes
from headrace.dialects.matatika.plugin_routes import PluginRoutes
from headrace.dialects.matatika.profile_routes import ProfileRoutes
from headrace.dialects.matatika.workspace_routes import WorkspaceRoutes
from headrace.http.methods import one_route_a_path
from headrace.http.server import Wire

_TOP = ("workspaces", "profiles", "apikeys", "subscriptions", "notifications", "dataplugins", "jobs", "pipelines")
_BARE = ("jobs", "pipelines", "channels", "datasets", "alerts", "comments")


def matatika_wire(desk: Desk, deployments: Deployments, *, new_id: Callable[[], UUID]) -> Wire:
    """
    Make the wire.
    """
    routes: list[Route] = [
        *JobRoutes(desk, deployments).routes(),
        *PipelineRoutes(desk, new_id=new_id).routes(),
        *ComponentRoutes(desk, new_id=new_id).routes(),
        *PluginRoutes(desk, new_id=new_id).routes(),
        *HubRoutes(desk, new_id=new_id).routes(),
        *WorkspaceRoutes(desk, deployments, new_id=new_id).routes(),
        *ProfileRoutes(desk).routes(),
        *NoticeRoutes(desk).routes(),
        *DatasetRoutes(desk, new_id=new_id).routes(),
        *KeyRoutes(desk, new_id=new_id).routes(),
        *_root_routes(desk),
    ]
    api = Router(one_route_a_path(routes), redirect_slashes=False)
    router = Router([Mount("/api", app=api)], redirect_slashes=False)
    return Wire(name=DIALECT, prefix="/matatika", app=EitherSlash(router), reply=matatika_reply)


class EitherSlash:
    """
    Let a path with a slash at its end mean the one without: clients send both, and a redirect would cost them their body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path.endswith("/api"):
            scope = {**scope, "path": f"{path}/"}
        elif path.endswith("/") and not path.endswith("/api/"):
            scope = {**scope, "path": path.rstrip("/")}
        await self._app(scope, receive, send)


def _root_routes(desk: Desk) -> Sequence[Route]:
    async def root(request: Request) -> Response:
        await desk.doors.actor(request)
        links = links_of(request)
        return hal_reply(request, {"_links": {"self": {"href": links.base}, **{name: links.to(name) for name in _TOP}}})

    async def bare(request: Request) -> Response:
        await desk.doors.actor(request)
        name = request.scope["path"].rstrip("/").rsplit("/", 1)[-1]
        return hal_reply(request, {"_links": {"self": links_of(request).to(name)}})

    return [Route("/", root, methods=["GET"]), *(Route(f"/{name}", bare, methods=["GET"]) for name in _BARE)]
