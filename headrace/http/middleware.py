"""
What every request passes before a wire reads it: a name, a clock, a safe path, a bounded body.

Pure ASGI: nothing here copies a body or starts a task.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import uuid4

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace.core.errors import InvalidError, TooLargeError
from headrace.http.refusals import EncodingError

REQUEST_ID: Final = "headrace.request_id"

_REQUEST_ID_FORM = re.compile(rb"[\x21-\x7e]{1,128}")
_DRAIN_SECONDS = 5.0
_DRAIN_BYTES = 256 * 2**20
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def header(scope: Scope, name: bytes) -> bytes | None:
    """
    Give the first header of that lower-case name.
    """
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


class Named:
    """
    Give every request an id, the caller's own if it sent a usable one, and say it in the reply.
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

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", name)]
            await send(message)

        await self._app(scope, receive, named)


class Measured:
    """
    Count and time requests by wire, route and status.

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
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            # The route's pattern, not the path: labels must stay few whatever is asked for.
            route = getattr(scope.get("route"), "path", "") or "other"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._durations.labels(self._wire, method, route, str(status)).observe(self._monotonic() - began_at)


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
