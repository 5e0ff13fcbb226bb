"""
Every call that an application answers, read off the application itself: what tests go over route by route.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.routing import Mount

Call = tuple[str, str]
"""Method and path pattern."""


def calls_of(app: Any, prefix: str = "") -> Iterator[Call]:
    """
    Give every method and path below *app*, whatever layers lie around its routers.
    """
    if isinstance(app, FastAPI):  # its routes are nested in a form of its own; its document lists them all
        for path, methods in app.openapi()["paths"].items():
            yield from ((method.upper(), prefix + path) for method in methods)
        return
    routes = getattr(app, "routes", None)
    if routes is None:
        inner = getattr(app, "app", None) or getattr(app, "_app", None)
        assert inner is not None, f"no way into {app!r}"
        yield from calls_of(inner, prefix)
        return
    for route in routes:
        if isinstance(route, Mount):
            yield from calls_of(route.app, prefix + route.path)
        else:
            yield from ((method, prefix + route.path) for method in sorted(set(route.methods) - {"HEAD", "OPTIONS"}))


def filled(call: Call, values: Mapping[str, str]) -> str:
    """
    Fill the parameters of a path.

    A parameter without a value fails the test that asks, and says what to add: a new route has to be looked at.
    """
    method, pattern = call
    names = re.findall(r"\{(\w+)(?::\w+)?\}", pattern)
    missing = [name for name in names if name not in values]
    assert not missing, f"no case for {method} {pattern}: give its parameters {missing} values in the test's table"
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: values[found[1]], pattern)
