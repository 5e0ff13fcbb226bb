"""
Pipes on the event loop, on uvloop too.

uvloop closes the descriptor of a pipe and then calls `close` of the file it was given (seen in 0.22, handles/handle.pyx: EBADF is expected
and passed over). Between the two another thread may open a file, which gets the same number, and loses it. So what uvloop is given closes
nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TypeVar

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def read_end(descriptor: int, protocol: Callable[[], P]) -> tuple[asyncio.ReadTransport, P]:
    """
    Hand the reading end of a pipe to the loop: *descriptor* is closed with the transport.
    """
    loop = asyncio.get_running_loop()
    return await loop.connect_read_pipe(protocol, _End(descriptor, loop))


async def write_end(descriptor: int, protocol: Callable[[], P]) -> tuple[asyncio.WriteTransport, P]:
    """
    Do the same with the writing end.
    """
    loop = asyncio.get_running_loop()
    return await loop.connect_write_pipe(protocol, _End(descriptor, loop))


class _End:
    """
    As much of a file as a loop needs.
    """

    def __init__(self, descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor: int | None = descriptor
        self._loop_closes = type(loop).__module__.startswith("uvloop")

    def fileno(self) -> int:
        if self._descriptor is None:
            raise ValueError("The pipe is closed.")
        return self._descriptor

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and not self._loop_closes:
            os.close(descriptor)

    def __repr__(self) -> str:
        return f"<end of a pipe, descriptor {self._descriptor}>"
