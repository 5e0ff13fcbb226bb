"""
Routes of the wires that are no FastAPI applications.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]


class Direct:
    """
    A handler of requests as an application.

    The framework's own way to make one of it puts two more layers around each call, which look for handlers of exceptions; what a wire
    raises goes to its `ErrorEdge`.
    """

    __slots__ = ("ask",)

    def __init__(self, ask: Endpoint) -> None:
        self.ask = ask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.ask(Request(scope, receive, send))
        await response(scope, receive, send)


def direct(route: Route) -> Route:
    """
    Have a route's endpoint called without the framework's detour.
    """
    return Route(route.path, Direct(route.endpoint), methods=sorted(route.methods or ()))


def one_route_a_path(routes: Iterable[Route]) -> list[Route]:
    """
    Join routes of the same path, at the place of the first; of two for one method the first counts.

    Only so can a 405 say in `Allow` which methods there are.
    """
    found: dict[str, dict[str, Endpoint]] = {}
    for route in routes:
        endpoints = found.setdefault(route.path, {})
        for method in route.methods or ():
            endpoints.setdefault(method, route.endpoint)
    return [Route(path, Direct(_by_method(endpoints)), methods=list(endpoints)) for path, endpoints in found.items()]


def _by_method(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    async def ask(request: Request) -> Response:
        return await endpoints[request.method](request)

    return ask
