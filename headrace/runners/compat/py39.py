"""
Give back names that the standard library lost after Python 3.9, so that older connectors can still be imported.

Loaded by a `.pth` line at every start of an environment that was built with the switch `py39`, so it stays small and never raises.
"""

import collections
import collections.abc
import inspect
from typing import Any, NamedTuple


class ArgSpec(NamedTuple):
    """What `inspect.getargspec` returned until Python 3.10."""

    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple[Any, ...] | None


def _getargspec(function: Any) -> ArgSpec:
    return ArgSpec(*inspect.getfullargspec(function)[:4])


for _name in collections.abc.__all__:
    if not hasattr(collections, _name):
        setattr(collections, _name, getattr(collections.abc, _name))

if not hasattr(inspect, "getargspec"):
    setattr(inspect, "getargspec", _getargspec)  # noqa: B010 - the type stubs rightly know no such name
