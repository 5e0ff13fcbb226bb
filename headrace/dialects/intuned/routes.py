"""
Intuned's wire as a whole.
"""

from __future__ import annotations

from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace.core.errors import HeadraceError
from headrace.dialects.intuned.compile import DIALECT
from headrace.dialects.intuned.errors import intuned_reply
from headrace.dialects.intuned.job_routes import JobRoutes
from headrace.dialects.intuned.neighbour_routes import NeighbourRoutes
from headrace.dialects.intuned.places import IntunedServices
from headrace.dialects.intuned.result_routes import ResultRoutes
from headrace.dialects.intuned.run_routes import RunRoutes
from headrace.dialects.intuned.session_routes import SessionRoutes
from headrace.http.middleware import REQUEST_ID
from headrace.http.server import Wire

PREFIX = "/intuned/api/v1/workspace"


class _Correlated:
    """Put the request's id into what is raised, for the field `correlationId` of every error body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except HeadraceError as error:
            error.facts.setdefault("request_id", scope.get(REQUEST_ID, ""))
            raise


def intuned_wire(services: IntunedServices) -> Wire:
    """
    Make the wire, to be mounted under the base URL of the published clients.
    """
    rooms = (
        JobRoutes(services),
        ResultRoutes(services),
        RunRoutes(services),
        SessionRoutes(services),
        NeighbourRoutes(services),
    )
    routes = [route for room in rooms for route in room.routes()]
    router = Router(routes, redirect_slashes=False)
    return Wire(name=DIALECT, prefix=PREFIX, app=_Correlated(router), reply=intuned_reply)
