"""
The conversation with a running function, where the other side does not keep to it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from automation_kit import KeptValues

from headrace.runners import automation_talk
from headrace.runners.automation_talk import Failure, Talk

DEADLINE_SECONDS = 20.0
VALUE = b'"' + b"x" * 2**16 + b'"'


class CountedValues(KeptValues):
    """
    Gives one large value for every key.
    """

    given = 0

    async def get(self, path: str) -> bytes | None:
        self.given += 1
        return VALUE


@asynccontextmanager
async def _held(talk: Talk) -> AsyncIterator[tuple[int, int]]:
    """
    Hold a conversation; gives the ends of its pipes that the function has.
    """
    reports, writing = os.pipe()
    reading, answers = os.pipe()
    conversation = asyncio.create_task(talk.hold(reports, answers))
    try:
        yield writing, reading
    finally:
        os.close(writing)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await conversation
        os.close(reading)


async def test_a_loop_that_asks_for_items_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    However short their names and parameters are: each takes its place here.
    """
    monkeypatch.setattr(automation_talk, "WANTED_BYTES", 10_000)
    talk = Talk(KeptValues(), "values")
    async with _held(talk) as (writing, _):
        os.write(writing, b'{"kind":"append","api":"a","parameters":{}}\n' * 1000)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await talk.over.wait()

    assert isinstance(talk.end, Failure)
    assert (talk.end.code, talk.end.retryable) == ("result-too-large", False)
    assert len(talk.wanted) < 50


async def test_who_does_not_read_the_answers_is_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A thousand questions do not bring a thousand values into this process; all of them are answered to one who reads after all.
    """
    monkeypatch.setattr(automation_talk, "UNREAD_BYTES", 4 * len(VALUE))
    values = CountedValues()
    async with _held(Talk(values, "values")) as (writing, reading):
        os.write(writing, b'{"kind":"get","key":"a"}\n' * 1000)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while values.given < 5:  # noqa: ASYNC110 - the other side of a pipe has nothing to wait on
                await asyncio.sleep(0.01)
        for _ in range(100):
            await asyncio.sleep(0)
        unread = values.given
        answers = await asyncio.to_thread(_lines, reading, 1000)

    assert unread < 10
    assert answers == 1000


def _lines(reading: int, count: int) -> int:
    found = 0
    while found < count:
        found += os.read(reading, 2**20).count(b"\n")
    return found
