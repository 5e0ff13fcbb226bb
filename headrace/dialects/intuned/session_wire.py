"""
What Intuned's calls for auth sessions carry, checked; see `wire.py` for the source, and for how nulls and numbers are read.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, field

from headrace.dialects.intuned.bodies import decode
from headrace.dialects.intuned.checks import check_parameters, check_session_id, check_tries, seconds, wrong
from headrace.dialects.intuned.wire import Model, Number

_STATE_BYTES = 2 * 2**20


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


class _State(Model, frozen=True, rename=None):
    cookies: list[dict[str, Any]] | None = None
    origins: list[dict[str, Any]] | None = None
    session_storage: list[dict[str, Any]] | None = field(default=None, name="sessionStorage")


def check_state(body: bytes) -> bytes:
    """
    Give the state of a session as it came: cookies and storages as `auth-session.json` and Playwright's storage state have them.

    Raises:
        InvalidError: it is not as it should be; the reason names the field.
    """
    if len(body) > _STATE_BYTES:
        raise wrong("state", f"has {len(body)} bytes", f"Give at most {_STATE_BYTES}.")
    decode(body, _State)
    return body


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
