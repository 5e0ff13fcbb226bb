"""
Waiting out a database that is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from headrace.core.errors import RetriableError

log = structlog.get_logger(__name__)

_WRITE_AGAIN_SECONDS = 1.0

T = TypeVar("T")


async def lasting(write: Callable[[], Awaitable[T]]) -> T:
    """
    Write something that must not be lost: again and again while the database is away.

    A worker that is cut off for too long is ended by its watchdog, so this does not wait for ever.
    """
    told = False
    while True:
        try:
            return await write()
        except RetriableError as error:
            if not told:
                log.warning("waiting for the database", reason=error.reason)
            told = True
            await asyncio.sleep(_WRITE_AGAIN_SECONDS)
