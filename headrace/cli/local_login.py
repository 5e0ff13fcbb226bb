"""
Logins of an automation project on a person's machine: `auth-sessions-instances/<id>/` in the project's folder, as Intuned's tools lay it out.

`auth-session.json` is the state, `metadata.json` says what it was made with. Both are readable by their owner alone, and never copied to a
server's jobs.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from headrace.core.auth_session import AuthSession, SessionKind, SessionStatus
from headrace.core.errors import InvalidError, NotFoundError
from headrace.core.outcome import Failed, Outcome

_HERE = UUID(int=0)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_FOLDER, _STATE, _METADATA = "auth-sessions-instances", "auth-session.json", "metadata.json"


def new_login(name: str, parameters: bytes | None, state: bytes | None = None) -> AuthSession:
    """
    Give a login of this machine.
    """
    return AuthSession(
        id=_HERE,
        workspace_id=_HERE,
        project="",
        name=name,
        kind=SessionKind.CREDENTIALS,
        status=SessionStatus.READY,
        parameters=parameters,
        state=state,
        proxy=None,
        generation=0,
        checked_at=None,
        failed_at=None,
        failure=None,
        failed_remaking=False,
        created_at=_LONG_AGO,
        updated_at=_LONG_AGO,
    )


def read_login(project: Path, name: str) -> AuthSession:
    """
    Read a login that is kept in a project's folder.

    Raises:
        NotFoundError: there is none of that name.
        InvalidError: its files cannot be read.
    """
    folder = _folder_of(project, name)
    try:
        state = (folder / _STATE).read_bytes()
        metadata: dict[str, Any] = msgspec.json.decode((folder / _METADATA).read_bytes())
        given = metadata.get("authSessionInput")
        msgspec.json.decode(state, type=dict[str, Any])
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no auth session {name!r} here.", f"Make it with `headrace automation login {name}`."
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidError(
            f"The auth session {name!r} cannot be read: {error}.",
            f"Make it again with `headrace automation login {name}`.",
        ) from error
    return new_login(name, msgspec.json.encode(given) if given is not None else None, state)


def write_login(project: Path, login: AuthSession, *, now: datetime) -> None:
    """
    Keep a login in the project's folder.
    """
    folder = _folder_of(project, login.name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    at = now.isoformat()
    metadata = {
        "createdAt": at,
        "updatedAt": at,
        "authSessionId": login.name,
        "authSessionType": "API",
        "authSessionInput": msgspec.Raw(login.parameters or b"null"),
    }
    for name, content in ((_STATE, login.state or b"{}"), (_METADATA, msgspec.json.encode(metadata))):
        partial = folder / f".{name}.new"
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        partial.replace(folder / name)


def failed_login(name: str, outcome: Outcome) -> InvalidError:
    """
    Say that a login could not be made.
    """
    cause = outcome.cause if isinstance(outcome, Failed) else None
    why = cause.sentence if cause else "It was interrupted."
    return InvalidError(f"The auth session {name!r} is not valid: {why}", cause.instruction if cause else "")


def _folder_of(project: Path, name: str) -> Path:
    if not name or "/" in name or name.startswith("."):
        raise InvalidError(f"{name!r} is no id of an auth session.", "Leave slashes and leading dots out.")
    return project / _FOLDER / name
