"""
A worker's membership: from joining the others until it leaves, or is lost.

One connection of its own, never the pool's, both beats and listens: handlers cannot starve it, and every beat proves that the
announcements still have a way to come.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Collection
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from headrace.engine.liveness import LOST_EXIT_CODE, Liveness, Watchdog, boot_seconds
from headrace.engine.outage import AbandonedError, Outage, pauses, unanswered
from headrace.engine.queries import ask

log = logging.getLogger(__name__)


class Membership:
    """
    The right to hold tickets under one worker id.

    Args:
        node: name of this machine or process, for people.
        queue_name: of the tickets that it can be given.
        abandoned: whether this worker was asked to stop, so that nothing is worth waiting for.
        on_lost: ends the children of this process; called from another thread, and bears being called twice.
        on_live: told after each heartbeat until when this process may act, in `boot_seconds`.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        *,
        node: str,
        slots: int,
        queue_name: str,
        liveness: Liveness,
        abandoned: Callable[[], bool],
        on_lost: Callable[[str], None],
        on_live: Callable[[float], None],
    ) -> None:
        self._pool = pool
        self._node = node
        self._slots = slots
        self._queue_name = queue_name
        # The engine's own name for where its tickets are announced.
        self._channel = f"procrastinate_queue_v1#{queue_name}"
        self._liveness = liveness
        self._abandoned = abandoned
        self._on_lost = on_lost
        self._on_live = on_live
        self._loop = asyncio.get_running_loop()
        self._worker_id: int | None = None
        self._duty: asyncio.Task[None] | None = None
        self._watchdog = Watchdog(liveness, on_lost=self._lose)
        self._children_ended = asyncio.Event()
        self.outage = Outage(answer_seconds=liveness.answer_seconds)
        self.lost = False
        # Tickets may have come: announced, or unheard while there was no connection.
        self.on_announcement: Callable[[], None] = _nothing
        # The membership was lost: cancel the handlers, then `stand_down`.
        self.on_cancel: Callable[[], None] = _nothing

    @property
    def joined(self) -> bool:
        return self._worker_id is not None

    @property
    def worker_id(self) -> int:
        if self._worker_id is None:
            raise RuntimeError("not a member yet")
        return self._worker_id

    async def join(self) -> int:
        """
        Become a member, as soon as the database answers.

        Raises:
            AbandonedError: the worker was asked to stop first.
        """
        rows = await self.ride("join", unless=self._abandoned, node=self._node, slots=self._slots)
        self._worker_id = int(rows[0][0])
        log.info("Joined as worker %s with %d slots.", self._worker_id, self._slots)
        self._watchdog.start()
        self._duty = asyncio.create_task(self._attend(), name="headrace-membership")
        return self._worker_id

    async def drain(self) -> None:
        """
        Tell admission that these slots will not be filled again; a courtesy, so no answer is waited for.
        """
        with contextlib.suppress(AbandonedError):
            await self.ride("drain", unless=_always, worker_id=self.worker_id)

    async def leave(self) -> None:
        """
        Give up the membership; tickets that it still holds go to others at once.

        To be called when no handler runs any more. After a loss this waits for the database, so that whoever joins next finds the
        old tickets back on the queue.
        """
        if self.lost:
            await self.stand_down()
        given_up = self._abandoned if self.lost else lambda: self.lost
        try:
            with contextlib.suppress(AbandonedError):  # then another node's reaper does it
                await self.ride("reap", unless=given_up, worker_id=self.worker_id, ttl_seconds=None)
        finally:
            self._watchdog.stand_down()
            if self._duty is not None:
                self._duty.cancel()
                await asyncio.wait([self._duty])

    async def stand_down(self, handlers: Collection[asyncio.Task[Any]] = ()) -> None:
        """
        After a loss, wait until *handlers* and the children have ended, and let the process live on.
        """
        if handlers:
            await asyncio.wait(handlers)
        await self._children_ended.wait()
        self._watchdog.stand_down()

    async def ride(self, name: str, *, unless: Callable[[], bool], **values: Any) -> list[TupleRow]:
        """
        Run a statement on the pool, committed by itself, and repeat it through an outage.
        """

        async def call() -> list[TupleRow]:
            async with self._pool.connection() as connection:
                return await ask(connection, name, **values)

        return await self.outage.ride(call, unless=unless)

    def gone(self, reason: str) -> None:
        """
        End this process: its tickets are already with others.
        """
        self.lost = True
        log.critical("%s Ending this process.", reason)
        try:
            self._on_lost(reason)
        finally:
            os._exit(LOST_EXIT_CODE)

    def _lose(self, reason: str) -> None:
        """
        Stop everything, from the watchdog's thread; the process lives on if that succeeds in time.
        """
        self.lost = True
        log.error("%s Ending the children and handlers of worker %s.", reason, self._worker_id)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is left to cancel
            self._loop.call_soon_threadsafe(self.on_cancel)
        try:
            self._on_lost(reason)
        except Exception:
            # Nobody stands down now, so the watchdog ends the process at its deadline, and the children with it.
            log.exception("Ending the children failed.")
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._children_ended.set)

    async def _attend(self) -> None:
        """
        Beat and listen until lost, on a new connection whenever the old one broke.
        """
        pause = pauses()
        while not self.lost:
            try:
                async with await self._connect() as connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
                    self.on_announcement()
                    while not self.lost:
                        await self._beat(connection)
                        pause = pauses()
                        await self._listen(connection)
            except Exception as error:
                if not unanswered(error):
                    log.exception("The heartbeat failed.")  # the watchdog acts if it goes on
                self.outage.seen(error)
                await asyncio.sleep(next(pause))

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        # The pool's own way to say where the database is; its parameters may be functions that fetch a fresh password.
        conninfo = await self._pool._resolve_conninfo()  # noqa: SLF001 - no public way, and the engine reads it there as well
        kwargs = await self._pool._resolve_kwargs()  # noqa: SLF001 - as above
        limits = {"autocommit": True, "connect_timeout": max(2, round(self._liveness.answer_seconds))}
        return await psycopg.AsyncConnection.connect(conninfo, **{**kwargs, **limits})

    async def _beat(self, connection: psycopg.AsyncConnection[Any]) -> None:
        sent_at = boot_seconds()
        async with asyncio.timeout(self._liveness.answer_seconds):
            rows = await ask(connection, "beat", worker_id=self.worker_id, queue_name=self._queue_name)
        if not rows and not self.lost:
            self.gone(f"Worker {self.worker_id} was taken for dead.")
        self._watchdog.beat(sent_at)
        self._on_live(sent_at + self._liveness.exit_after_seconds)
        if any(waits for _worker_id, waits in rows):
            self.on_announcement()
        self.outage.over()

    async def _listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """
        Pass announcements on until the next beat is due.

        The driver's own wait looks at its socket ten times a second, so it is asked only once there is something to read.
        """
        until = self._loop.time() + self._liveness.beat_seconds
        wait_seconds = 0.0  # at first for those that came with the answer to the beat
        while True:
            async for _ in connection.notifies(timeout=wait_seconds, stop_after=1):
                self.on_announcement()
            try:
                async with asyncio.timeout_at(until):
                    await self._readable(connection)
            except TimeoutError:
                return
            wait_seconds = max(0.0, until - self._loop.time())

    async def _readable(self, connection: psycopg.AsyncConnection[Any]) -> None:
        readable = self._loop.create_future()
        descriptor = connection.fileno()
        self._loop.add_reader(descriptor, _end, readable)
        try:
            await readable
        finally:
            self._loop.remove_reader(descriptor)


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)


def _nothing() -> None:
    pass


def _always() -> bool:
    return True
