"""
Riding out times when the database does not answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

import procrastinate.exceptions
import psycopg
import psycopg_pool

T = TypeVar("T")

LONGEST_PAUSE_SECONDS: Final = 1.0
UNANSWERED: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,  # a standby that is about to be promoted
    OSError,  # TimeoutError is one
)

log = logging.getLogger(__name__)


class AbandonedError(Exception):
    """Nobody waits for the answer any more."""


def unanswered(error: BaseException) -> bool:
    """
    Whether *error* says that the database could not be asked, rather than that it refused.

    A pool that its owner has closed does not count: it will not come back.
    """
    cause = error.__cause__ if isinstance(error, procrastinate.exceptions.ConnectorException) else error
    if isinstance(cause, psycopg_pool.PoolClosed):
        return False
    return isinstance(cause, UNANSWERED)


def pauses() -> Iterator[float]:
    """
    Seconds to wait between tries: short at first, since most outages are a restart, then a second each.
    """
    seconds = 0.05
    while True:
        yield seconds
        seconds = min(LONGEST_PAUSE_SECONDS, 2 * seconds)


class Outage:
    """
    One worker's view of the database: there or not, said once each way.
    """

    def __init__(self, *, answer_seconds: float) -> None:
        self._answer_seconds = answer_seconds
        self._began_at: float | None = None

    async def ride(self, call: Callable[[], Awaitable[T]], *, unless: Callable[[], bool]) -> T:
        """
        Repeat *call* until the database answers, however long that takes.

        An answer that is lost on its way is not known from a call that never arrived, so *call* must bear being repeated.

        Raises:
            AbandonedError: *unless* became true first.
        """
        for pause_seconds in pauses():
            try:
                async with asyncio.timeout(self._answer_seconds):
                    answer = await call()
            except Exception as error:
                if not unanswered(error):
                    raise
                self.seen(error)
            else:
                self.over()
                return answer
            if unless():
                raise AbandonedError
            await asyncio.sleep(pause_seconds)
        raise AssertionError("pauses never end")

    def seen(self, error: BaseException) -> None:
        if self._began_at is None:
            self._began_at = time.monotonic()
            log.warning("The database does not answer; trying again until it does: %r", error.__cause__ or error)

    def over(self) -> None:
        if self._began_at is not None:
            log.warning("The database answers again, after %.1f s.", time.monotonic() - self._began_at)
            self._began_at = None
