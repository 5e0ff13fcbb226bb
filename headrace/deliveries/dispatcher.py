"""
Sends what is owed: takes payloads from the outbox as they come due, and writes down how each try ended.

Every node may run one. A payload is taken under a lease, so that one whose sender died is sent again by another: at least once,
always under the same id. Of one job and endpoint only the oldest owed payload is under way. No endpoint delays another: each host
has its own bound, and what is over it stays in the outbox instead of in a queue here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import structlog

from headrace.core.errors import HeadraceError, RetriableError
from headrace.deliveries.webhook import Answer, pause_before_next
from headrace.store.deliveries import Deliveries, Delivery, host_of

log = structlog.get_logger(__name__)

_BRIEFLY_SECONDS = 0.2  # between looks while something is due that may not start yet
_TRY_OF_LEASE = 0.8  # the rest is for writing down how it ended


class Sender(Protocol):
    """Makes one try of one payload; raises nothing that it foresees."""

    async def send(self, delivery: Delivery, *, secrets: str) -> Answer: ...


def by_table(delivery: Delivery, answer: Answer, chance: float) -> timedelta | None:
    """
    Pause as webhooks do.
    """
    return pause_before_next(answer, tries=delivery.attempts, chance=chance)


class Dispatcher:
    """
    Args:
        deliveries: the outbox.
        secrets_of: gives the signing secrets of a workspace's endpoint by its URL, one a line; empty when it has none.
        sender: makes the tries.
        chance: gives numbers evenly spread between 0 and 1.
        pause: says how long to wait after a failed try; None gives the delivery up.
        concurrency: tries at once.
        per_host: tries at once to one host and port.
        lease: after it a payload whose sender died is sent by another; a try is ended a little earlier.
        poll_seconds: how often to look for payloads that nobody woke us for.
        farewell_seconds: how long tries may still take when we are stopped.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        secrets_of: Callable[[UUID, str], Awaitable[str]],
        sender: Sender,
        *,
        chance: Callable[[], float],
        pause: Callable[[Delivery, Answer, float], timedelta | None] = by_table,
        concurrency: int = 32,
        per_host: int = 4,
        lease: timedelta = timedelta(seconds=60),
        poll_seconds: float = 1.0,
        farewell_seconds: float = 3.0,
    ) -> None:
        self._deliveries = deliveries
        self._secrets_of = secrets_of
        self._sender = sender
        self._chance = chance
        self._pause = pause
        self._concurrency = concurrency
        self._per_host = per_host
        self._lease = lease
        self._longest_try_seconds = lease.total_seconds() * _TRY_OF_LEASE
        self._poll_seconds = poll_seconds
        self._farewell_seconds = farewell_seconds
        self._under_way: dict[asyncio.Task[None], str] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """
        Look at the outbox now: something has just been written to it.
        """
        self._woken.set()

    async def tick(self) -> int:
        """
        Begin as many tries as are due and may run; tells how many.

        Raises:
            StoreUnavailableError: none was begun.
        """
        free = self._concurrency - len(self._under_way)
        if free <= 0:
            return 0
        taken = await self._deliveries.take_due(
            limit=free, lease=self._lease, per_host=self._per_host, busy=Counter(self._under_way.values())
        )
        for delivery in taken:
            task = asyncio.create_task(self._try(delivery), name=f"delivery {delivery.id}")
            self._under_way[task] = host_of(delivery.url)
            task.add_done_callback(self._ended)
        return len(taken)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._woken.set()

    async def settled(self) -> None:
        """
        Return when no try is under way.
        """
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    async def run(self) -> None:
        """
        Send what is owed, until cancelled; tries under way then get a moment to end, and their leases run out if they do not.
        """
        try:
            while True:
                self._woken.clear()
                pause = await self._turn()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):  # wait_for of Python 3.11 may lose a cancellation
                        await self._woken.wait()
        finally:
            await self._farewell()

    async def _turn(self) -> float:
        """Make one tick if anything is due and say for how long nothing will be; the duty outlives its failures."""
        try:
            if len(self._under_way) >= self._concurrency:
                return self._poll_seconds
            next_after = await self._deliveries.seconds_to_next()  # on an idle server this small read is all there is
            if next_after == 0 and await self.tick():
                return _BRIEFLY_SECONDS
        except RetriableError as error:
            log.warning("deliveries wait", reason=error.reason)
        except Exception:  # the edge of the duty: one bad tick must not end it
            log.exception("deliveries failed")
        else:
            if next_after is not None:
                return min(self._poll_seconds, max(_BRIEFLY_SECONDS, next_after))
        return self._poll_seconds

    async def _farewell(self) -> None:
        tasks = set(self._under_way)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._farewell_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _try(self, delivery: Delivery) -> None:
        try:
            answer = await self._answer(delivery)
            await self._settle(delivery, answer)
        except RetriableError as error:  # its lease runs out, then it is sent again under the same id
            log.warning("delivery not written down", delivery=str(delivery.id), reason=error.reason)

    async def _answer(self, delivery: Delivery) -> Answer:
        try:
            async with asyncio.timeout(self._longest_try_seconds):
                secrets = await self._secrets_of(delivery.workspace_id, delivery.url)
                return await self._sender.send(delivery, secrets=secrets)
        except RetriableError:
            raise
        except TimeoutError:
            return Answer(error=f"The try was ended after {self._longest_try_seconds:g} s.")
        except HeadraceError as error:
            return Answer(error=error.reason)
        except Exception:  # the edge of one try: a bug costs it a try like any failure, so that it ends some day
            log.exception("delivery failed", delivery=str(delivery.id))
            return Answer(error="The server could not send it; the server's log says why.")

    async def _settle(self, delivery: Delivery, answer: Answer) -> None:
        if not answer.error:
            await self._deliveries.settle(delivery, state="delivered", status=answer.status, error=None)
            return
        pause = self._pause(delivery, answer, self._chance())
        state = "failed" if pause is None else "pending"
        await self._deliveries.settle(
            delivery, state=state, status=answer.status, error=answer.error, retry_after=pause
        )
        log.info(
            "delivery given up" if pause is None else "delivery will be tried again",
            delivery=str(delivery.id),
            job=str(delivery.job_id),
            tries=delivery.attempts,
            reason=answer.error,
        )
