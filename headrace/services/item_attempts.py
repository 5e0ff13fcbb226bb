"""
What a worker writes while it runs one item of a job, each write under the item's own fencing token.

What an end changes, and how those of one job are written together, is in `headrace.services.item_settling`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.core import queue
from headrace.core.auth_session import AuthSession
from headrace.core.fan_out import ItemEnd
from headrace.core.job import Job
from headrace.core.plan import Plan
from headrace.core.queue import Queue
from headrace.services.admission import Admission
from headrace.services.announcements import Announcements
from headrace.services.item_logins import ItemLogins
from headrace.services.item_settling import ItemSettling
from headrace.services.item_work import EndedTry, ItemWork
from headrace.store import item_tries, job_reads
from headrace.store.database import Connection, Database
from headrace.store.gathered_writes import GatheredWrites
from headrace.store.item_tries import ClaimedItem, ItemClaim, ItemStanding, Taking
from headrace.store.sealing import Sealer

__all__ = ["ItemAttempts", "ItemWork"]

_REMEMBERED_JOBS = 16


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
        self._admission = admission
        self._logins = logins
        self._known: OrderedDict[UUID, _Known] = OrderedDict()
        self._claims = GatheredWrites(self._claim)
        self._settling = ItemSettling(
            database, tickets, announcements, admission, item_id=item_id, chance=chance, logins=logins
        )

    async def claim(self, job_id: UUID, ordinal: int, *, node_id: UUID, node_name: str) -> ItemWork | None:
        """
        Take an item for one try; None when it has ended or waits again, as it does while the login that it needs is checked.
        """
        taking = Taking(job_id, ordinal, node_id, node_name)
        known = self._known.get(job_id)
        if known is not None and (
            self._logins is None or known.plan.fan_out is None or known.plan.fan_out.session is None
        ):
            return known.work(await self._claims.do(taking))
        async with self._database.transaction() as connection:
            job = await job_reads.read(connection, job_id)
            if job is None:
                return None
            known = await self._remembered(connection, job)
            ready, login = await self._login(connection, job, known.plan, known.sealed, ordinal)
            claimed = None
            if ready:
                (claimed,) = await item_tries.claim(connection, [taking])
        if not ready:
            self._admission.wake()
        return known.work(claimed, login)

    async def _claim(self, items: Sequence[Taking]) -> list[ClaimedItem | None]:
        async with self._database.connection() as connection:
            return await item_tries.claim(connection, items)

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
        return await self._logins.lend(connection, job, plan, sealed, ordinal)

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
            return await item_tries.standing(connection, claim)

    async def hand_back(self, claim: ItemClaim) -> None:
        """
        Undo a claim whose ticket comes again; nothing happens when somebody else owns the item.
        """
        async with self._database.connection() as connection:
            await item_tries.hand_back(connection, claim)

    async def settle(self, work: ItemWork, end: ItemEnd, *, ticket: queue.Claim, now: datetime) -> None:
        """
        End the try, and with the last item the job; put the items it asked for behind the others.

        Tries of one job that end while others are written down are written together.

        Raises:
            FencedError: somebody else owns the item.
        """
        await self._settling.settle(EndedTry(work=work, end=end, ticket=ticket, now=now))
