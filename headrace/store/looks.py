"""
What an idle server asks its database: in one small read, which of its duties have something to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.store.database import Database, statement


@dataclass(frozen=True, slots=True)
class Look:
    """
    What there was to do at one moment, over all workspaces.

    The duty itself looks closer: a word may be true for nothing, but is never false for something.

    Attributes:
        looked_at: by the database's clock.
        deliveries_due: now, or within a second.
        jobs_followed: something may follow from a pipeline's job, now or when it ends.
        jobs_wait: for a slot, or for a moment that has come.
        workspaces_leave: their deletion is not finished.
        deployed: a text that changes with what is deployed.
        workspaces: one that changes with any workspace and its definition.
    """

    looked_at: datetime
    deliveries_due: bool
    schedules_due: bool
    jobs_followed: bool
    jobs_wait: bool
    workspaces_leave: bool
    deployed: str
    workspaces: str


async def look(database: Database) -> Look:
    """
    Raises:
        StoreUnavailableError: the database did not answer.
    """
    row = await database.one(
        f"select *, ({statement('anything_waits')}) as jobs_wait from ({statement('look')}) as rest"
    )
    assert row is not None  # noqa: S101 - neither part is of a table, so there is one row
    return Look(**row)
