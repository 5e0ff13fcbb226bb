"""
Jobs of items, as whoever asked for them sees and steers them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog

from headrace.core.auth_session import MISSING, REFUSED, refusal
from headrace.core.errors import FinalStateError, NotFoundError
from headrace.core.fan_out import FanOutRecord, Item
from headrace.core.outcome import Blame, Cancelled, Cause
from headrace.core.plan import Plan, SessionUse
from headrace.core.queue import Queue
from headrace.core.state import JobState
from headrace.services.admission import Admission
from headrace.services.announcements import Announcements
from headrace.store import awaiting, fan_outs, job_reads, jobs
from headrace.store.database import Connection, Database
from headrace.store.fan_outs import Locked
from headrace.store.item_rows import ItemAttempt, Items
from headrace.store.sealing import Sealer

log = structlog.get_logger(__name__)

TERMINATED = "job-terminated"
SURPLUS = "job-full"
"""Codes in the evidence of a cancelled item: its job was ended, or had as many items as it wanted."""


class FanOuts:
    """
    Whoever calls has checked the actor's scope.

    Every method that changes something may raise `StoreUnavailableError`; nothing was changed then.
    """

    def __init__(
        self, database: Database, sealer: Sealer, queue: Queue, admission: Admission, announcements: Announcements
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._queue = queue
        self._admission = admission
        self._announcements = announcements
        self._items = Items(database)

    async def pause(self, job_id: UUID, *, by: str) -> bool:
        """
        Start no more items of a job, as *by* has asked; those that run go on to their end. Tells whether this changed anything.

        One that was asked to end starts none any more: a pause would only keep it from its end.
        """
        async with self._database.transaction() as connection:
            locked = await fan_outs.lock(connection, job_id)
            if locked is None or locked.counts.pause_requested_at or locked.cancel_requested_at:
                return False
            await pause(connection, self._queue, self._announcements, locked, by=by)
        return True

    async def resume(self, job_id: UUID, *, by: str) -> bool:
        """
        Start items of a paused job again, as *by* has asked; finished ones are not repeated. Tells whether this changed anything.
        """
        async with self._database.transaction() as connection:
            locked = await fan_outs.lock(connection, job_id)
            if locked is None or locked.counts.pause_requested_at is None:
                return False
            await _tell(connection, self._announcements, locked, await fan_outs.resume(connection, job_id, by=by))
        self._admission.wake()
        return True

    async def terminate(self, job_id: UUID, *, by: str) -> None:
        """
        End a job: items that wait are cancelled at once, those that run within their grace time.

        Raises:
            FinalStateError: it has ended.
        """
        async with self._database.transaction() as connection:
            await terminate(connection, self._queue, self._announcements, job_id, by=by)
        self._admission.wake()

    async def item(self, workspace_id: UUID, item_id: str) -> Item:
        """
        Raises:
            NotFoundError: the workspace has no such item.
        """
        found = await self._items.of_workspace(workspace_id, item_id)
        if found is None:
            raise NotFoundError(f"There is no run {item_id!r}.", "Check the id.")
        return found

    async def items(self, job_id: UUID, *, after: int = -1, limit: int = 1000) -> Sequence[Item]:
        """
        List a job's items in their order; whoever calls has read the job from its workspace.
        """
        return await self._items.of_job(job_id, after=after, limit=limit)

    def every_item(self, job_id: UUID) -> AsyncIterator[Item]:
        """
        Give all items of a job in their order, a few of them in memory at a time.
        """
        return self._items.every(job_id)

    async def attempts(self, job_id: UUID, ordinal: int) -> Sequence[ItemAttempt]:
        return await self._items.attempts(job_id, ordinal)

    async def plan_of(self, job_id: UUID) -> tuple[Plan, dict[str, Any]]:
        """
        Give a job's plan and its sealed inputs, opened; whoever calls has read the job.
        """
        async with self._database.connection() as connection:
            plan, sealed = await job_reads.plan_of(connection, job_id)
        return plan, self._sealer.open(sealed, f"job:{job_id}") if sealed is not None else {}

    async def sink_of(self, job_id: UUID, sealed: str | None = None) -> dict[str, Any] | None:
        """
        Open the sink that came with a job, or the sealed input of one of its notifications; None when the job is gone or has none.
        """
        async with self._database.connection() as connection:
            if await job_reads.read(connection, job_id) is None:
                return None
        plan, inputs = await self.plan_of(job_id)
        if sealed is None and plan.fan_out is not None and plan.fan_out.sink is not None:
            sealed = plan.fan_out.sink.sealed
        found: dict[str, Any] | None = inputs.get(sealed) if sealed is not None else None
        return found


def ended_while_running(name: str) -> Cancelled:
    """
    Say how the try of an item ended whose job was asked to end meanwhile.
    """
    evidence = {"code": TERMINATED}
    return Cancelled(Cause(name, "The job was ended while this item ran.", who=Blame.NOBODY, evidence=evidence))


async def pause(
    connection: Connection,
    queue: Queue,
    announcements: Announcements,
    locked: Locked,
    *,
    cause: Cause | None = None,
    by: str = "",
) -> None:
    """
    Start no more items of a job; *cause* says why, where nobody asked for it; else *by* says who did.
    """
    revoked = await _revoke(connection, queue, locked.job_id)
    await fan_outs.hold(connection, locked.job_id, revoked=revoked, cause=cause, by=by)
    if not await fan_outs.live(connection, locked.job_id):
        await _tell(connection, announcements, locked, await fan_outs.pause(connection, locked.job_id))


async def _tell(connection: Connection, announcements: Announcements, locked: Locked, event_id: int | None) -> None:
    if event_id is not None:
        await announcements.announce_items(connection, locked.job_id, locked.workspace_id, event_id)


async def terminate(
    connection: Connection, queue: Queue, announcements: Announcements, job_id: UUID, *, by: str
) -> None:
    """
    End a job of items in the caller's transaction; wake the admission when it has committed.

    Raises:
        FinalStateError: it has ended.
    """
    await jobs.lock_line(connection, job_id)
    locked = await fan_outs.lock(connection, job_id)
    if locked is None:
        raise FinalStateError("The job has ended.")
    event_id = await fan_outs.request_cancel(connection, job_id, by=by)
    if event_id is not None:
        await announcements.announce_items(connection, job_id, locked.workspace_id, event_id)
    cause = Cause(
        "", "The job was ended before this item was.", who=Blame.NOBODY, evidence={"code": TERMINATED, "by": by}
    )
    counts = await fan_outs.cancel_rest(connection, job_id, cause, revoked=await _revoke(connection, queue, job_id))
    await end_if_over(connection, queue, announcements, locked, counts, cancelled=True)


async def refuse(
    connection: Connection,
    queue: Queue,
    announcements: Announcements,
    locked: Locked,
    session: SessionUse,
    failure: Cause,
) -> None:
    """
    Stop a job whose login is not valid: one that has begun pauses until somebody has mended it, any other ends.
    """
    missing = failure.evidence.get("code") == MISSING
    begun = session.on_lost == "pause" and await awaiting.begun(connection, locked.job_id)
    cause = failure if missing and not begun else refusal(session.name, failure, begun=begun)
    await awaiting.set_awaits(connection, locked.job_id, None)
    if locked.cancel_requested_at is not None:  # it ends with what runs, for the reason that was given first
        return
    log.warning("a job has no valid login", job=str(locked.job_id), session=session.name, reason=cause.sentence)
    if begun:
        if locked.counts.pause_requested_at is None:
            await pause(connection, queue, announcements, locked, cause=cause)
        else:
            await fan_outs.set_stop_cause(connection, locked.job_id, cause)
        return
    await fan_outs.set_stop_cause(connection, locked.job_id, cause)
    await _tell(
        connection, announcements, locked, await fan_outs.request_cancel(connection, locked.job_id, by="the server")
    )
    revoked = await _revoke(connection, queue, locked.job_id)
    counts = await fan_outs.cancel_rest(connection, locked.job_id, cause, revoked=revoked)
    await end_if_over(connection, queue, announcements, replace(locked, stop_cause=cause), counts, cancelled=True)


async def cancel_surplus(connection: Connection, queue: Queue, locked: Locked, counts: FanOutRecord) -> FanOutRecord:
    """
    Cancel what a job with enough items has not begun; gives the counts after it.
    """
    if locked.max_items is None or counts.completed + counts.failed < locked.max_items or not counts.unfinished:
        return counts
    cause = Cause(
        "", f"Max runs exceeded: the job wanted {locked.max_items}.", who=Blame.NOBODY, evidence={"code": SURPLUS}
    )
    revoked = await _revoke(connection, queue, locked.job_id)
    return await fan_outs.cancel_rest(connection, locked.job_id, cause, revoked=revoked)


async def end_if_over(
    connection: Connection,
    queue: Queue,
    announcements: Announcements,
    locked: Locked,
    counts: FanOutRecord,
    *,
    cancelled: bool,
) -> bool:
    """
    End the job when no item is left, let those go on that await it, and free its key; tells whether it ended.
    """
    if counts.unfinished:
        return False
    cause = _why(locked) if cancelled else None
    ended = await fan_outs.end(
        connection, locked.job_id, JobState.CANCELLED if cancelled else JobState.COMPLETED, cause
    )
    if ended is None:
        return False
    event_id, key, held = ended
    # Those that await it are locked before its lane is: whoever begins to await takes them in the same order.
    await _let_go(connection, queue, announcements, locked.job_id)
    await jobs.leave_lane(connection, key, head=held)
    await announcements.announce_items(connection, locked.job_id, locked.workspace_id, event_id)
    return True


def _why(locked: Locked) -> Cause:
    stopped = locked.stop_cause
    refused = stopped is not None and stopped.evidence.get("code") in (REFUSED, MISSING)
    return stopped if stopped is not None and refused else Cause("", "Job was killed", who=Blame.NOBODY)


async def _let_go(connection: Connection, queue: Queue, announcements: Announcements, job_id: UUID) -> None:
    """
    Start the items of jobs that awaited an ended one; stop them instead when that did not bring what they need.
    """
    for waiting in await awaiting.let_go(connection, job_id):
        locked = await fan_outs.lock(connection, waiting.job_id)
        if locked is None:
            continue
        plan, _ = await job_reads.plan_of(connection, waiting.job_id)
        if waiting.granted or plan.fan_out is None or plan.fan_out.session is None:
            await awaiting.grant(connection, waiting.job_id)
        else:
            await refuse(connection, queue, announcements, locked, plan.fan_out.session, waiting.failure)


async def _revoke(connection: Connection, queue: Queue, job_id: UUID) -> list[int]:
    return [ticket.step for ticket in await queue.revoke(connection, str(job_id)) if ticket.step is not None]
