"""
One job at a time writes a tenant's kept files, over all nodes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.core.errors import FencedError
from headrace.services.attempts import Work
from headrace.store import jobs
from headrace.store.database import Database, held_open


class TenantLocks:
    """
    Locks in the database: whoever holds one and dies lets go of it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def held(self, work: Work, name: str) -> AsyncIterator[None]:
        """
        Hold the lock of a name for the length of a block.

        Raises:
            FencedError: another worker owns the job.
            StoreUnavailableError: the database is away.
        """
        async with self._database.transaction() as connection:
            await held_open(connection)
            await connection.execute(
                "select pg_advisory_xact_lock(hashtextextended(%(name)s, 0))", {"name": f"headrace:{name}"}
            )
            if (await jobs.standing(connection, work.claim)).fenced:
                raise FencedError("Another worker owns this job now.", job=str(work.job.id), token=work.claim.token)
            yield
