"""
One application out of all wires.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.routing import BaseRoute, Mount, Router
from starlette.types import ASGIApp

from headrace.core.errors import InvalidError
from headrace.http.errors import ErrorEdge, Reply
from headrace.http.health import Metrics, health_routes
from headrace.http.middleware import BodyLimit, Measured, Named, SafePath
from headrace.http.services_bundle import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """
    One API under one prefix.

    Attributes:
        app: what reads and answers; may raise any error, `reply` gives it the wire's shape.
        outside: layers that have to see refused requests too, such as CORS.
    """

    name: str
    prefix: str
    app: ASGIApp
    reply: Reply
    outside: Callable[[ASGIApp], ASGIApp] = lambda app: app


def create_app(
    services: Services,
    *,
    wires: Sequence[Wire],
    body_limit_bytes: int,
    root_dialect: str = "",
    pages: Sequence[BaseRoute] = (),
    monotonic: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """
    Mount every wire under its prefix, the one named *root_dialect* also at the root; health, metrics and *pages* beside them.
    """
    metrics = Metrics()
    guarded = {wire.name: _guard(wire, metrics, body_limit_bytes, monotonic) for wire in wires}
    # Routes are tried in their order, and the wires are asked most.
    routes: list[BaseRoute] = [Mount(wire.prefix, app=guarded[wire.name]) for wire in wires]
    routes += [*health_routes(services, metrics), *pages]
    if root_dialect:
        routes.append(Mount("/", app=guarded[root_dialect]))
    return SafePath(Router(routes, redirect_slashes=False), refuse=partial(_refuse, wires, root_dialect))


def _refuse(wires: Sequence[Wire], root_dialect: str, path: str, error: InvalidError) -> ASGIApp:
    under = [wire for wire in wires if path.startswith(f"{wire.prefix}/")]
    at_root = [wire for wire in wires if wire.name == root_dialect]
    return Named((under or at_root or list(wires))[0].reply(error))


def _guard(wire: Wire, metrics: Metrics, body_limit_bytes: int, monotonic: Callable[[], float]) -> ASGIApp:
    outside = wire.outside(ErrorEdge(BodyLimit(wire.app, body_limit_bytes), wire.reply))
    return Named(Measured(outside, metrics.durations, wire.name, monotonic))
