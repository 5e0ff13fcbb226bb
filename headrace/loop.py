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
    duty = Duty(tick, name=name)
    while True:
        await duty.attend()
        await asyncio.sleep(seconds)


class Duty:
    """
    What is done once it is called for, beside whatever else goes on: a slow duty holds up no other.

    Args:
        again_seconds: between a try that failed and the next.
    """

    def __init__(self, tick: Callable[[], Awaitable[object]], *, name: str, again_seconds: float = 1.0) -> None:
        self._tick = tick
        self._name = name
        self._again_seconds = again_seconds
        self._called = asyncio.Event()
        self._ailing = False

    def call(self) -> None:
        """
        Have it done soon; many calls before it begins are one.
        """
        self._called.set()

    async def run(self) -> None:
        """
        Do it whenever it is called for, and again after it has failed, until cancelled.
        """
        while True:
            await self._called.wait()
            self._called.clear()
            if not await self.attend():
                self._called.set()
                await asyncio.sleep(self._again_seconds)

    async def attend(self) -> bool:
        """
        Do it now; tells whether that went well. An unreachable store is no defect, anything else is logged with its trace.
        """
        try:
            await self._tick()
        except RetriableError as error:
            if not self._ailing:
                log.warning("duty waits", duty=self._name, reason=error.reason)
            self._ailing = True
        except Exception:  # the edge of every duty: one bad tick must not end it
            log.exception("duty failed", duty=self._name)
        else:
            if self._ailing:
                log.info("duty works again", duty=self._name)
            self._ailing = False
            return True
        return False
