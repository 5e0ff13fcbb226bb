"""
One worker's way with a single item of a fan-out: claim it, run it, settle what came of it.

Whatever runs the item knows no store; it hands back an `ItemEnd`, and everything else happens here under the item's own token.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import structlog

from headrace.core import queue
from headrace.core.errors import FencedError, RetriableError
from headrace.core.fan_out import ItemEnd
from headrace.core.outcome import Blame, Cause, Failed, Interrupted
from headrace.core.queue import Handler, Ticket
from headrace.engine.lasting import lasting
from headrace.engine.overtaken import OvertakenError, overtaken
from headrace.services.fan_outs import ended_while_running
from headrace.services.item_attempts import ItemAttempts, ItemWork
from headrace.store.item_tries import ItemStanding

log = structlog.get_logger(__name__)

_WATCH_SECONDS = 1.0


class RunItem(Protocol):
    """
    Runs one try of an item.

    When it returns or raises, no child of it is left; cancelled, it ends its children first. What goes wrong in the item is a `Failed`.
    """

    async def __call__(self, work: ItemWork) -> ItemEnd: ...


class ItemWorker:
    """
    Handles the tickets of items.

    Args:
        node_id: of this process; written on every try.
        max_crashes: tries that may end without a word before an item is parked as failed.
        clock: gives aware UTC datetimes.
    """

    def __init__(
        self,
        attempts: ItemAttempts,
        run_item: RunItem,
        *,
        node_id: UUID,
        node_name: str,
        max_crashes: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._attempts = attempts
        self._run_item = run_item
        self._node_id = node_id
        self._node_name = node_name
        self._max_crashes = max_crashes
        self._clock = clock

    async def handle(self, ticket: Ticket, hold: queue.Claim) -> None:
        """
        Run the item of one ticket once.

        Cancelled by the engine, it ends the children and hands the item back, unless the worker was lost: then it writes nothing.

        Raises:
            OvertakenError: another worker has claimed the item.
        """
        assert ticket.step is not None  # noqa: S101 - `route` sends nothing else here
        work = await self._claim(UUID(ticket.job_id), ticket.step, hold)
        if work is None:
            return
        with structlog.contextvars.bound_contextvars(job=ticket.job_id, item=work.item.id, attempt=work.claim.token):
            try:
                end = await self._run(work)
            except asyncio.CancelledError:
                if not hold.lost:
                    with contextlib.suppress(OvertakenError):
                        await asyncio.shield(self._settle(work, ItemEnd(outcome=Interrupted()), hold))
                raise
            except FencedError as error:
                raise overtaken(error) from error
            except RetriableError:  # the store of files is away, say: the item has not failed, and no worker has died
                await lasting(lambda: self._attempts.hand_back(work.claim))
                raise
            await self._settle(work, end, hold)

    async def _claim(self, job_id: UUID, ordinal: int, hold: queue.Claim) -> ItemWork | None:
        """
        Claim an item. Cancelled meanwhile, it is claimed all the same, and given back: else it would be the item of a worker that is not there.
        """
        claim = self._attempts.claim(job_id, ordinal, node_id=self._node_id, node_name=self._node_name)
        claiming = asyncio.ensure_future(claim)
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            work = await claiming
            if work is not None and not hold.lost:
                await lasting(lambda: self._attempts.hand_back(work.claim))
            raise

    async def _run(self, work: ItemWork) -> ItemEnd:
        if work.item.crashes >= self._max_crashes:
            return ItemEnd(outcome=_parked(work))
        if work.job.cancel_requested_at is not None:
            return ItemEnd(outcome=ended_while_running(work.item.name))
        run = asyncio.create_task(self._try(work))
        watch = asyncio.create_task(self._watch(work))
        try:
            await asyncio.wait({run, watch}, return_when=asyncio.FIRST_COMPLETED)
            if run.done():
                return await run
            await _end(run)
            if (await watch).fenced:
                raise FencedError("Another worker owns this item now.")
            return await run if not run.cancelled() else ItemEnd(outcome=ended_while_running(work.item.name))
        finally:
            watch.cancel()
            if not run.done():
                await _end(run)

    async def _try(self, work: ItemWork) -> ItemEnd:
        try:
            return await self._run_item(work)
        except (FencedError, RetriableError):
            raise
        except Exception as error:  # the edge of one try: a bug costs it a try like any failure
            log.exception("the runner of an item failed")
            return ItemEnd(outcome=_broken(work, error))

    async def _watch(self, work: ItemWork) -> ItemStanding:
        """
        Look after the claim; returns when the try has to end.
        """
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                standing = await self._attempts.standing(work.claim)
            except RetriableError:
                continue
            if standing.fenced or standing.cancel_requested:
                return standing

    async def _settle(self, work: ItemWork, end: ItemEnd, hold: queue.Claim) -> None:
        now = self._clock()
        try:
            await lasting(lambda: self._attempts.settle(work, end, ticket=hold, now=now))
        except FencedError as error:
            raise overtaken(error) from error


def route(jobs: Handler, items: Handler) -> Handler:
    """
    Send the tickets of items one way, and those of whole jobs the other.
    """

    async def handle(ticket: Ticket, hold: queue.Claim) -> None:
        await (jobs if ticket.step is None else items)(ticket, hold)

    return handle


async def _end(run: asyncio.Task[Any]) -> None:
    """
    End a try; it returns when no child is left.
    """
    run.cancel()
    await asyncio.wait({run})


def _broken(work: ItemWork, error: Exception) -> Failed:
    return Failed(
        Cause(
            work.item.name,
            "The server failed to run this item.",
            who=Blame.OPERATOR,
            instruction="Look for the item's id in the worker's log.",
            evidence={"code": "internal", "exception": type(error).__name__},
        )
    )


def _parked(work: ItemWork) -> Failed:
    return Failed(
        Cause(
            work.item.name,
            f"The worker died {work.item.crashes} times while it ran this item.",
            who=Blame.OPERATOR,
            instruction="Look at the worker's own log and the machine's memory before running it again.",
            evidence={"code": "crashed", "crashes": work.item.crashes},
        ),
        fatal=True,
    )
