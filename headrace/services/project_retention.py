"""
Forgetting stored Meltano projects that nothing needs any more.

A project is needed by a workspace that has it in force, by a node that has read it from a folder, and by every job that is kept: a rerun
lays it out again. Whoever has one in force says so here each time, so that one is only looked at when it has not been used for a day.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from headrace.services.meltano_projects import MeltanoProjects
from headrace.services.stored_projects import StoredProjects
from headrace.store import pruning
from headrace.store.database import Database

log = structlog.get_logger(__name__)

UNUSED_FOR = timedelta(days=1)
"""Longer than a job takes from the reading of its project to its row, by far; and than any node sleeps."""


class ProjectRetention:
    """
    Args:
        clock: gives aware UTC datetimes.
    """

    def __init__(
        self, database: Database, stored: StoredProjects, projects: MeltanoProjects, *, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._stored = stored
        self._projects = projects
        self._clock = clock

    async def tick(self) -> int:
        """
        Remove what nothing needs; gives the number of projects removed.
        """
        used = {*self._projects.in_use(), *await pruning.projects_in_force(self._database)}
        for digest in used:
            await self._stored.use(digest)
        before = self._clock() - UNUSED_FOR
        unused = [digest for digest in await self._stored.unused_since(before) if digest not in used]
        needed = await pruning.projects_of_jobs(self._database, unused) if unused else set()
        removed = 0
        for digest in unused:
            if digest not in needed:
                removed += await self._stored.forget(digest, unused_since=before)
        if removed:
            log.info("old projects removed", projects=removed)
        return removed
