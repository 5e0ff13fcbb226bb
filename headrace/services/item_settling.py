"""
The end of an item's try: what becomes of the item, of its job, and of the slot.

An item's end, what it asked for besides, the delivery of its outcome, the end of the job by its last item, the admission of the next ones
and the tickets that this worker takes for the slots are one transaction. All items of a job queue behind one row, so those that end
while such a transaction is under way are written in the next one together, in the order in which they ended: the row is held for one
commit then, not for as many as there are slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

import msgspec

from headrace.core.errors import FencedError
from headrace.core.fan_out import Item, ItemEnd, ItemSettlement, NewItem, settle_item
from headrace.core.outcome import Cancelled, Failed, Interrupted, Succeeded
from headrace.core.plan import FanOut
from headrace.core.queue import Queue
from headrace.core.state import JobState
from headrace.services.admission import Admission
from headrace.services.announcements import Announcements
from headrace.services.fan_outs import cancel_surplus, end_if_over, ended_while_running
from headrace.services.item_logins import ItemLogins
from headrace.services.item_work import EndedTry, ItemWork
from headrace.store import awaiting, fan_outs, item_tries
from headrace.store.database import Connection, Database
from headrace.store.fan_outs import Locked
from headrace.store.gathered_writes import GatheredWrites
from headrace.store.item_tries import SettledTry


class ItemSettling:
    """
    Args:
        item_id: makes the id of an item that is added while the job runs.
        chance: gives numbers evenly spread between 0 and 1.
        logins: takes note of what tries found out; None where no plan needs any.
    """

    def __init__(
        self,
        database: Database,
        tickets: Queue,
        announcements: Announcements,
        admission: Admission,
        *,
        item_id: Callable[[], str],
        chance: Callable[[], float],
        logins: ItemLogins | None,
    ) -> None:
        self._database = database
        self._queue = tickets
        self._announcements = announcements
        self._admission = admission
        self._item_id = item_id
        self._chance = chance
        self._logins = logins
        self._jobs: dict[UUID, GatheredWrites[EndedTry, None]] = {}

    async def settle(self, ended: EndedTry) -> None:
        """
        Write down the end of one try.

        Raises:
            FencedError: somebody else owns the item; the ends that were to be written with it are, without it.
            StoreUnavailableError: nothing was written.
        """
        job_id = ended.work.job.id
        writes = self._jobs.get(job_id)
        if writes is None:
            writes = self._jobs[job_id] = GatheredWrites(partial(self._settle_all, job_id))
        try:
            await writes.do(ended)
        finally:
            if writes.idle:
                self._jobs.pop(job_id, None)

    async def _settle_all(self, job_id: UUID, ended: Sequence[EndedTry]) -> Sequence[None]:
        """
        Write down the ends of tries of one job, all or none.
        """
        tickets = [one.ticket for one in ended]
        with self._queue.refilling() as refill:
            async with self._database.transaction() as connection:
                locked = await fan_outs.lock(connection, job_id)
                if locked is None:
                    raise FencedError("The job of this item has ended.", job=str(job_id))
                await self._write(connection, locked, ended)
                await self._queue.settle(connection, tickets)
                await self._admission.admit(connection)
                await refill(connection, len(tickets))
            for ticket in tickets:
                ticket.settled()
        return [None] * len(ended)

    async def _write(self, connection: Connection, locked: Locked, ended: Sequence[EndedTry]) -> None:
        ends = [await self._noted(connection, one.work, _as_asked(one, locked)) for one in ended]
        fan_out = ended[0].work.fan_out
        grows = fan_out.grows and locked.cancel_requested_at is None
        added = [self._added(fan_out, end) if grows else [] for end in ends]
        tries = [self._settled(*each) for each in zip(ended, ends, added, strict=True)]
        counts = await item_tries.settle(connection, locked.job_id, tries)
        if counts is None:
            raise FencedError("Another worker owns this item now.", job=str(locked.job_id))
        for one, settled, new in zip(ended, tries, added, strict=True):
            await self._tell(connection, one, settled)
            await fan_outs.add(connection, locked.job_id, fan_out, new, parent=one.work.item.ordinal)
        counts = replace(counts, total=counts.total + sum(map(len, added)))
        counts = await cancel_surplus(connection, self._queue, locked, counts)
        cancelled = locked.cancel_requested_at is not None
        over = await end_if_over(connection, self._queue, self._announcements, locked, counts, cancelled=cancelled)
        if not over and locked.counts.pause_requested_at is not None:
            await self._rest(connection, locked)

    async def _noted(self, connection: Connection, work: ItemWork, end: ItemEnd) -> ItemEnd:
        """
        Write down what the try has found out about its login, or made of it.
        """
        use = work.fan_out.session
        if use is None or work.login is None or self._logins is None:
            return end
        if use.operation is not None:
            await awaiting.lock_waiting(connection, work.job.id)
            await self._logins.settle(connection, work.login, use, work.sealed, end)
            return end
        return await self._logins.note(connection, work.login, work.item, end)

    def _settled(self, one: EndedTry, end: ItemEnd, added: Sequence[NewItem]) -> SettledTry:
        settlement = settle_item(
            end.outcome,
            one.work.fan_out,
            failures=one.work.item.failures,
            max_attempts=one.work.item.max_attempts,
            now=one.now,
            chance=self._chance(),
        )
        return SettledTry(claim=one.work.claim, end=end, settlement=settlement, appended=_listed(end, added))

    async def _tell(self, connection: Connection, one: EndedTry, settled: SettledTry) -> None:
        sink = one.work.fan_out.sink
        if settled.settlement.state.final and sink is not None:
            final = _final(one.work.item, settled.end, settled.settlement, one.now, appended=settled.appended)
            await self._announcements.tell_item(connection, one.work.job, sink, final)

    async def _rest(self, connection: Connection, locked: Locked) -> None:
        """
        Call the job paused when nothing is in flight any more.
        """
        if locked.state is JobState.RUNNING and not await fan_outs.live(connection, locked.job_id):
            event_id = await fan_outs.pause(connection, locked.job_id)
            if event_id is not None:
                await self._announcements.announce_items(connection, locked.job_id, locked.workspace_id, event_id)

    def _added(self, plan: FanOut, end: ItemEnd) -> list[NewItem]:
        return [
            NewItem(
                id=self._item_id(),
                name=wanted.name,
                input=wanted.input,
                timeout_seconds=plan.timeout_seconds,
                max_attempts=plan.max_attempts,
            )
            for wanted in end.wanted
        ]


def _as_asked(one: EndedTry, locked: Locked) -> ItemEnd:
    """
    Drop what goes with success alone, and the next try of a job that is to end: nobody would ever begin it.
    """
    end, to_end = one.end, locked.cancel_requested_at is not None
    match end.outcome:
        case Succeeded():
            return end
        case Failed(cause=cause, output=output) if to_end:
            return ItemEnd(outcome=Cancelled(cause, output))
        case Interrupted() if to_end:
            return ItemEnd(outcome=ended_while_running(one.work.item.name))
        case outcome:
            return ItemEnd(outcome=outcome, session=end.session)


def _final(item: Item, end: ItemEnd, settlement: ItemSettlement, now: datetime, *, appended: bytes | None) -> Item:
    """
    Give the item as its end leaves it, without reading it back.
    """
    failed = isinstance(end.outcome, Failed)
    return replace(
        item,
        state=settlement.state,
        failures=item.failures + failed,
        finished_at=now,
        cause=end.outcome.cause if isinstance(end.outcome, (Failed, Cancelled)) else None,
        result=end.result,
        appended=appended,
    )


def _listed(end: ItemEnd, added: Sequence[NewItem]) -> bytes | None:
    if not end.wanted:
        return None
    ids: list[str | None] = [item.id for item in added] if added else [None] * len(end.wanted)
    return msgspec.json.encode(
        [
            {"id": item_id, "name": wanted.name, "input": msgspec.Raw(wanted.input)}
            for item_id, wanted in zip(ids, end.wanted, strict=True)
        ]
    )
