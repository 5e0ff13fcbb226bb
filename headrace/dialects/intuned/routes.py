"""
Intuned's wire as a whole.
"""

from __future__ import annotations

from starlette.routing import Router

from headrace.dialects.intuned.compile import DIALECT
from headrace.dialects.intuned.errors import intuned_reply
from headrace.dialects.intuned.job_routes import JobRoutes
from headrace.dialects.intuned.neighbour_routes import NeighbourRoutes
from headrace.dialects.intuned.places import IntunedServices
from headrace.dialects.intuned.result_routes import ResultRoutes
from headrace.dialects.intuned.run_routes import RunRoutes
from headrace.dialects.intuned.session_routes import SessionRoutes
from headrace.http.methods import one_route_a_path
from headrace.http.server import Wire

PREFIX = "/intuned/api/v1/workspace"


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
    router = Router(one_route_a_path(route for room in rooms for route in room.routes()), redirect_slashes=False)
    return Wire(name=DIALECT, prefix=PREFIX, app=router, reply=intuned_reply)
