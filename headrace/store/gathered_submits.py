"""
Many submits in one transaction: those that come while one is on its way go together in the next.

A busy server spends more on the way to the database and on each commit than on a job's rows. Every submit is still all or nothing by
itself: where one cannot be written, the transaction is void and each of its jobs is written alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, LiteralString
from uuid import UUID

from headrace.store import submits
from headrace.store.database import Connection, Database
from headrace.store.submits import Entry, Submitted

# To plan the statement takes longer than to run it for one job, and no list of jobs makes a better plan than another.
_FOR_MANY: LiteralString = (
    "select set_config('lock_timeout', %(ms)s, true), set_config('plan_cache_mode', 'force_generic_plan', true)"
)

Asked = tuple[Entry, "asyncio.Future[Submitted | None]"]


class GatheredSubmits:
    """
    Args:
        most: jobs of one transaction.
        patience_seconds: how long others wait for a transaction under way, and that one for a key which another holds; its jobs are
            then written alone, so that a key which is held for long keeps nobody waiting but its own.
    """

    def __init__(self, database: Database, *, most: int = 64, patience_seconds: float = 0.1) -> None:
        self._database = database
        self._most = most
        self._patience_seconds = patience_seconds
        self._asked: list[Asked] = []
        self._going = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, entry: Entry) -> Submitted | None:
        """
        Do what `submits.submit` does, and commit it; raises what that raises, and StoreUnavailableError.
        """
        answer: asyncio.Future[Submitted | None] = asyncio.get_running_loop().create_future()
        self._asked.append((entry, answer))
        if not self._going:
            self._going = True
            self._begin(self._go_on())
        return await answer

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="gathered-submits")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _go_on(self) -> None:
        try:
            while self._asked:
                batch, self._asked = _apart(self._asked, self._most)
                await asyncio.wait({self._begin(self._write(batch))}, timeout=self._patience_seconds)
        finally:
            self._going = False

    async def _write(self, batch: Sequence[Asked]) -> None:
        if len(batch) == 1 or not await self._write_together(batch):
            await asyncio.gather(*map(self._write_alone, batch))

    async def _write_together(self, batch: Sequence[Asked]) -> bool:
        """
        Write several jobs in one transaction; False when one of them stood in the way and nothing was written.
        """
        try:
            async with self._database.connection() as connection:
                written = await self._written(connection, [entry for entry, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is for those who asked; most often the database is away
            for _, answer in batch:
                _fail(answer, error)
            return True
        if written is not None:
            for entry, answer in batch:
                _tell(answer, written.get(entry.job.id))
        return written is not None

    async def _written(self, connection: Connection, entries: Sequence[Entry]) -> dict[UUID, Submitted] | None:
        try:
            async with connection.transaction():
                patience = {"ms": f"{self._patience_seconds * 1e3:.0f}"}
                await connection.execute(_FOR_MANY, patience)
                return await submits.submit_many(connection, entries)
        except Exception:  # whatever one of them cannot have, the others may
            if connection.broken:
                raise
            return None

    async def _write_alone(self, asked: Asked) -> None:
        entry, answer = asked
        try:
            async with self._database.connection() as connection:
                written = await submits.submit(connection, entry)
        except Exception as error:  # noqa: BLE001 - it is for whoever asked
            _fail(answer, error)
        else:
            _tell(answer, written)


def _apart(asked: Sequence[Asked], most: int) -> tuple[list[Asked], list[Asked]]:
    """
    Take the first *most* that can go together: no two of a key, for they would have to see each other. Gives the rest, too.
    """
    keys: set[str] = set()
    together: list[Asked] = []
    rest: list[Asked] = []
    for one in asked:
        key = one[0].plan.key
        if len(together) == most or key in keys:
            rest.append(one)
            continue
        together.append(one)
        if key is not None:
            keys.add(key)
    return together, rest


def _tell(answer: asyncio.Future[Submitted | None], written: Submitted | None) -> None:
    if not answer.done():  # whoever asked may have gone
        answer.set_result(written)


def _fail(answer: asyncio.Future[Submitted | None], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
