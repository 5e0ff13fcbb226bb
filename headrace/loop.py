"""
Start and stop of any background duty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from headrace.core.errors import RetriableError

log = structlog.get_logger(__name__)


async def every(seconds: float, tick: Callable[[], Awaitable[object]], *, name: str) -> None:
    """
    Call *tick* again and again, *seconds* after it has returned, until cancelled.

    A duty outlives its failures: an unreachable store is waited for, anything else is logged with its trace.
    """
    ailing = False
    while True:
        try:
            await tick()
            if ailing:
                log.info("duty works again", duty=name)
            ailing = False
        except RetriableError as error:
            if not ailing:
                log.warning("duty waits", duty=name, reason=error.reason)
            ailing = True
        except Exception:  # the edge of every duty: one bad tick must not end it
            log.exception("duty failed", duty=name)
        await asyncio.sleep(seconds)
