"""
What a worker writes while it runs one item of a job, each write under the item's own fencing token.

An item's end, what it asked for besides, the delivery of its outcome, the end of the job by its last item and the admission of the
next one are one transaction.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from headrace.core import queue
from headrace.core.auth_session import AuthSession
from headrace.core.errors import FencedError
from headrace.core.fan_out import Item, ItemEnd, ItemSettlement, NewItem, settle_item
from headrace.core.job import Job
from headrace.core.outcome import Cancelled, Failed, Succeeded
from headrace.core.plan import FanOut, Plan
from headrace.core.queue import Queue
from headrace.core.state import JobState
from headrace.services.admission import Admission
from headrace.services.announcements import Announcements
from headrace.services.fan_outs import cancel_surplus, end_if_over
from headrace.services.item_logins import ItemLogins
from headrace.store import fan_outs, job_reads
from headrace.store.database import Connection, Database
from headrace.store.fan_outs import ClaimedItem, ItemClaim, ItemStanding, Locked
from headrace.store.sealing import Sealer

_REMEMBERED_JOBS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemWork:
    """
    Everything one try of an item needs to know; secrets are open in it, so it is never logged.

    Attributes:
        job: what never changes of it, and whether somebody asked it to end; the rest may be as it was at an earlier claim.
        sealed: inputs that came with the job, by the names the plan refers to.
        login: what the item is called with, or, in an operation on a login, that one; None where there is none.
    """

    claim: ItemClaim
    item: Item
    job: Job
    plan: Plan
    sealed: Mapping[str, Any]
    login: AuthSession | None = None

    @property
    def fan_out(self) -> FanOut:
        assert self.plan.fan_out is not None  # noqa: S101 - only such jobs have items
        return self.plan.fan_out


@dataclass(frozen=True, slots=True)
class _Known:
    """A job with its plan and open inputs; of the job's record, only what never changes is for use."""

    job: Job
    plan: Plan
    sealed: dict[str, Any]

    def work(self, claimed: ClaimedItem | None, login: AuthSession | None = None) -> ItemWork | None:
        if claimed is None:
            return None
        job = replace(self.job, cancel_requested_at=claimed.cancel_requested_at)
        return ItemWork(
            claim=claimed.claim, item=claimed.item, job=job, plan=self.plan, sealed=self.sealed, login=login
        )


