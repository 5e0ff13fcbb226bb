"""
Talking to uv on the event loop that a worker has.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE

import uvloop

from headrace.runners import uv

_DEADLINE_SECONDS = 30.0


def test_a_program_that_has_ended_before_it_is_written_to_is_heard() -> None:
    """
    asyncio drops what is written to it then, uvloop raises: the build would fail, and the item that asked for it lose a try.
    """
    heard: list[str] = []

    async def converse() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('done')", stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None
        async with asyncio.timeout(_DEADLINE_SECONDS):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                await process.stdin.wait_closed()
            await uv._converse(process, b"requests", heard.append)
            await process.wait()

    uvloop.run(converse())

    assert heard == ["done"]
