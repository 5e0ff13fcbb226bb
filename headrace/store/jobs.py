"""
What changes jobs, their steps, attempts and events; `job_reads` shows them.

Methods that take a connection run in the caller's transaction. Those without a `workspace_id` are for the engine, which
serves every workspace.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from headrace.core.event import EventKind
from headrace.core.outcome import Cause
from headrace.core.state import FINAL_JOB_STATES, JobState, StepState
from headrace.store.database import Connection, Database, statement
from headrace.store.job_rows import folder_of, json_of

_FINAL = sorted(FINAL_JOB_STATES)


@dataclass(frozen=True, slots=True)
class Admission:
    """
    A job handed to the engine, or one item of it.

    Attributes:
        attempt: of the job, or of the item.
        ordinal: of the item; None for a job of steps.
    """

    job_id: UUID
    attempt: int
    key: str | None
    priority: int
    ordinal: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """
    The right to write a job's record, as long as nobody claims it after.

    Attributes:
        token: fencing token; every write names it.
        crashes: attempts that ended without a word, this one's predecessor included.
    """

    job_id: UUID
    token: int
    crashes: int
    taken_over: bool


async def lock_admission(connection: Connection) -> None:
    """
    Be the only one who admits, over all nodes, until the transaction ends; so call it last.

    Until then statements keep their plans: while tables grow, the planner would go on hoping for a better one each time, and
    planning `admit_next` takes ten times as long as running it.
    """
    await connection.execute(
        """
        select pg_advisory_xact_lock(hashtextextended('headrace.admission', 0)),
               set_config('plan_cache_mode', 'force_generic_plan', true)
        """
    )


async def admit_next(connection: Connection, *, free_slots: int) -> list[Admission]:
    """
    Admit at most *free_slots* waiting jobs and items; call with `lock_admission` held.

    Order: fair between tenants, then priority, then submission. Returns fewer, or none, when fewer can go.
    """
    found = await connection.execute(statement("admit_next"), {"free_slots": free_slots}, prepare=True)
    rows = await found.fetchall()
    return [Admission(row["id"], row["attempt"], row["key"], row["priority"], row["ordinal"]) for row in rows]


async def claim(connection: Connection, job_id: UUID, *, node_id: UUID, node_name: str) -> Claim | None:
    """
    Take an admitted job, or one whose worker is gone; None when it has ended or waits again.
    """
    parameters = {"job_id": job_id, "node_id": node_id, "node_name": node_name}
    row = await (await connection.execute(statement("claim"), parameters)).fetchone()
    if row is None:
        return None
    return Claim(row["id"], row["attempt"], row["crashes"], row["state_before"] == JobState.RUNNING)


async def start_step(connection: Connection, claim: Claim, ordinal: int) -> tuple[int | None, bool]:
    """
    Begin a step; gives the event's id, None when fenced, and whether no attempt had begun the step before.
    """
    parameters = {"job_id": claim.job_id, "token": claim.token, "ordinal": ordinal}
    row = await (await connection.execute(statement("start_step"), parameters)).fetchone()
    return (row["id"], row["first"]) if row else (None, False)


async def retry_step(connection: Connection, claim: Claim, ordinal: int, retry: dict[str, Any]) -> int | None:
    """
    Note that a running step is tried again; gives the event's id, None when fenced.
    """
    parameters = {"job_id": claim.job_id, "token": claim.token, "ordinal": ordinal, "retry": Jsonb(retry)}
    return await _event_id(connection, "retry_step", parameters)


async def finish_step(
    connection: Connection,
    claim: Claim,
    ordinal: int,
    state: StepState,
    *,
    output: dict[str, Any],
    cause: Cause | None = None,
) -> int | None:
    """
    End a step; *output* is merged into what progress reports left. Gives the event's id, None when fenced.
    """
    parameters = {
        "job_id": claim.job_id, "token": claim.token, "ordinal": ordinal, "state": state, "output": Jsonb(output),
        "cause": json_of(cause), "event": f"step-{state}",
    }  # fmt: skip
    return await _event_id(connection, "finish_step", parameters)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a progress report learns about its job."""

    fenced: bool
    cancel_requested: bool


async def unfinished(connection: Connection, job_ids: Collection[UUID]) -> set[UUID]:
    """
    Tell which of some jobs run, or will.
    """
    query = "select id from job where id = any(%(ids)s) and state <> all(%(final)s)"
    rows = await (await connection.execute(query, {"ids": list(job_ids), "final": _FINAL})).fetchall()
    return {row["id"] for row in rows}


async def folders(connection: Connection, job_ids: Collection[UUID]) -> dict[UUID, str]:
    """
    Give the folders of some jobs in the file store; a job that is not known has none.
    """
    query = "select id, created_at from job where id = any(%(ids)s)"
    rows = await (await connection.execute(query, {"ids": list(job_ids)})).fetchall()
    return {row["id"]: folder_of(row["id"], row["created_at"]) for row in rows}


