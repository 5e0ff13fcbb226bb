"""
Fan-outs: jobs of items, each admitted, claimed and settled by itself.

Every function runs in the caller's transaction. What changes the set of a job's items, or what may be started of it, is called with
`lock` held; whoever held it wakes the admission when the transaction has committed, or admits in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from headrace.core.event import EventKind
from headrace.core.fan_out import FanOutRecord, NewItem
from headrace.core.outcome import Cause
from headrace.core.plan import FanOut
from headrace.core.state import JobState
from headrace.store.database import Connection, statement
from headrace.store.job_rows import cause_of, json_of

_ADDED_AT_ONCE = 2_000
_COUNTS = ("total", "completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """
    A fan-out that nobody else changes until the transaction ends.

    Attributes:
        max_items: items that may complete or fail before the rest are cancelled.
    """

    job_id: UUID
    workspace_id: UUID
    state: JobState
    counts: FanOutRecord
    max_items: int | None
    cancel_requested_at: datetime | None
    stop_cause: Cause | None = None


async def begin(connection: Connection, job_id: UUID, plan: FanOut, items: Sequence[NewItem]) -> None:
    """
    Write the items of a new job, in the transaction that made it.
    """
    await connection.execute(
        """
        insert into fan_out (job_id, max_concurrent, pool, pool_size, max_items)
        values (%(job_id)s, %(max_concurrent)s, %(pool)s, %(pool_size)s, %(max_items)s)
        """,
        {"job_id": job_id, "max_concurrent": plan.max_concurrent, "pool": plan.pool, "pool_size": plan.pool_size,
         "max_items": plan.max_items},
    )  # fmt: skip
    await add(connection, job_id, plan, items)


async def add(
    connection: Connection, job_id: UUID, plan: FanOut, items: Sequence[NewItem], *, parent: int | None = None
) -> None:
    """
    Add items to the end of the list, so many at a time that others are served between.
    """
    for start in range(0, len(items), _ADDED_AT_ONCE):
        added = items[start : start + _ADDED_AT_ONCE]
        parameters = {
            "job_id": job_id, "kind": plan.item.__struct_config__.tag, "parent": parent,
            "ids": [item.id for item in added], "names": [item.name for item in added],
            "inputs": [item.input for item in added], "timeouts": [item.timeout_seconds for item in added],
            "max_attempts": [item.max_attempts for item in added],
        }  # fmt: skip
        await connection.execute(statement("add_items"), parameters)


async def lock(connection: Connection, job_id: UUID) -> Locked | None:
    """
    Be the only one who changes a fan-out's items, until the transaction ends; None when it has ended.
    """
    row = await (await connection.execute(statement("lock_fan_out"), {"job_id": job_id})).fetchone()
    if row is None:
        return None
    return Locked(
        job_id=job_id,
        workspace_id=row["workspace_id"],
        state=JobState(row["state"]),
        counts=FanOutRecord(**{name: row[name] for name in (*_COUNTS, "pause_requested_at", "awaits")}),
        max_items=row["max_items"],
        cancel_requested_at=row["cancel_requested_at"],
        stop_cause=cause_of(row["stop_cause"]),
    )


async def live(connection: Connection, job_id: UUID) -> int:
    """
    Count the items in flight.
    """
    row = await (await connection.execute(statement("count_live"), {"job_id": job_id})).fetchone()
    return int(row["live"]) if row else 0


async def cancel_rest(connection: Connection, job_id: UUID, cause: Cause, *, revoked: Sequence[int]) -> FanOutRecord:
    """
    Cancel the items that no worker has; those in *revoked* had a ticket that was taken back.
    """
    parameters = {"job_id": job_id, "cause": json_of(cause), "revoked": list(revoked)}
    row = await (await connection.execute(statement("cancel_items"), parameters)).fetchone()
    assert row is not None  # noqa: S101 - the caller holds its lock
    return FanOutRecord(**{name: row[name] for name in _COUNTS})


async def hold(
    connection: Connection, job_id: UUID, *, revoked: Sequence[int], cause: Cause | None = None, by: str = ""
) -> None:
    """
    Start no more items for now; those in *revoked* had a ticket that was taken back. *cause* says why, where nobody asked for it; else *by*
    says who did.
    """
    await put_back(connection, job_id, revoked)
    await _set_pause(connection, job_id, asked=True)
    await set_stop_cause(connection, job_id, cause)
    await _tell(
        connection, job_id, EventKind.JOB_PAUSE_REQUESTED, **({"reason": cause.sentence} if cause else {"by": by})
    )


async def put_back(connection: Connection, job_id: UUID, ordinals: Sequence[int]) -> None:
    """
    Let items wait again whose tickets are gone.
    """
    await connection.execute(statement("hold_items"), {"job_id": job_id, "revoked": list(ordinals)})


async def set_stop_cause(connection: Connection, job_id: UUID, cause: Cause | None) -> None:
    await connection.execute(
        "update fan_out set stop_cause = %(cause)s where job_id = %(job_id)s",
        {"job_id": job_id, "cause": json_of(cause)},
    )


async def pause(connection: Connection, job_id: UUID) -> int | None:
    """
    Say that nothing is in flight any more; gives the event's id, None when the job does not run.
    """
    return await _move(connection, job_id, JobState.RUNNING, JobState.PAUSED, EventKind.JOB_PAUSED)


async def resume(connection: Connection, job_id: UUID, *, by: str) -> int | None:
    """
    Let items be started again, as *by* has asked; gives the event's id, None when the job had not come to rest.
    """
    await _set_pause(connection, job_id, asked=False)
    await set_stop_cause(connection, job_id, None)
    return await _move(connection, job_id, JobState.PAUSED, JobState.WAITING, EventKind.JOB_RESUMED, by=by)


async def end(
    connection: Connection, job_id: UUID, state: JobState, cause: Cause | None
) -> tuple[int, str | None, bool] | None:
    """
    End a job whose last item has ended; gives the event's id, its key, and whether it held that key.
    """
    parameters = {"job_id": job_id, "state": state, "cause": json_of(cause)}
    row = await (await connection.execute(statement("end_fan_out"), parameters)).fetchone()
    return (row["event_id"], row["key"], row["ready"]) if row else None


async def request_cancel(connection: Connection, job_id: UUID, *, by: str) -> int | None:
    """
    Ask a job that has not ended to end; gives the event's id, None when it was asked before.
    """
    asked = await connection.execute(
        """
        update job set cancel_requested_at = now(), updated_at = now()
        where id = %(job_id)s and cancel_requested_at is null and finished_at is null
        """,
        {"job_id": job_id},
    )
    return await _tell(connection, job_id, EventKind.JOB_CANCEL_REQUESTED, by=by) if asked.rowcount else None


async def _set_pause(connection: Connection, job_id: UUID, *, asked: bool) -> None:
    await connection.execute(
        """
        update fan_out set pause_requested_at = case when %(asked)s then coalesce(pause_requested_at, now()) end
        where job_id = %(job_id)s
        """,
        {"job_id": job_id, "asked": asked},
    )


async def _move(
    connection: Connection, job_id: UUID, before: JobState, after: JobState, event: EventKind, **data: Any
) -> int | None:
    parameters = {"job_id": job_id, "from": before, "to": after, "event": event, "data": Jsonb(data)}
    row = await (await connection.execute(statement("move_fan_out"), parameters)).fetchone()
    return int(row["id"]) if row else None


async def _tell(connection: Connection, job_id: UUID, event: EventKind, **data: Any) -> int:
    row = await (
        await connection.execute(
            "insert into event (job_id, kind, data) values (%(job_id)s, %(event)s, %(data)s) returning id",
            {"job_id": job_id, "event": event, "data": Jsonb(data)},
        )
    ).fetchone()
    assert row is not None  # noqa: S101 - an insert without a condition
    return int(row["id"])
