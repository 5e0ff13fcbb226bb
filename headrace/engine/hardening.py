"""
Procrastinate's manager and worker, hardened.

What each override is for was measured on version 3.10 or read in its source; the contract suite holds them in place when the version moves:

- `fetch_job`: the race for a lane (unique violation) ends the stock worker; so does an outage. A fetch whose answer was lost leaves a
  ticket that no handler knows of. An announcement that arrives while a fetch is under way is dropped by the stock loop.
- `finish_job`, `retry_job`: the stock ones match the id only, so a worker taken for dead could finish another's ticket; and they give up
  at the first connection error, which leaves the lane held for ever.
- `register_worker`, `unregister_worker`, `prune_stalled_workers`: the stock ones forget a dead worker without putting its tickets back.
- side tasks: the stock worker stops its heartbeat before it waits for running handlers. Heartbeat and listening are the membership's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

import procrastinate
import psycopg
from procrastinate import exceptions, jobs, manager, retry, worker
from psycopg import errors
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from headrace.core.errors import FencedError
from headrace.core.queue import Connection, Refill
from headrace.engine.membership import Membership
from headrace.engine.outage import AbandonedError, unanswered
from headrace.engine.queries import ask, query

TASK: Final = "headrace.ticket"
STRAY_CHECK_SECONDS: Final = 30.0
LONGEST_DELAY_SECONDS: Final = 60

log = logging.getLogger(__name__)


class EntryClaim:
    """
    The claim on one entry of the engine's table.
    """

    def __init__(self, membership: Membership, job: jobs.Job, *, forget: Callable[[jobs.Job], None]) -> None:
        self._membership = membership
        self._job = job
        self._forget = forget
        self.worker_id = membership.worker_id

    @property
    def lost(self) -> bool:
        return self._membership.lost

    async def settle(self, connection: Connection) -> None:
        await self.settle_all(connection, [self])

    @staticmethod
    async def settle_all(connection: Connection, claims: Sequence[EntryClaim]) -> None:
        worker_id = claims[0].worker_id
        entry_ids = [claim._job.id for claim in claims]  # noqa: SLF001 - ours
        rows = await ask(connection, "finish_all", entry_ids=entry_ids, worker_id=worker_id)
        if len(rows) < len(claims) or any(claim.lost for claim in claims):
            raise FencedError(
                "Another worker was given this work.",
                "Write nothing more and end its child processes.",
                worker_id=worker_id,
            )

    def settled(self) -> None:
        self._forget(self._job)


class ComeBack(retry.BaseRetryStrategy):
    """
    A ticket whose handler did not return comes back: at once if the handler was cancelled, else after 1 s, doubled up to 60 s.
    """

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> retry.RetryDecision:
        if isinstance(exception, asyncio.CancelledError):
            return retry.RetryDecision()
        return retry.RetryDecision(retry_in={"seconds": min(LONGEST_DELAY_SECONDS, 2 ** min(job.attempts, 10))})


class TicketManager(manager.JobManager):
    """
    The engine's table as seen by one member: fenced by its worker id, and patient.
    """

    def __init__(
        self,
        connector: procrastinate.PsycopgConnector,
        pool: AsyncConnectionPool[Any],
        membership: Membership,
        *,
        halted: Callable[[], bool],
    ) -> None:
        super().__init__(connector)
        self._pool = pool
        self._membership = membership
        self._halted = halted
        self._held: set[int] = set()
        self._ready: deque[jobs.Job] = deque()  # taken in the transactions that freed their slots
        self._taking = 0
        self._handing_back: asyncio.Task[None] | None = None
        self._returning = False
        self._strays_possible = False
        self._strays_checked_at = asyncio.get_running_loop().time()
        self.announcements = 0

    async def prune_stalled_workers(self, seconds_since_heartbeat: float) -> list[int]:
        return []  # the reaper's work, together with the tickets

    async def register_worker(self) -> int:
        return await self._membership.join()

    async def unregister_worker(self, worker_id: int) -> None:
        await self._membership.leave()

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> jobs.Job | None:
        """
        Claim the next ticket, or none if there is none now; then the caller waits for an announcement or the poll.
        """
        while not self._done_fetching():
            if self._ready:
                return self._ready.popleft()
            heard = self.announcements
            try:
                job = await self._membership.outage.ride(
                    lambda: self._fetch_once(queues, worker_id), unless=self._done_fetching
                )
            except exceptions.UniqueViolation:  # another worker took the lane between our look and our claim
                await asyncio.sleep(0)
                continue
            except AbandonedError:
                return None
            if self._membership.lost:
                return None  # answered too late: whatever it is, others get it with the rest
            if job is not None or heard == self.announcements:
                return job
        return None

    async def finish_job(self, job: jobs.Job, status: jobs.Status, delete_job: bool) -> None:
        if status is jobs.Status.SUCCEEDED:
            await self._let_go(job, "finish")
        else:  # nothing that a handler of ours can bring about; a ticket is never thrown away
            await self._let_go(job, "hand_back", delay_seconds=LONGEST_DELAY_SECONDS)

    async def retry_job(
        self,
        job: jobs.Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        delay_seconds = (retry_at - datetime.now(UTC)).total_seconds() if retry_at else 0.0
        await self._let_go(job, "hand_back", delay_seconds=max(0.0, delay_seconds))

    def forget(self, job: jobs.Job) -> None:
        """
        Know that a ticket is off the queue, by its handler's own transaction.
        """
        if job.id is not None:
            self._held.discard(job.id)

    @contextmanager
    def refilling(self, queue_name: str) -> Iterator[Refill]:
        """
        Lend what takes tickets in a transaction of the caller's; they are handed out when the block has ended well.
        """
        taken: list[jobs.Job] = []
        began = False

        async def refill(connection: Connection, slots: int) -> None:
            nonlocal began
            if self._done_fetching() or self._returning or self._strays_due():
                return
            self._taking += not began
            began = True
            taken.extend(await _take(connection, queue_name, self._membership.worker_id, slots))

        try:
            yield refill
        except BaseException:  # it may have committed all the same, when the answer was lost
            if taken:
                self._strays_possible = True
                self._membership.on_announcement()
            raise
        else:
            self._held.update(job.id for job in taken if job.id is not None)
            self._ready.extend(taken)
            if taken:
                self._membership.on_announcement()
            if taken and self._halted():  # the end of fetching has handed back what was ready then
                self._handing_back = asyncio.create_task(self.hand_back_ready(), name="headrace-hand-back")
        finally:
            self._taking -= began

    async def hand_back_ready(self) -> None:
        """
        Give up what no handler has begun; a courtesy, so no answer is waited for: leaving the membership does the same.
        """
        while self._ready:
            job = self._ready.popleft()
            self.forget(job)
            with suppress(AbandonedError):
                await self._membership.ride(
                    "hand_back",
                    unless=lambda: True,
                    entry_id=job.id,
                    worker_id=self._membership.worker_id,
                    delay_seconds=0.0,
                )

    def _strays_due(self) -> bool:
        late = asyncio.get_running_loop().time() - self._strays_checked_at >= STRAY_CHECK_SECONDS
        return self._strays_possible or late

    def _done_fetching(self) -> bool:
        return self._membership.lost or self._halted()

    async def _fetch_once(self, queues: Iterable[str] | None, worker_id: int) -> jobs.Job | None:
        await self._return_strays(worker_id)
        try:
            job = await super().fetch_job(queues=queues, worker_id=worker_id)
        except exceptions.ConnectorException as error:
            if isinstance(error.__cause__, errors.ForeignKeyViolation):
                self._membership.gone(f"Worker {worker_id} was taken for dead.")
            self._strays_possible = self._strays_possible or unanswered(error)
            raise
        except (asyncio.CancelledError, OSError):
            self._strays_possible = True
            raise
        if job is not None and job.id is not None:
            self._held.add(job.id)
        return job

    async def _return_strays(self, worker_id: int) -> None:
        """
        Put back what this member fetched without hearing of it.

        Right only here, where no other fetch is under way, and while nothing is taken in a transaction whose end is not known yet.
        """
        if not self._strays_due() or self._taking:
            return
        self._returning = True
        try:
            async with self._pool.connection() as connection:
                rows = await ask(connection, "return_strays", worker_id=worker_id, held=list(self._held))
        finally:
            self._returning = False
        self._strays_possible, self._strays_checked_at = False, asyncio.get_running_loop().time()
        if rows:
            log.warning("Put back %d tickets whose fetch was interrupted.", len(rows))

    async def _let_go(self, job: jobs.Job, statement: str, **values: Any) -> None:
        membership = self._membership
        if job.id not in self._held or membership.lost:
            return
        try:
            await membership.ride(
                statement, unless=lambda: membership.lost, entry_id=job.id, worker_id=membership.worker_id, **values
            )
        except AbandonedError:
            return
        except psycopg.Error:
            log.exception("Job entry %s could not be let go; it comes back with the next look for strays.", job.id)
        # No row is as good: the handler settled it in its own transaction, or a lost answer hid that it is done, or others hold it.
        self._held.discard(job.id)


class TicketWorker(worker.Worker):
    """
    The engine's fetch loop and slots, without its own heartbeat, listener, periodic and abort tasks.
    """

    def __init__(
        self,
        app: procrastinate.App,
        membership: Membership,
        *,
        stop_asked: asyncio.Event,
        halt: asyncio.Event,
        **options: Any,
    ) -> None:
        super().__init__(
            app, wait=True, listen_notify=False, delete_jobs="always", install_signal_handlers=False, **options
        )
        self._stop_asked = stop_asked
        self._halt = halt
        self._membership = membership
        self._ending: asyncio.Task[None] | None = None
        membership.on_announcement = self._announced
        membership.on_cancel = self._cancel_handlers

    def _start_side_tasks(self) -> list[asyncio.Task[Any]]:
        return [asyncio.create_task(self._obey(), name="headrace-stop")]

    async def _obey(self) -> None:
        await self._stop_asked.wait()
        self.stop()

    def stop(self) -> None:
        """
        Fetch no more, in this membership or another; the engine calls this too, when the task that runs it is cancelled.
        """
        self._halt.set()
        self._stop_event.set()

    async def _shutdown(self, side_tasks: list[asyncio.Task[Any]]) -> None:
        if not self._membership.lost:
            await self._membership.drain()
            if isinstance(self.app.job_manager, TicketManager):
                await self.app.job_manager.hand_back_ready()
        await super()._shutdown(side_tasks)

    def _announced(self) -> None:
        if isinstance(self.app.job_manager, TicketManager):
            self.app.job_manager.announcements += 1
        self._new_job_event.set()

    def _cancel_handlers(self) -> None:
        self._stop_event.set()
        handlers = list(self._running_jobs)
        for handler in handlers:
            handler.cancel()
        self._ending = asyncio.create_task(self._membership.stand_down(handlers), name="headrace-stand-down")


async def _take(connection: Connection, queue_name: str, worker_id: int, most: int) -> list[jobs.Job]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query("take"), {"queue_name": queue_name, "worker_id": worker_id, "most": most})
        rows: list[DictRow] = await cursor.fetchall()
    return [jobs.Job.from_row(row) for row in sorted(rows, key=lambda row: (-row["priority"], row["id"]))]
