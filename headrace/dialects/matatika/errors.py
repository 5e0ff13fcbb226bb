"""
From errors to Matatika's replies: Spring's body, and statuses as its documentation lists them.

Source: "Errors" of Matatika's public documentation. Its command line prints `message` of a 404 as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headrace.core.errors import HeadraceError
from headrace.dialects.matatika.hal import timestamp
from headrace.http.errors import STATUSES, headers_of, status_of
from headrace.http.reply import json_reply
from headrace.services.field_problems import FieldProblem, FieldsError

_STATUSES: Mapping[type[HeadraceError], HTTPStatus] = STATUSES


class ErrorReply(Response):
    """
    An error's body, made when it is sent: the request's path stands in it.
    """

    def __init__(self, error: HeadraceError) -> None:
        status = status_of(error, _STATUSES)
        super().__init__(status_code=status)
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = error_body(self._error, self.status_code, scope.get("path", ""), datetime.now(UTC))
        await json_reply(body, self.status_code, headers_of(self._error))(scope, receive, send)


def matatika_reply(error: HeadraceError) -> Response:
    """
    Answer with *error* as Matatika would.
    """
    return ErrorReply(error)


def error_body(error: HeadraceError, status: int, path: str, at: datetime) -> dict[str, Any]:
    """
    Show an error as Spring does.
    """
    problems = error.facts.get("problems", ()) if isinstance(error, FieldsError) else ()
    message = error.reason if isinstance(error, FieldsError) or status == HTTPStatus.NOT_FOUND else str(error)
    return {
        "timestamp": timestamp(at, milliseconds=True),
        "status": int(status),
        "error": HTTPStatus(status).phrase,
        "message": message,
        "errors": [_field_error(each, str(error.facts.get("what", ""))) for each in problems],
        "path": path,
    }


def _field_error(problem: FieldProblem, what: str) -> dict[str, Any]:
    return {
        "codes": [f"{problem.code}.{what}.{problem.field}", f"{problem.code}.{problem.field}", problem.code],
        "arguments": [{"codes": [f"{what}.{problem.field}", problem.field], "code": problem.field}],
        "defaultMessage": problem.message,
        "objectName": what,
        "field": problem.field,
        "rejectedValue": problem.rejected,
        "bindingFailure": False,
        "code": problem.code,
    }
