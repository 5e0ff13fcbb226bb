"""
Letting waiting jobs through to the engine.

Whoever submits or finishes wakes the admission of its own process; a tick in every node makes up for one that died in between.
"""

from __future__ import annotations

import asyncio

import structlog

from headrace.core.errors import RetriableError
from headrace.core.queue import Queue, Ticket
from headrace.store import jobs
from headrace.store.database import Connection, Database

log = structlog.get_logger(__name__)

_AGAIN_SECONDS = 1.0  # after a failure


class Admission:
    """
    Admits in a transaction of its own (`run`), or in that of a finishing job (`admit`).
    """

    def __init__(self, database: Database, queue: Queue) -> None:
        self._database = database
        self._queue = queue
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """
        Say that something may be let through now; many calls cost one transaction.
        """
        self._wanted.set()

    async def admit(self, connection: Connection) -> int:
        """
        Admit as many waiting jobs and items as there are free slots, in the caller's transaction; gives their number.

        Serialised over all nodes until that transaction ends, so call it last.
        """
        async with connection.pipeline():  # one trip; the second still sees what was committed before the lock was had
            await jobs.lock_admission(connection)
            free_slots = await self._queue.free_slots(connection)
        return await self._admit(connection, free_slots)

    async def _admit(self, connection: Connection, free_slots: int) -> int:
        if free_slots <= 0:
            return 0
        admitted = await jobs.admit_next(connection, free_slots=free_slots)
        if admitted:
            await self._queue.put(
                connection,
                [Ticket(str(job.job_id), job.attempt, job.key, job.priority, job.ordinal) for job in admitted],
            )
        return len(admitted)

    async def tick(self) -> None:
        """
        Let jobs through whose pause is over, and whatever was overlooked.

        Every submit on an idle server waits for this: all up to the number of free slots is one trip, with the transaction's begin.
        """
        async with self._database.connection() as connection, connection.pipeline(), connection.transaction():
            await jobs.wake_scheduled(connection)
            await jobs.lock_admission(connection)
            free_slots = await self._queue.free_slots(connection)
            await self._admit(connection, free_slots)

    async def run(self, *, every_seconds: float = 1.0) -> None:
        """
        Admit when woken, and whatever is found in a look every *every_seconds*, until cancelled.
        """
        pause_seconds = min(every_seconds, _AGAIN_SECONDS)
        while True:
            woken = True
            try:
                async with asyncio.timeout(every_seconds):
                    await self._wanted.wait()
            except TimeoutError:
                woken = False
            self._wanted.clear()
            try:
                if woken or await jobs.anything_waits(self._database):
                    await self.tick()
            except RetriableError as error:
                log.warning("admission waits for the database", reason=error.reason)
                await asyncio.sleep(pause_seconds)
            except Exception:  # the edge of the duty: one bad tick must not end it, or no job would ever start again
                log.exception("admission failed")
                await asyncio.sleep(pause_seconds)
