"""
Small reads that go together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from headrace.store.gathered import Gathered


class Shelf:
    """
    A slow store: each read waits until it is let go, then gives the squares of positive keys.
    """

    def __init__(self) -> None:
        self.reads: list[list[int]] = []
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def read(self, keys: Sequence[int]) -> dict[int, int]:
        self.reads.append(list(keys))
        self.begun.set()
        await self.go.wait()
        if 13 in keys:
            raise OSError("the shelf fell over")
        return {key: key * key for key in keys if key > 0}


async def test_reads_that_come_while_one_is_on_its_way_go_together():
    """
    The first goes alone, what follows in one read, each key once; and each asker gets its own.
    """
    shelf = Shelf()
    gathered = Gathered(shelf.read, abreast=1)
    first = asyncio.ensure_future(gathered.get(1))
    await shelf.begun.wait()
    rest = [asyncio.ensure_future(gathered.get(key)) for key in (2, 3, 2, -1)]
    await asyncio.sleep(0)
    shelf.go.set()

    assert await first == 1
    assert await asyncio.gather(*rest) == [4, 9, 4, None]
    assert shelf.reads == [[1], [2, 3, -1]]


async def test_what_is_asked_after_a_read_began_is_read_anew():
    """
    A later asker never gets the answer of a read that began before it asked: it might not see what was committed since.
    """
    shelf = Shelf()
    gathered = Gathered(shelf.read, abreast=1)
    asked = asyncio.ensure_future(gathered.get(5))
    await shelf.begun.wait()
    again = asyncio.ensure_future(gathered.get(5))
    await asyncio.sleep(0)
    shelf.go.set()
    await asyncio.gather(asked, again)

    assert shelf.reads == [[5], [5]]


async def test_a_read_that_fails_fails_for_its_askers_only():
    """
    The next read is made as if nothing had happened.
    """
    shelf = Shelf()
    shelf.go.set()
    gathered = Gathered(shelf.read)

    with pytest.raises(OSError, match="fell over"):
        await gathered.get(13)
    assert await gathered.get(3) == 9


async def test_a_read_that_hangs_does_not_hold_up_the_next():
    """
    After a moment's patience the next goes beside it, and an asker that gave up is missed by nobody.
    """
    shelf = Shelf()
    gathered = Gathered(shelf.read, patience_seconds=0.001)
    hung = asyncio.ensure_future(gathered.get(1))
    await shelf.begun.wait()
    shelf.begun.clear()
    second = asyncio.ensure_future(gathered.get(2))
    async with asyncio.timeout(20):
        await shelf.begun.wait()

    assert shelf.reads == [[1], [2]]
    hung.cancel()
    shelf.go.set()
    assert await second == 4


async def test_no_more_reads_hang_than_may_go_abreast():
    """
    A store that answers nobody is asked so many times; what is asked after goes together once it answers.
    """
    shelf = Shelf()
    gathered = Gathered(shelf.read, abreast=2, patience_seconds=0.001)
    asked = []
    for key in (1, 2):
        shelf.begun.clear()
        asked.append(asyncio.ensure_future(gathered.get(key)))
        async with asyncio.timeout(20):
            await shelf.begun.wait()
    asked += [asyncio.ensure_future(gathered.get(key)) for key in (3, 4)]
    shelf.go.set()

    async with asyncio.timeout(20):
        assert await asyncio.gather(*asked) == [1, 4, 9, 16]
    assert shelf.reads == [[1], [2], [3, 4]]


async def test_whoever_asks_in_the_moment_in_which_all_reads_end_is_answered():
    """
    The readers that just gave an answer do not count as such that will look again.
    """
    shelf = Shelf()
    gathered = Gathered(shelf.read)

    async def ask_twice(key: int) -> int | None:
        await gathered.get(key)
        return await gathered.get(key + 1)

    first = asyncio.ensure_future(ask_twice(1))
    await shelf.begun.wait()
    second = asyncio.ensure_future(gathered.get(5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    shelf.go.set()

    async with asyncio.timeout(10):
        assert await first == 4
    assert await second == 25
