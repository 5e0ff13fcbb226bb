"""
From errors to Intuned's replies: one body for all, each status with its own code.

Source: the typed errors of the published clients (2025, 2026); a 404 that says anything but `not-found` and `user` becomes a
validation error in the TypeScript client. Statuses that have no type there get the same body.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headrace.core.errors import ConflictError, HeadraceError, RetriableError
from headrace.http.errors import STATUSES, headers_of, status_of
from headrace.http.middleware import REQUEST_ID
from headrace.http.reply import json_reply

# Its calls know 400, 401 and 404 alone: a clash with what is there is the caller's mistake.
_STATUSES: Mapping[type[HeadraceError], HTTPStatus] = {**STATUSES, ConflictError: HTTPStatus.BAD_REQUEST}

_CODES: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "bad-request",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "payload-too-large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
    HTTPStatus.TOO_MANY_REQUESTS: "too-many-requests",
    HTTPStatus.SERVICE_UNAVAILABLE: "service-unavailable",
}


class ErrorReply(Response):
    """
    An error's reply; only the request that it is sent to tells its `correlationId`.
    """

    def __init__(self, body: Mapping[str, Any], status: HTTPStatus, headers: Mapping[str, str]) -> None:
        super().__init__(status_code=status)
        self._said, self._more = body, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = {**self._said, "correlationId": scope.get(REQUEST_ID, "")}
        await json_reply(body, self.status_code, self._more)(scope, receive, send)


def intuned_reply(error: HeadraceError) -> Response:
    """
    Answer with *error* as Intuned would.
    """
    status = status_of(error, _STATUSES)
    body: dict[str, Any] = {
        "code": _CODES.get(status, "internal-server-error"),
        "category": "user" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "infrastructure",
        "message": str(error),
        "retirable": isinstance(error, RetriableError),
    }
    if "field" in error.facts:
        body["details"] = {"field": error.facts["field"]}
    return ErrorReply(body, status, headers_of(error))
