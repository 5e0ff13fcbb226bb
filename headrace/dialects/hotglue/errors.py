"""
From errors to hotglue's replies: `{"Code", "Message"}`, and a status that its clients expect.

Source: the 400 of "Poll job status" (API v1.2). The other codes follow the naming that hotglue's widget strips from messages; the 403 without
a usable key is that of the gateway in front of the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from headrace.core.errors import (
    ActiveJobError,
    CallerError,
    ConflictError,
    HeadraceError,
    NotFoundError,
    UnauthenticatedError,
)
from headrace.http.errors import STATUSES, headers_of, status_of
from headrace.http.refusals import NoSuchPathError
from headrace.http.reply import json_reply

UNKNOWN_ROOT: Final = {"Code": "Error", "Message": "Invalid job_root supplied - job does not exist!"}

# Its two job calls document 200, 202 and 400 alone, so what the caller got wrong in them is a 400.
_STATUSES: Mapping[type[HeadraceError], HTTPStatus] = {
    **STATUSES,
    NotFoundError: HTTPStatus.BAD_REQUEST,
    ConflictError: HTTPStatus.BAD_REQUEST,
    UnauthenticatedError: HTTPStatus.FORBIDDEN,
    NoSuchPathError: HTTPStatus.NOT_FOUND,
}

_CODES: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "BadRequestError",
    HTTPStatus.FORBIDDEN: "ForbiddenError",
    HTTPStatus.NOT_FOUND: "NotFoundError",
    HTTPStatus.METHOD_NOT_ALLOWED: "MethodNotAllowedError",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RequestEntityTooLargeError",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "UnsupportedMediaTypeError",
    HTTPStatus.TOO_MANY_REQUESTS: "TooManyRequestsError",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailableError",
}


class UnknownRootError(CallerError):
    """No job of this environment, flow and tenant has the root."""

    code = "unknown-job-root"


def hotglue_reply(error: HeadraceError) -> Response:
    """
    Answer with *error* as hotglue would.
    """
    status = status_of(error, _STATUSES)
    return json_reply(_body(error, status), status, headers_of(error))


def _body(error: HeadraceError, status: HTTPStatus) -> dict[str, str]:
    match error:
        case UnknownRootError():
            return UNKNOWN_ROOT
        case ActiveJobError():
            return {"Code": "BadRequestError", "Message": error.reason}
        case NotFoundError():
            return {"Code": "NotFoundError", "Message": str(error)}
    body = {"Code": _CODES.get(status, "ChaliceViewError"), "Message": str(error)}
    return {"message": "Forbidden", **body} if status == HTTPStatus.FORBIDDEN else body