async def report_step(connection: Connection, claim: Claim, ordinal: int, output: dict[str, Any]) -> Standing:
    """
    Merge progress into a running step's output.
    """
    parameters = {"job_id": claim.job_id, "token": claim.token, "ordinal": ordinal, "output": Jsonb(output)}
    row = await (await connection.execute(statement("report_step"), parameters)).fetchone()
    return Standing(fenced=row is None, cancel_requested=bool(row and row["cancel_requested_at"]))


async def standing(connection: Connection, claim: Claim) -> Standing:
    """
    Tell whether the claim still holds and whether somebody asked for an end.
    """
    row = await (
        await connection.execute(
            "select cancel_requested_at from job where id = %(job_id)s and attempt = %(token)s and state = 'running'",
            {"job_id": claim.job_id, "token": claim.token},
        )
    ).fetchone()
    return Standing(fenced=row is None, cancel_requested=bool(row and row["cancel_requested_at"]))


_EVENT_OF_STATE = {
    JobState.COMPLETED: EventKind.JOB_COMPLETED,
    JobState.FAILED: EventKind.JOB_FAILED,
    JobState.CANCELLED: EventKind.JOB_CANCELLED,
    JobState.WAITING: EventKind.JOB_HANDED_BACK,
    JobState.SCHEDULED: EventKind.JOB_RETRY_SCHEDULED,
}


async def settle_job(
    connection: Connection,
    claim: Claim,
    state: JobState,
    *,
    cause: Cause | None = None,
    due_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> int | None:
    """
    Write what one attempt made of the job; a final state frees the key for its next waiting job.

    Steps that have not ended are skipped by a final state and start anew otherwise. Gives the event's id, None when fenced.
    """
    parameters = {
        "job_id": claim.job_id, "token": claim.token, "state": state, "cause": json_of(cause), "due_at": due_at,
        "finished_at": finished_at, "failed": state is JobState.SCHEDULED,
        "rest_state": StepState.CANCELLED if state is JobState.CANCELLED else StepState.SKIPPED,
        "outcome": "interrupted" if state is JobState.WAITING else str(state), "event": _EVENT_OF_STATE[state],
    }  # fmt: skip
    row = await (await connection.execute(statement("settle_job"), parameters)).fetchone()
    if row is None:
        return None
    if state.final:
        await leave_lane(connection, row["key"], head=True)
    return int(row["event_id"])


async def cancel_unstarted(
    connection: Connection, job_id: UUID, states: Sequence[JobState], cause: Cause
) -> int | None:
    """
    End a job that is in one of *states*, which no worker has begun; gives the event's id, None when it is in another.
    """
    parameters = {"job_id": job_id, "states": list(states), "cause": json_of(cause)}
    row = await (await connection.execute(statement("cancel_unstarted"), parameters)).fetchone()
    if row is None:
        return None
    await leave_lane(connection, row["key"], head=row["ready"])
    return int(row["event_id"])


async def request_cancel(connection: Connection, job_id: UUID, *, by: str) -> int | None:
    """
    Ask a running job to end; gives the event's id, None when it does not run or was asked before.
    """
    return await _event_id(connection, "request_cancel", {"job_id": job_id, "by": by})


async def lock_line(connection: Connection, job_id: UUID) -> None:
    """
    Let a job that stands in line for its key be ended: call before its row is locked.

    Whoever holds the key locks the lane at its end, then the row of the next in line; so does this.
    """
    await connection.execute(
        """
        select from lane where key = (select key from job where id = %(job_id)s and state = 'waiting' and not ready)
        for no key update
        """,
        {"job_id": job_id},
    )


async def leave_lane(connection: Connection, key: str | None, *, head: bool) -> None:
    """
    Take an ended job out of its key's lane; when it was the *head*, the next job of the key becomes ready.
    """
    if key is None:
        return
    row = await (await connection.execute(statement("leave_lane"), {"key": key})).fetchone()
    if head and row and row["active"]:
        await connection.execute(statement("ready_next_of_key"), {"key": key})


async def anything_waits(database: Database) -> bool:
    """
    Tell in one look whether an admission could find anything: an idle node looks all the time.
    """
    row = await database.one(statement("anything_waits"))
    return bool(row and row["found"])


async def wake_scheduled(connection: Connection) -> None:
    """
    Let jobs and items whose pause is over wait for a slot again.
    """
    await connection.execute(statement("wake_scheduled"))
    await connection.execute(statement("wake_items"))


async def _event_id(connection: Connection, name: str, parameters: dict[str, Any]) -> int | None:
    row = await (await connection.execute(statement(name), parameters)).fetchone()
    return int(row["id"]) if row else None
