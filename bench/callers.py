"""
Callers that cost next to nothing: requests that were written beforehand, over connections that stay open.

A client for programs takes longer over a call than the server does, so that it would be measured instead. This one reads a reply with the
server's own parser and looks at its status alone; how much of the machine it took is told with what it measured.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httptools

_ACCEPTED = (200, 202)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """
    Attributes:
        rate: calls a second.
        spent: how many milliseconds each call took.
        own_ms: of CPU that a call cost the callers themselves.
    """

    rate: float
    spent: list[float]
    own_ms: float


def request(method: str, path: str, *, key: str, body: dict[str, Any] | None = None) -> bytes:
    """
    Write a request as clients do; *path* is encoded already.
    """
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"x-api-key: {key}", "accept: */*", "user-agent: bench"]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def call(port: int, requests: Iterable[bytes], *, at_once: int) -> Called:
    """
    Send *requests*, so many *at_once*, each as soon as its connection has the answer to the one before.

    Raises:
        RuntimeError: one was refused, or a connection broke.
    """
    loop = asyncio.get_running_loop()
    left = iter(requests)
    lines = [_Line(left) for _ in range(at_once)]
    began, own = time.perf_counter(), time.process_time()
    for line in lines:
        await loop.create_connection(lambda line=line: line, "127.0.0.1", port)  # type: ignore[misc]  # one line a turn
    await asyncio.gather(*(line.ended for line in lines))
    spent = [milliseconds for line in lines for milliseconds in line.spent]
    return Called(
        rate=len(spent) / (time.perf_counter() - began),
        spent=spent,
        own_ms=1e3 * (time.process_time() - own) / len(spent),
    )


class _Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self.spent: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._go_on()

    def _go_on(self) -> None:
        following = next(self._requests, None)
        if following is None:
            self.ended.set_result(None)
            self._transport.close()
            return
        self._parser = httptools.HttpResponseParser(self)
        self._began = time.perf_counter()
        self._transport.write(following)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status not in _ACCEPTED:
            self.ended.set_exception(RuntimeError(f"A call was answered with {status}."))
            self._transport.abort()
            return
        self.spent.append(1e3 * (time.perf_counter() - self._began))
        self._go_on()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or RuntimeError("The server hung up."))
