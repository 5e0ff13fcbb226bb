"""
Meltano's state for the worker that runs a pipeline: read before a command, written after it under the attempt's fencing token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.errors import FencedError
from headrace.services.attempts import Work
from headrace.store import jobs, pipeline_states
from headrace.store.database import Database


class PipelineStates:
    """
    Every method may raise `StoreUnavailableError`; nothing was written then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, work: Work, scope: str) -> dict[str, dict[str, Any]]:
        """
        Give the states that a pipeline may go on from, by state id.
        """
        async with self._database.connection() as connection:
            return await pipeline_states.load(connection, work.job.workspace_id, scope)

    async def save(self, work: Work, scope: str, states: Mapping[str, Mapping[str, Any]]) -> None:
        """
        Raises:
            FencedError: somebody else owns the attempt.
        """
        if not states:
            return
        async with self._database.transaction() as connection:
            if (await jobs.standing(connection, work.claim)).fenced:
                raise FencedError("Another worker owns this job now.", job=str(work.job.id))
            await pipeline_states.save(connection, work.job.workspace_id, scope, states, job_id=work.job.id)
