"""
What Intuned's calls for auth sessions carry, checked; see `wire.py` for the source, and for how nulls and numbers are read.
"""

from __future__ import annotations

from msgspec import Raw

from headrace.dialects.intuned.wire import (
    Model,
    Number,
    check_parameters,
    check_session_id,
    check_tries,
    decode,
    seconds,
)


class SessionBody(Model, frozen=True):
    """The body of Create AuthSession and, without its id, of Update AuthSession."""

    parameters: Raw
    id: str | None = None
    proxy: str | None = None
    create_attempts: Number | None = None
    check_attempts: Number | None = None
    save_trace: bool | None = None


class ValidateBody(Model, frozen=True):
    """The body of Validate AuthSession."""

    auto_recreate: bool | None = None
    check_attempts: Number | None = None
    create_attempts: Number | None = None
    proxy: str | None = None
    request_timeout: Number | None = None


def decode_session(body: bytes, *, with_id: bool) -> SessionBody:
    """
    Read the body of Create AuthSession or Update AuthSession.

    Raises:
        InvalidError: it is not as it should be; the reason names the field.
    """
    session = decode(body, SessionBody)
    if with_id and session.id is not None:
        check_session_id(session.id, "id")
    check_parameters(session.parameters, "parameters")
    check_tries(session)
    return session


def decode_validate(body: bytes) -> ValidateBody:
    """
    Read the body of Validate AuthSession; an empty one asks for nothing special.

    Raises:
        InvalidError: it is not as it should be; the reason names the field.
    """
    asked = decode(body or b"{}", ValidateBody)
    check_tries(asked)
    seconds(asked.request_timeout, "requestTimeout")
    return asked
