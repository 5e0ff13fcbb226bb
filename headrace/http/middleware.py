"""
What every request passes before a wire reads it: a name, a clock, a safe path, a bounded body.

Pure ASGI: nothing here copies a body or starts a task.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final
from uuid import uuid4

from prometheus_client import Histogram
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace.core.errors import InvalidError, TooLargeError
from headrace.http.refusals import EncodingError

REQUEST_ID: Final = "headrace.request_id"
_EXCHANGE: Final = "headrace.exchange"
_REQUEST_ID_FORM = re.compile(rb"[\x21-\x7e]{1,128}")
_DRAIN_SECONDS = 5.0
_DRAIN_BYTES = 256 * 2**20
_PREFLIGHT_SECONDS = 3600
_VARY = (b"vary", b"Origin")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def header(scope: Scope, name: bytes) -> bytes | None:
    """
    Give the first header of that lower-case name.
    """
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


class Exchange:
    """
    One request, as far as its reply has gone out.

    Attributes:
        headers: what the reply gets beside its own.
        status: of the reply; 0 before it has begun.
        ended: the whole reply has been handed over.
    """

    __slots__ = ("_send", "ended", "headers", "status")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self.headers = [(b"x-request-id", request_id)]
        self.status = 0
        self.ended = False

    @property
    def started(self) -> bool:
        return self.status != 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.headers]
        elif message["type"] == "http.response.body":
            self.ended = not message.get("more_body", False)
        await self._send(message)


def exchange_of(scope: Scope) -> Exchange:
    """
    Give the exchange that `Named` has begun.
    """
    found: Exchange = scope[_EXCHANGE]
    return found


class Named:
    """
    Begin the exchange: give the request an id, the caller's own if it sent a usable one, and say it in the reply.

    All layers inside send through the one exchange and ask it how far the reply is, instead of each wrapping the last one's way to send.
    """

    def __init__(self, app: ASGIApp, new_id: Callable[[], str] = lambda: uuid4().hex) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = header(scope, b"x-request-id")
        name = sent if sent is not None and _REQUEST_ID_FORM.fullmatch(sent) else self._new_id().encode()
        scope[REQUEST_ID] = name.decode()
        exchange = scope[_EXCHANGE] = Exchange(send, name)
        await self._app(scope, receive, exchange.send)


class Measured:
    """
    Count and time requests by wire, route and status; stands inside `Named`.

    Args:
        wire: name of the wire.
        monotonic: seconds that only rise.
    """

    def __init__(self, app: ASGIApp, durations: Histogram, wire: str, monotonic: Callable[[], float]) -> None:
        self._app = app
        self._durations = durations
        self._wire = wire
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_at = self._monotonic()
        try:
            await self._app(scope, receive, send)
        finally:
            # The route's pattern, not the path: labels must stay few whatever is asked for.
            route = getattr(scope.get("route"), "path", "") or "other"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            status = str(exchange_of(scope).status or 500)
            self._durations.labels(self._wire, method, route, status).observe(self._monotonic() - began_at)


class ForBrowsers:
    """
    Let browsers call from anywhere; stands inside `Named`.

    A request without `Origin` comes from no page, so that it goes past the framework's checks; its reply only says that another may differ.

    Args:
        headers: request headers that a page may set.
        shown: reply headers that a page may read.
    """

    def __init__(self, app: ASGIApp, *, headers: Sequence[str], shown: Sequence[str]) -> None:
        self._app = app
        self._checked = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=headers,
            expose_headers=shown,
            max_age=_PREFLIGHT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and header(scope, b"origin") is None:
            exchange_of(scope).headers.append(_VARY)
            await self._app(scope, receive, send)
            return
        await self._checked(scope, receive, send)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class SafePath:
    """
    Refuse what no id can contain: control characters, and a slash or a NUL that was encoded to look like part of a name.

    Outside of every router: their patterns would take such a path for another one.

    Args:
        refuse: gives the application that answers with an error on a path.
    """

    def __init__(self, app: ASGIApp, refuse: Callable[[str, InvalidError], ASGIApp]) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = _unsafe(scope) if scope["type"] == "http" else None
        app = self._app if error is None else self._refuse(scope["path"], error)
        await app(scope, receive, send)


def _unsafe(scope: Scope) -> InvalidError | None:
    if b"%2f" in bytes(scope.get("raw_path") or b"").lower() or _CONTROL.search(scope["path"]):
        return InvalidError("The path contains an encoded slash or a control character.", "Use ids without them.")
    if b"%00" in scope.get("query_string", b""):
        return InvalidError("The query contains the character NUL.", "Leave it out.")
    return None


class BodyLimit:
    """
    Refuse bodies that are too large, before they are in memory, and encoded ones, which could hide their size.

    What remains of a large body is read and dropped for a moment: most clients look for the reply only when they have sent all.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        encoding = (header(scope, b"content-encoding") or b"identity").strip().lower()
        if encoding != b"identity":
            raise EncodingError("The body is encoded.", "Send it plain, without Content-Encoding.")
        body = _CountedBody(receive, self._limit_bytes)
        announced = header(scope, b"content-length") or b"0"
        if announced.isdigit() and int(announced) > self._limit_bytes:
            if header(scope, b"expect") is None:
                await body.drain()
            raise self._too_large()
        if header(scope, b"transfer-encoding") is None:
            await self._app(scope, receive, send)  # HTTP's own parser gives no more than was announced
        else:
            await self._count(body, scope, send)

    async def _count(self, body: _CountedBody, scope: Scope, send: Send) -> None:
        """
        Let a body in whose size nobody has announced.
        """

        async def unless_refused(message: Message) -> None:
            # A framework that takes every failed read for bad JSON must not answer for us.
            if not body.exceeded:
                await send(message)

        with suppress(_ExceededError):
            await self._app(scope, body.receive, unless_refused)
        if body.exceeded:
            await body.drain()
            raise self._too_large()

    def _too_large(self) -> TooLargeError:
        return TooLargeError(
            f"The body is larger than {self._limit_bytes} bytes.",
            "Send less at once, or raise the setting body_limit_bytes.",
            limit_bytes=self._limit_bytes,
            setting="body_limit_bytes",
        )


class _ExceededError(Exception):
    """The body has gone over its limit."""


class _CountedBody:
    """A request's body as it comes in."""

    def __init__(self, receive: Receive, limit_bytes: int) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._received = 0
        self._ended = False
        self.exceeded = False

    async def receive(self) -> Message:
        message = await self._next()
        if self._received > self._limit_bytes:
            self.exceeded = True
            raise _ExceededError
        return message

    async def drain(self) -> None:
        """
        Read the rest and drop it, as far as a patient server may.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self._ended and self._received < _DRAIN_BYTES:
                    await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message
