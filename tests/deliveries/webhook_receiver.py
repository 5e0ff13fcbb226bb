"""
A receiver of webhooks on loopback that misbehaves on request.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Behaviour = Callable[["Receiver", web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    path: str
    body: bytes
    headers: dict[str, str]


@dataclass
class Receiver:
    """
    Attributes:
        url: where it listens.
        behave: what it does with the next request.
        received: every request, in order of arrival.
        under_way: requests it has not answered yet; *most_under_way* is the highest count seen.
        released: set to let waiting answers go.
    """

    url: str = ""
    behave: Behaviour | None = None
    received: list[Received] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _arrival: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        async with self._arrival:
            self.received.append(Received(request.path, body, headers))
            self._arrival.notify_all()
        try:
            return await self.behave(self, request) if self.behave else web.Response(text="thanks")
        finally:
            self.under_way -= 1

    async def has_received(self, count: int, *, path: str | None = None, within_seconds: float = 10) -> None:
        """
        Return when so many requests have arrived.
        """

        def arrived() -> bool:
            return sum(path in (None, one.path) for one in self.received) >= count

        async with asyncio.timeout(within_seconds), self._arrival:
            await self._arrival.wait_for(arrived)


@asynccontextmanager
async def receiving(behave: Behaviour | None = None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver(behave=behave)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"{'https' if tls else 'http'}://{host}:{port}"
    try:
        yield receiver
    finally:
        receiver.released.set()
        await runner.cleanup()


def answering(status: int, **headers: str) -> Behaviour:
    """
    Answer every request with *status*; underscores in header names are hyphens.
    """

    async def behave(_receiver: Receiver, _request: web.Request) -> web.Response:
        return web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return behave


async def silent(receiver: Receiver, _request: web.Request) -> web.Response:
    """
    Answer only when released.
    """
    await receiver.released.wait()
    return web.Response()


async def endless(receiver: Receiver, request: web.Request) -> web.StreamResponse:
    """
    Answer 200 and then send as much as the other side takes.
    """
    response = web.StreamResponse()
    await response.prepare(request)
    while not receiver.released.is_set():
        await response.write(b"x" * 65536)
    return response


async def trickling(receiver: Receiver, request: web.Request) -> web.StreamResponse:
    """
    Answer 500 and one byte of a body that goes on only when released.
    """
    response = web.StreamResponse(status=500)
    await response.prepare(request)
    await response.write(b"x")
    await receiver.released.wait()
    return response
