"""
Functions that say themselves when a browser is needed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Awaitable[Any]])
EnsureBrowser = Callable[[], Awaitable[tuple[Any, Any]]]
"""Starts the browser if it is not up yet, and gives `(context, page)`."""

_MARK = "__headrace_deferred_browser__"


def deferred_browser(function: Function) -> Function:
    """
    Call *function* without a page; it gets the keyword `ensure_browser`, an `EnsureBrowser`, instead.
    """
    setattr(function, _MARK, True)
    return function


def is_deferred(function: Callable[..., Any]) -> bool:
    return bool(getattr(function, _MARK, False))
