"""
Many small reads in one: what is asked for while a read is on its way goes together in the next.

A busy server spends more on the way to the database and back than on a row. Nothing is remembered: a read begins after it was
asked for, so it sees all that was committed before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Gathered(Generic[K, V]):
    """
    Args:
        read: reads several keys at once, and leaves out those that are not there.
        most: keys of one read.
        abreast: reads under way at once.
        patience_seconds: how long others wait for a read under way, so that one that hangs does not hold them up.
    """

    def __init__(
        self,
        read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        most: int = 64,
        abreast: int = 4,
        patience_seconds: float = 0.05,
    ) -> None:
        self._read = read
        self._most = most
        self._abreast = abreast
        self._patience_seconds = patience_seconds
        self._asked: list[tuple[K, asyncio.Future[V | None]]] = []
        self._going: asyncio.Task[None] | None = None
        self._reads: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> V | None:
        """
        Give what stands under a key, or None; raises what the read raises.
        """
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._asked.append((key, answer))
        if self._going is None:
            self._going = asyncio.create_task(self._go_on(), name="gathered-reads")
        return await answer

    async def _go_on(self) -> None:
        try:
            while self._asked:
                batch, self._asked = self._asked[: self._most], self._asked[self._most :]
                self._reads.add(asyncio.create_task(self._answer(batch), name="gathered-read"))
                patience = self._patience_seconds if len(self._reads) < self._abreast else None
                _, self._reads = await asyncio.wait(self._reads, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._going = None

    async def _answer(self, batch: Sequence[tuple[K, asyncio.Future[V | None]]]) -> None:
        try:
            found = await self._read(list(dict.fromkeys(key for key, _ in batch)))
        except Exception as error:  # noqa: BLE001 - it is for those who asked
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for key, answer in batch:
                if not answer.done():
                    answer.set_result(found.get(key))
