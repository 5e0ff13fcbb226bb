"""
Jobs of items, as whoever asked for them sees and steers them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from headrace.core.errors import FinalStateError, NotFoundError
from headrace.core.fan_out import FanOutRecord, Item
from headrace.core.outcome import Blame, Cause
from headrace.core.plan import Plan
from headrace.core.queue import Queue
from headrace.core.state import JobState
from headrace.services.admission import Admission
from headrace.services.announcements import Announcements
from headrace.store import fan_outs, jobs
from headrace.store.database import Connection, Database
from headrace.store.fan_outs import ItemAttempt, Items, Locked
from headrace.store.sealing import Sealer

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

    async def pause(self, job_id: UUID) -> bool:
        """
        Start no more items of a job; those that run go on to their end. Tells whether this changed anything.
        """
        async with self._database.transaction() as connection:
            locked = await fan_outs.lock(connection, job_id)
            if locked is None or locked.counts.pause_requested_at is not None:
                return False
            revoked = await _revoke(connection, self._queue, job_id)
            await fan_outs.hold(connection, job_id, revoked=revoked)
            if not await fan_outs.live(connection, job_id):
                await self._tell(connection, locked, await fan_outs.pause(connection, job_id))
        return True

    async def resume(self, job_id: UUID) -> bool:
        """
        Start items of a paused job again; finished ones are not repeated. Tells whether this changed anything.
        """
        async with self._database.transaction() as connection:
            locked = await fan_outs.lock(connection, job_id)
            if locked is None or locked.counts.pause_requested_at is None:
                return False
            await self._tell(connection, locked, await fan_outs.resume(connection, job_id))
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
            plan, sealed = await jobs.plan_of(connection, job_id)
        return plan, self._sealer.open(sealed, f"job:{job_id}") if sealed is not None else {}

    async def sink_of(self, job_id: UUID) -> dict[str, Any] | None:
        """
        Open the sink that came with a job; None when the job is gone or has none.
        """
        async with self._database.connection() as connection:
            if await jobs.read(connection, job_id) is None:
                return None
        plan, inputs = await self.plan_of(job_id)
        if plan.fan_out is None or plan.fan_out.sink is None:
            return None
        found: dict[str, Any] | None = inputs.get(plan.fan_out.sink.sealed)
        return found

    async def _tell(self, connection: Connection, locked: Locked, event_id: int | None) -> None:
        if event_id is not None:
            await self._announcements.announce(connection, locked.job_id, locked.workspace_id, event_id)


async def terminate(
    connection: Connection, queue: Queue, announcements: Announcements, job_id: UUID, *, by: str
) -> None:
    """
    End a job of items in the caller's transaction; wake the admission when it has committed.

    Raises:
        FinalStateError: it has ended.
    """
    locked = await fan_outs.lock(connection, job_id)
    if locked is None:
        raise FinalStateError("The job has ended.")
    event_id = await fan_outs.request_cancel(connection, job_id, by=by)
    if event_id is not None:
        await announcements.announce(connection, job_id, locked.workspace_id, event_id)
    cause = Cause(
        "", "The job was ended before this item was.", who=Blame.NOBODY, evidence={"code": TERMINATED, "by": by}
    )
    counts = await fan_outs.cancel_rest(connection, job_id, cause, revoked=await _revoke(connection, queue, job_id))
    await end_if_over(connection, announcements, locked, counts, cancelled=True)


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
    connection: Connection, announcements: Announcements, locked: Locked, counts: FanOutRecord, *, cancelled: bool
) -> bool:
    """
    End the job when no item is left, and free its key; tells whether it ended.
    """
    if counts.unfinished:
        return False
    cause = Cause("", "Job was killed", who=Blame.NOBODY) if cancelled else None
    ended = await fan_outs.end(
        connection, locked.job_id, JobState.CANCELLED if cancelled else JobState.COMPLETED, cause
    )
    if ended is None:
        return False
    event_id, key, held = ended
    await jobs.leave_lane(connection, key, head=held)
    await announcements.announce(connection, locked.job_id, locked.workspace_id, event_id)
    return True


async def _revoke(connection: Connection, queue: Queue, job_id: UUID) -> list[int]:
    return [ticket.step for ticket in await queue.revoke(connection, str(job_id)) if ticket.step is not None]
