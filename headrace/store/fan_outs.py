"""
Fan-outs: jobs of items, each admitted, claimed and settled by itself.

Every function runs in the caller's transaction. What changes the set of a job's items, or what may be started of it, is called with
`lock` held; whoever held it wakes the admission when the transaction has committed, or admits in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from headrace.core.event import EventKind
from headrace.core.fan_out import FanOutRecord, Item, ItemEnd, ItemSettlement, NewItem
from headrace.core.outcome import Cancelled, Cause, Failed, Interrupted, Outcome
from headrace.core.plan import FanOut
from headrace.core.state import JobState, StepState
from headrace.store.database import Connection, Database, statement

_ADDED_AT_ONCE = 2_000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemClaim:
    """
    The right to write an item's record, as long as nobody claims it after.

    Attributes:
        token: fencing token; every write names it.
    """

    job_id: UUID
    ordinal: int
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemAttempt:
    """One try of an item; *outcome* is None while it runs."""

    number: int
    node_name: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    cause: Cause | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedItem:
    """
    An item in a worker's hands; *cancel_requested_at* is its job's.
    """

    claim: ItemClaim
    item: Item
    cancel_requested_at: datetime | None


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
        stop_cause=_cause(row["stop_cause"]),
    )


async def live(connection: Connection, job_id: UUID) -> int:
    """
    Count the items in flight.
    """
    row = await (await connection.execute(statement("count_live"), {"job_id": job_id})).fetchone()
    return int(row["live"]) if row else 0


@dataclass(frozen=True, slots=True)
class Taking:
    """An item that a node is to try."""

    job_id: UUID
    ordinal: int
    node_id: UUID
    node_name: str


async def claim(connection: Connection, items: Sequence[Taking]) -> list[ClaimedItem | None]:
    """
    Take admitted items, or such whose worker is gone; None for one that has ended or waits again. Named twice, it is taken twice.

    Where no item is named twice this is one statement: it needs no transaction.
    """
    found: list[ClaimedItem | None] = []
    for each in _without_repeats(items):
        parameters = {
            "job_ids": [item.job_id for item in each], "ordinals": [item.ordinal for item in each],
            "node_ids": [item.node_id for item in each], "node_names": [item.node_name for item in each],
        }  # fmt: skip
        rows = await (await connection.execute(statement("claim_items"), parameters, prepare=True)).fetchall()
        claimed = {(row["job_id"], row["ordinal"]): row for row in rows}
        found += [_claimed(claimed.get((item.job_id, item.ordinal))) for item in each]
    return found


def _without_repeats(items: Sequence[Taking]) -> list[list[Taking]]:
    """
    Cut a list in as few pieces as have no item twice.
    """
    pieces: list[list[Taking]] = [[]]
    for item in items:
        if any((item.job_id, item.ordinal) == (other.job_id, other.ordinal) for other in pieces[-1]):
            pieces.append([])
        pieces[-1].append(item)
    return pieces


def _claimed(row: DictRow | None) -> ClaimedItem | None:
    if row is None:
        return None
    return ClaimedItem(
        claim=ItemClaim(job_id=row["job_id"], ordinal=row["ordinal"], token=row["attempt"]),
        item=item_of(row),
        cancel_requested_at=row["cancel_requested_at"],
    )


@dataclass(frozen=True, slots=True)
class ItemStanding:
    """What a try learns about its item and job."""

    fenced: bool
    cancel_requested: bool


async def standing(connection: Connection, claim: ItemClaim) -> ItemStanding:
    """
    Tell whether the claim still holds and whether somebody asked the job to end.
    """
    row = await (await connection.execute(statement("item_standing"), _of(claim))).fetchone()
    return ItemStanding(fenced=row is None, cancel_requested=bool(row and row["cancel_requested_at"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledTry:
    """
    What one try of an item came to.

    Attributes:
        appended: JSON list of the items it asked for; None for none.
    """

    claim: ItemClaim
    end: ItemEnd
    settlement: ItemSettlement
    appended: bytes | None = None


async def settle(connection: Connection, job_id: UUID, tries: Sequence[SettledTry]) -> FanOutRecord | None:
    """
    Write what tries made of items of one job, in their order; gives the fan-out's counts after it, None when one is fenced: roll back.
    """
    ends = [_ending(one.end.outcome) for one in tries]
    parameters = {
        "job_id": job_id, "ordinals": [one.claim.ordinal for one in tries], "tokens": [one.claim.token for one in tries],
        "states": [str(one.settlement.state) for one in tries], "final": [one.settlement.state.final for one in tries],
        "due_at": [one.settlement.due_at for one in tries], "results": [one.end.result for one in tries],
        "appended": [one.appended for one in tries], "causes": [_json(cause) for cause, _ in ends],
        "outcomes": [name for _, name in ends], "failed": [isinstance(one.end.outcome, Failed) for one in tries],
        "outputs": [Jsonb(_output(one.end)) for one in tries],
    }  # fmt: skip
    row = await (await connection.execute(statement("settle_items"), parameters, prepare=True)).fetchone()
    if row is None or row["settled"] < len(tries):
        return None
    return FanOutRecord(**{name: row[name] for name in _COUNTS})


def _ending(outcome: Outcome) -> tuple[Cause | None, str]:
    """
    Give why a try ended as it did, if it says so, and the word for it in the history.
    """
    cause = outcome.cause if isinstance(outcome, (Failed, Cancelled)) else None
    return cause, "interrupted" if isinstance(outcome, Interrupted) else type(outcome).__name__.lower()


def _output(end: ItemEnd) -> dict[str, Any]:
    return end.noted if isinstance(end.outcome, Interrupted) else end.outcome.output


async def cancel_rest(connection: Connection, job_id: UUID, cause: Cause, *, revoked: Sequence[int]) -> FanOutRecord:
    """
    Cancel the items that no worker has; those in *revoked* had a ticket that was taken back.
    """
    parameters = {"job_id": job_id, "cause": _json(cause), "revoked": list(revoked)}
    row = await (await connection.execute(statement("cancel_items"), parameters)).fetchone()
    assert row is not None  # noqa: S101 - the caller holds its lock
    return FanOutRecord(**{name: row[name] for name in _COUNTS})


async def hold(connection: Connection, job_id: UUID, *, revoked: Sequence[int], cause: Cause | None = None) -> None:
    """
    Start no more items for now; those in *revoked* had a ticket that was taken back. *cause* says why, where nobody asked for it.
    """
    await put_back(connection, job_id, revoked)
    await _set_pause(connection, job_id, asked=True)
    await set_stop_cause(connection, job_id, cause)
    await _tell(connection, job_id, EventKind.JOB_PAUSE_REQUESTED, **({"reason": cause.sentence} if cause else {}))


async def put_back(connection: Connection, job_id: UUID, ordinals: Sequence[int]) -> None:
    """
    Let items wait again whose tickets are gone.
    """
    await connection.execute(statement("hold_items"), {"job_id": job_id, "revoked": list(ordinals)})


async def set_stop_cause(connection: Connection, job_id: UUID, cause: Cause | None) -> None:
    await connection.execute(
        "update fan_out set stop_cause = %(cause)s where job_id = %(job_id)s", {"job_id": job_id, "cause": _json(cause)}
    )


async def pause(connection: Connection, job_id: UUID) -> int | None:
    """
    Say that nothing is in flight any more; gives the event's id, None when the job does not run.
    """
    return await _move(connection, job_id, JobState.RUNNING, JobState.PAUSED, EventKind.JOB_PAUSED)


async def resume(connection: Connection, job_id: UUID) -> int | None:
    """
    Let items be started again; gives the event's id, None when the job had not come to rest.
    """
    await _set_pause(connection, job_id, asked=False)
    await set_stop_cause(connection, job_id, None)
    return await _move(connection, job_id, JobState.PAUSED, JobState.WAITING, EventKind.JOB_RESUMED)


async def end(
    connection: Connection, job_id: UUID, state: JobState, cause: Cause | None
) -> tuple[int, str | None, bool] | None:
    """
    End a job whose last item has ended; gives the event's id, its key, and whether it held that key.
    """
    parameters = {"job_id": job_id, "state": state, "cause": _json(cause)}
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
        return [ItemAttempt(**{**row, "cause": _cause(row["cause"])}) for row in rows]

    async def every(self, job_id: UUID, *, page: int = 200) -> AsyncIterator[Item]:
        """
        Give all items of a job in their order, holding one page of them at a time.
        """
        after = -1
        while items := await self.of_job(job_id, after=after, limit=page):
            for item in items:
                yield item
            after = items[-1].ordinal


_COUNTS = ("total", "completed", "failed", "cancelled")
_COLUMNS = (
    "job_id", "ordinal", "name", "parent", "input", "timeout_seconds", "max_attempts", "attempt", "failures", "crashes",
    "due_at", "started_at", "finished_at", "output", "result", "appended",
)  # fmt: skip


def item_of(row: DictRow) -> Item:
    """
    Make an item of a row of `step`.
    """
    return Item(
        **{name: row[name] for name in _COLUMNS},
        id=row["item_id"],
        state=StepState(row["state"]),
        cause=_cause(row["cause"]),
    )


def _of(claim: ItemClaim) -> dict[str, Any]:
    return {"job_id": claim.job_id, "ordinal": claim.ordinal, "token": claim.token}


async def _set_pause(connection: Connection, job_id: UUID, *, asked: bool) -> None:
    await connection.execute(
        """
        update fan_out set pause_requested_at = case when %(asked)s then coalesce(pause_requested_at, now()) end
        where job_id = %(job_id)s
        """,
        {"job_id": job_id, "asked": asked},
    )


async def _move(
    connection: Connection, job_id: UUID, before: JobState, after: JobState, event: EventKind
) -> int | None:
    parameters = {"job_id": job_id, "from": before, "to": after, "event": event}
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


def _cause(value: dict[str, Any] | None) -> Cause | None:
    return msgspec.convert(value, Cause) if value else None


def _json(cause: Cause | None) -> Jsonb | None:
    return Jsonb(cause) if cause else None
