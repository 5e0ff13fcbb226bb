"""
Small changes that are made in one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from headrace.core.errors import StoreUnavailableError
from headrace.store.gathered_writes import GatheredWrites


class Ledger:
    """
    A slow store: each write waits until it is let go, then writes all of its numbers or, with a 13 among them, none.
    """

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.written: list[int] = []
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.away = False

    async def write(self, numbers: Sequence[int]) -> list[int]:
        self.asked.append(list(numbers))
        self.begun.set()
        await self.go.wait()
        if self.away:
            raise StoreUnavailableError("The ledger is away.", "Try again.")
        if 13 in numbers:
            raise ValueError("no such number")
        self.written += numbers
        return [number * number for number in numbers]


async def _asked(writes: GatheredWrites[int, int], ledger: Ledger, *numbers: int) -> list[asyncio.Future[int]]:
    """
    Ask for a first write, and when it is on its way for the others.
    """
    first = asyncio.ensure_future(writes.do(numbers[0]))
    await ledger.begun.wait()
    rest = [asyncio.ensure_future(writes.do(number)) for number in numbers[1:]]
    await asyncio.sleep(0)
    return [first, *rest]


async def test_changes_that_come_while_one_is_on_its_way_go_together_in_their_order() -> None:
    """
    The first goes alone and at once; each asker gets what its own change has brought.
    """
    ledger = Ledger()
    writes = GatheredWrites(ledger.write, most=3)
    asked = await _asked(writes, ledger, 1, 5, 3, 4, 2)
    ledger.go.set()

    assert await asyncio.gather(*asked) == [1, 25, 9, 16, 4]
    assert ledger.asked == [[1], [5, 3, 4], [2]]
    assert writes.idle


async def test_a_change_that_cannot_be_made_takes_no_other_with_it() -> None:
    """
    What was asked for together is then made one by one, in order.
    """
    ledger = Ledger()
    asked = await _asked(GatheredWrites(ledger.write), ledger, 1, 2, 13, 3)
    ledger.go.set()

    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(one) for one in found] == ["1", "4", "no such number", "9"]
    assert ledger.written == [1, 2, 3]


async def test_all_hear_that_the_database_is_away() -> None:
    """
    Nothing is tried one by one then, and the next change is tried anew.
    """
    ledger = Ledger()
    ledger.away = True
    writes = GatheredWrites(ledger.write)
    asked = await _asked(writes, ledger, 1, 2, 3)
    ledger.go.set()

    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in found] == [StoreUnavailableError] * 3
    assert ledger.asked == [[1], [2, 3]]
    ledger.away = False
    assert await writes.do(4) == 16


async def test_a_change_that_nobody_waits_for_any_more_is_not_made() -> None:
    ledger = Ledger()
    asked = await _asked(GatheredWrites(ledger.write), ledger, 1, 2, 3)
    asked[1].cancel()
    ledger.go.set()

    with pytest.raises(asyncio.CancelledError):
        await asked[1]
    assert await asked[2] == 9
    assert ledger.written == [1, 3]
