"""
From errors to replies: the edge around each wire, and the statuses that wires share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace.core.errors import (
    BackpressureError,
    CallerError,
    ConflictError,
    ForbiddenError,
    HeadraceError,
    InvalidError,
    NotFoundError,
    RetriableError,
    StoreUnavailableError,
    TooLargeError,
    UnauthenticatedError,
)
from headrace.http.middleware import REQUEST_ID, exchange_of
from headrace.http.refusals import EncodingError, InternalError, MethodError, NoSuchPathError

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = 2


# The nearest class in an error's ancestry decides; a dialect whose product answers otherwise lays its own over it.
STATUSES: Mapping[type[HeadraceError], HTTPStatus] = {
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MethodError: HTTPStatus.METHOD_NOT_ALLOWED,
    EncodingError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    CallerError: HTTPStatus.BAD_REQUEST,
    BackpressureError: HTTPStatus.TOO_MANY_REQUESTS,
    RetriableError: HTTPStatus.SERVICE_UNAVAILABLE,
    HeadraceError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

Reply = Callable[[HeadraceError], Response]


def status_of(error: HeadraceError, table: Mapping[type[HeadraceError], HTTPStatus] = STATUSES) -> HTTPStatus:
    """
    Look an error up by its nearest class in *table*.
    """
    return next(table[kind] for kind in type(error).__mro__ if kind in table)


def headers_of(error: HeadraceError) -> dict[str, str]:
    """
    Give the headers that go with an error on every wire.
    """
    match error:
        case StoreUnavailableError() | BackpressureError():
            return {"Retry-After": str(RETRY_AFTER_SECONDS)}
        case TooLargeError():
            return {"Connection": "close"}  # the rest of the body is not read
        case MethodError():
            return {"Allow": str(error.facts.get("allow", ""))}
        case _:
            return {}


def from_http(error: HTTPException) -> HeadraceError:
    """
    Say in our words what the framework refused.
    """
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return NoSuchPathError("Nothing answers at this path.", "Check the address; the reference lists them all.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allow = (error.headers or {}).get("Allow", "")
            return MethodError("The path does not take this method.", f"Use {allow}.", allow=allow)
        case _:
            return InvalidError(str(error.detail))


class ErrorEdge:
    """
    Whatever is raised inside leaves as a reply in the wire's own shape; stands inside `Named`.

    Args:
        reply: makes the reply; the error's ``status_of`` and ``headers_of`` are its own business.
    """

    def __init__(self, app: ASGIApp, reply: Reply) -> None:
        self._app = app
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        # Inside an application without handlers of its own the framework lets everything through to here.
        scope["app"] = self._app
        scope["starlette.exception_handlers"] = ({}, {})
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception as error:  # the edge of every request
            if exchange.started and not exchange.ended:
                raise  # only a broken connection can say that the half-sent reply is void
            _note(error, scope)
            if not exchange.started:
                await self._reply(as_ours(error, scope))(scope, receive, send)


def as_ours(error: Exception, scope: Scope) -> HeadraceError:
    """
    Say in our words what was raised; of what nobody planned, only where to look for it.
    """
    if isinstance(error, HeadraceError):
        return error
    if isinstance(error, HTTPException):
        return from_http(error)
    request_id = scope.get(REQUEST_ID, "")
    return InternalError(
        "The server failed to answer.", f"Look for request {request_id} in its log.", request_id=request_id
    )


def _note(error: Exception, scope: Scope) -> None:
    if isinstance(error, (CallerError, HTTPException)):
        return
    request_id = scope.get(REQUEST_ID, "")
    if isinstance(error, RetriableError):
        log.warning("request refused for now", request_id=request_id, reason=error.reason, **error.facts)
    else:
        log.error("request failed", request_id=request_id, method=scope["method"], path=scope["path"], exc_info=error)
