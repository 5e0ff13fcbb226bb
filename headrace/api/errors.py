"""
From errors to problem details (RFC 9457).
"""

from __future__ import annotations

from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from headrace.core.errors import HeadraceError, InvalidError, UnauthenticatedError
from headrace.http.errors import headers_of, status_of
from headrace.http.reply import json_reply

MEDIA_TYPE = "application/problem+json"


def problem_reply(error: HeadraceError) -> Response:
    """
    Answer with *error*; its code, reason, instruction and facts beside the standard's own members.
    """
    status = status_of(error)
    headers = headers_of(error)
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    body: dict[str, Any] = {
        "type": f"urn:headrace:error:{error.code}",
        "title": error.code.replace("-", " ").capitalize(),
        "status": int(status),
        "detail": error.reason,
        "code": error.code,
        "reason": error.reason,
        "instruction": error.instruction,
        "facts": error.facts if status < 500 else {},
    }
    return json_reply(body, status, headers, MEDIA_TYPE)


def from_validation(error: RequestValidationError) -> InvalidError:
    """
    Name the field that pydantic refused; the value itself is not repeated, it may be a secret.
    """
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return InvalidError(
        f"`{place}` is not as it should be: {first['msg']}.",
        "Correct it; /api/v1/openapi.json has the form.",
        field=place,
    )
