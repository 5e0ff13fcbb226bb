"""
Items of fan-outs as the history shows them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import DictRow

from headrace.core.fan_out import Item
from headrace.core.outcome import Cause
from headrace.core.state import StepState
from headrace.store.database import Database
from headrace.store.job_rows import cause_of

_COLUMNS = (
    "job_id", "ordinal", "name", "parent", "input", "timeout_seconds", "max_attempts", "attempt", "failures", "crashes",
    "due_at", "started_at", "finished_at", "output", "result", "appended",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemAttempt:
    """One try of an item; *outcome* is None while it runs."""

    number: int
    node_name: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    cause: Cause | None


class Items:
    """
    Items as the history shows them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_workspace(self, workspace_id: UUID, item_id: str) -> Item | None:
        """
        Find an item by its dialect's id.
        """
        row = await self._database.one(
            """
            select s.* from step s join job j on j.id = s.job_id
            where s.item_id = %(item_id)s and j.workspace_id = %(workspace_id)s
            """,
            {"item_id": item_id, "workspace_id": workspace_id},
        )
        return item_of(row) if row else None

    async def of_job(
        self, job_id: UUID, *, after: int = -1, limit: int = 1000, states: Sequence[StepState] = ()
    ) -> list[Item]:
        """
        List a job's items in their order, from the one after ordinal *after*; whoever calls has checked the job's workspace.

        With *states*, only those in one of them.
        """
        rows = await self._database.all(
            """
            select * from step where job_id = %(job_id)s and ordinal > %(after)s and item_id is not null
              and (%(states)s::text[] is null or state = any(%(states)s))
            order by ordinal limit %(limit)s
            """,
            {"job_id": job_id, "after": after, "limit": limit, "states": list(states) or None},
        )
        return [item_of(row) for row in rows]

    async def attempts(self, job_id: UUID, ordinal: int) -> list[ItemAttempt]:
        """
        List the tries of an item, the first one first.
        """
        rows = await self._database.all(
            """
            select number, node_name, started_at, finished_at, outcome, cause from step_attempt
            where job_id = %(job_id)s and ordinal = %(ordinal)s order by number
            """,
            {"job_id": job_id, "ordinal": ordinal},
        )
        return [ItemAttempt(**{**row, "cause": cause_of(row["cause"])}) for row in rows]

    async def every(self, job_id: UUID, *, page: int = 200) -> AsyncIterator[Item]:
        """
        Give all items of a job in their order, holding one page of them at a time.
        """
        after = -1
        while items := await self.of_job(job_id, after=after, limit=page):
            for item in items:
                yield item
            after = items[-1].ordinal


def item_of(row: DictRow) -> Item:
    """
    Make an item of a row of `step`.
    """
    return Item(
        **{name: row[name] for name in _COLUMNS},
        id=row["item_id"],
        state=StepState(row["state"]),
        cause=cause_of(row["cause"]),
    )