class ItemAttempts:
    """
    The engine's door to the store for items. Every method may raise `StoreUnavailableError`; nothing was written then.

    Args:
        item_id: makes the id of an item that is added while the job runs.
        chance: gives numbers evenly spread between 0 and 1.
        logins: lends them; None where no plan needs any.
    """

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        tickets: Queue,
        announcements: Announcements,
        admission: Admission,
        *,
        item_id: Callable[[], str],
        chance: Callable[[], float],
        logins: ItemLogins | None = None,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._queue = tickets
        self._announcements = announcements
        self._admission = admission
        self._logins = logins
        self._item_id = item_id
        self._chance = chance
        self._known: OrderedDict[UUID, _Known] = OrderedDict()

    async def claim(self, job_id: UUID, ordinal: int, *, node_id: UUID, node_name: str) -> ItemWork | None:
        """
        Take an item for one try; None when it has ended or waits again, as it does while the login that it needs is checked.
        """
        known = self._known.get(job_id)
        if known is not None and (
            self._logins is None or known.plan.fan_out is None or known.plan.fan_out.session is None
        ):
            async with self._database.connection() as connection:
                return known.work(
                    await fan_outs.claim(connection, job_id, ordinal, node_id=node_id, node_name=node_name)
                )
        async with self._database.transaction() as connection:
            job = await job_reads.read(connection, job_id)
            if job is None:
                return None
            known = await self._remembered(connection, job)
            ready, login = await self._login(connection, job, known.plan, known.sealed, ordinal)
            claimed = None
            if ready:
                claimed = await fan_outs.claim(connection, job_id, ordinal, node_id=node_id, node_name=node_name)
        if not ready:
            self._admission.wake()
        return known.work(claimed, login)

    async def _login(
        self, connection: Connection, job: Job, plan: Plan, sealed: Mapping[str, Any], ordinal: int
    ) -> tuple[bool, AuthSession | None]:
        """
        Say whether an item may be tried now, and with which login.
        """
        use = plan.fan_out.session if plan.fan_out else None
        if use is None or self._logins is None:
            return True, None
        if use.operation is not None:
            return True, await self._logins.of_operation(connection, job, use)
        if job.cancel_requested_at is not None:  # it is claimed to be cancelled
            return True, None
        login = await self._logins.lend(connection, job, plan, sealed, ordinal)
        return login is not None, login

    async def _remembered(self, connection: Connection, job: Job) -> _Known:
        """
        Give a job's plan and open inputs. Neither ever changes, so those of the last few jobs are remembered.
        """
        if job.id not in self._known:
            plan, sealed = await job_reads.plan_of(connection, job.id)
            inputs = self._sealer.open(sealed, f"job:{job.id}") if sealed is not None else {}
            self._known[job.id] = _Known(job, plan, inputs)
            if len(self._known) > _REMEMBERED_JOBS:
                self._known.popitem(last=False)
        return self._known[job.id]

    async def standing(self, claim: ItemClaim) -> ItemStanding:
        async with self._database.connection() as connection:
            return await fan_outs.standing(connection, claim)

    async def settle(self, work: ItemWork, end: ItemEnd, *, ticket: queue.Claim, now: datetime) -> None:
        """
        End the try, and with the last item the job; put the items it asked for behind the others.

        Raises:
            FencedError: somebody else owns the item.
        """
        async with self._database.transaction() as connection:
            locked = await fan_outs.lock(connection, work.job.id)
            if locked is None:
                raise FencedError("The job of this item has ended.", job=str(work.job.id))
            await self._settle(
                connection, work, await self._noted(connection, work, _as_asked(end, locked)), locked, now
            )
            await ticket.settle(connection)
            await self._admission.admit(connection)
        ticket.settled()

    async def _noted(self, connection: Connection, work: ItemWork, end: ItemEnd) -> ItemEnd:
        """
        Write down what the try has found out about its login, or made of it.
        """
        use = work.fan_out.session
        if use is None or work.login is None or self._logins is None:
            return end
        if use.operation is None:
            return await self._logins.note(connection, work.login, work.item, end)
        await self._logins.settle(connection, work.login, use, work.sealed, end)
        return end

    async def _settle(
        self, connection: Connection, work: ItemWork, end: ItemEnd, locked: Locked, now: datetime
    ) -> None:
        settlement = settle_item(
            end.outcome,
            work.fan_out,
            failures=work.item.failures,
            max_attempts=work.item.max_attempts,
            now=now,
            chance=self._chance(),
        )
        grows = work.fan_out.grows and locked.cancel_requested_at is None
        added = self._added(work.fan_out, end) if grows else []
        counts = await fan_outs.settle(connection, work.claim, end, settlement, appended=_listed(end, added))
        if counts is None:
            raise FencedError("Another worker owns this item now.", job=str(work.job.id), item=work.item.id)
        if settlement.state.final and work.fan_out.sink is not None:
            final = _final(work.item, end, settlement, now, appended=_listed(end, added))
            await self._announcements.tell_item(connection, work.job, work.fan_out.sink, final)
        await fan_outs.add(connection, work.job.id, work.fan_out, added, parent=work.item.ordinal)
        counts = await cancel_surplus(connection, self._queue, locked, replace(counts, total=counts.total + len(added)))
        ended = await end_if_over(
            connection,
            self._queue,
            self._announcements,
            locked,
            counts,
            cancelled=locked.cancel_requested_at is not None,
        )
        if not ended and locked.counts.pause_requested_at is not None:
            await self._rest(connection, locked)

    async def _rest(self, connection: Connection, locked: Locked) -> None:
        """
        Call the job paused when this was the last item in flight.
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


def _as_asked(end: ItemEnd, locked: Locked) -> ItemEnd:
    """
    Drop what goes with success alone, and the next try of a job that is to end.
    """
    match end.outcome:
        case Succeeded():
            return end
        case Failed(cause=cause, output=output) if locked.cancel_requested_at is not None:
            return ItemEnd(outcome=Cancelled(cause, output))
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
