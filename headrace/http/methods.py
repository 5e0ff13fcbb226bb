"""
One route for each path, whatever its methods: only so can a 405 say in `Allow` which of them there are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Endpoint = Callable[[Request], Awaitable[Response]]


def one_route_a_path(routes: Iterable[Route]) -> list[Route]:
    """
    Join routes of the same path, at the place of the first; of two for one method the first counts.
    """
    found: dict[str, dict[str, Endpoint]] = {}
    for route in routes:
        endpoints = found.setdefault(route.path, {})
        for method in route.methods or ():
            endpoints.setdefault(method, route.endpoint)
    return [Route(path, _by_method(endpoints), methods=list(endpoints)) for path, endpoints in found.items()]


def _by_method(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    async def ask(request: Request) -> Response:
        return await endpoints[request.method](request)

    return ask
