"""
Jobs of items that start none before another job has ended.

Every function runs in the caller's transaction; what a job awaits is changed with `fan_outs.lock` on it held.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from headrace.core.outcome import Cause
from headrace.store.database import Connection, statement
from headrace.store.job_rows import cause_of


async def set_awaits(connection: Connection, job_id: UUID, awaited: UUID | None) -> None:
    """
    Start no items before another job has ended; None starts them again.
    """
    await connection.execute(
        "update fan_out set awaits = %(awaited)s where job_id = %(job_id)s", {"job_id": job_id, "awaited": awaited}
    )


async def grant(connection: Connection, job_id: UUID) -> None:
    """
    Start items again on what was awaited: the check of a login counts for this job from its first use.
    """
    await connection.execute(
        "update fan_out set awaits = null, session_until = 'infinity' where job_id = %(job_id)s", {"job_id": job_id}
    )


async def use_grant(connection: Connection, job_id: UUID, good_for: timedelta) -> bool:
    """
    Tell whether a job may start an item on the check that was made for it; from the first time on it may for *good_for*.
    """
    used = await connection.execute(statement("use_grant"), {"job_id": job_id, "good_for": good_for})
    return bool(used.rowcount)


async def begun(connection: Connection, job_id: UUID) -> bool:
    """
    Tell whether any item of a job was ever tried.
    """
    query = "select exists(select from step where job_id = %(job_id)s and item_id is not null and attempt > 0) as begun"
    row = await (await connection.execute(query, {"job_id": job_id})).fetchone()
    return bool(row and row["begun"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """
    A job that awaited one that has ended.

    Attributes:
        granted: whether that one brought what was awaited.
        failure: why not.
    """

    job_id: UUID
    granted: bool
    failure: Cause


async def lock_waiting(connection: Connection, job_id: UUID) -> None:
    """
    Take the locks of the jobs that await one before anything that their own items lock after it, such as a login.
    """
    await connection.execute(
        "select from fan_out where awaits = %(job_id)s and open order by job_id for no key update", {"job_id": job_id}
    )


async def let_go(connection: Connection, job_id: UUID) -> list[Waiting]:
    """
    Forget what was there for an ended job alone, and name the jobs that await its end.
    """
    rows = await (await connection.execute(statement("let_go"), {"job_id": job_id})).fetchall()
    ended = Cause("", "What was to check it was ended.")
    return [
        Waiting(job_id=row["job_id"], granted=bool(row["completed"]), failure=cause_of(row["cause"]) or ended)
        for row in rows
    ]
