"""
Forgetting what nobody needs any more: finished jobs after their time, with their files and logs; empty lanes; silent nodes.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from headrace.store import pruning
from headrace.store.database import Database
from headrace.store.files import FileStore

log = structlog.get_logger(__name__)

_BATCH = 200


class Retention:
    """
    Args:
        keep_for: age at which a finished job goes; None keeps it for ever.
    """

    def __init__(self, database: Database, files: FileStore, *, keep_for: timedelta | None) -> None:
        self._database = database
        self._files = files
        self._keep_for = keep_for

    async def tick(self) -> int:
        """
        Remove what is over its time, a batch at once; gives the number of jobs removed.

        A job's files go before its row: what is left after a crash in between is found again the next time.
        """
        await pruning.drop_empty_lanes(self._database)
        if self._keep_for is None:
            return 0
        removed = 0
        while batch := await pruning.finished_before(self._database, self._keep_for, limit=_BATCH):
            for job_id, prefix in batch:
                await self._files.remove(prefix)
                await self._files.remove(f"logs/{job_id}")
            removed += await pruning.delete(self._database, [job_id for job_id, _ in batch])
        await pruning.old_notifications(self._database, self._keep_for)
        if removed:
            log.info("old jobs removed", jobs=removed)
        return removed
