"""
Many small changes in one transaction: what is asked for while one is on its way goes together in the next.

A commit costs the same for one change and for twenty, and those that need one lock wait for each other's commits. Nothing is held back
for company: whoever finds nobody on the way goes at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from headrace.core.errors import RetriableError

T = TypeVar("T")
R = TypeVar("R")


class GatheredWrites(Generic[T, R]):
    """
    Args:
        write: makes several changes in one transaction, in their order, or none of them; gives what each has brought.
        most: changes of one transaction.
    """

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, most: int = 32) -> None:
        self._write = write
        self._most = most
        self._asked: list[tuple[T, asyncio.Future[R]]] = []
        self._writer: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        return self._writer is None

    async def do(self, change: T) -> R:
        """
        Make one change, with others where there are any; raises what became of this one alone.

        Where a change cannot be made, its neighbours are made without it; only when the database is away do all share its answer.
        Cancelled before its transaction has begun, it is not made; later, it may be.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._asked.append((change, answer))
        if self._writer is None:
            self._writer = asyncio.create_task(self._go_on(), name="gathered-writes")
        return await answer

    async def _go_on(self) -> None:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        try:
            while self._asked:
                batch, self._asked = self._asked[: self._most], self._asked[self._most :]
                batch = [(change, answer) for change, answer in batch if not answer.done()]
                if batch:
                    await self._make(batch)
        finally:
            self._writer = None
            for _, answer in [*batch, *self._asked]:  # of a writer that was cancelled: nobody else would answer them
                answer.cancel()

    async def _make(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            found = await self._write([change for change, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is for those who asked
            if len(batch) == 1 or isinstance(error, RetriableError):
                _fail(batch, error)
                return
            for one in batch:
                if not one[1].done():
                    await self._make([one])
        else:
            for (_, answer), result in zip(batch, found, strict=True):
                if not answer.done():
                    answer.set_result(result)


def _fail(batch: Sequence[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(error)
