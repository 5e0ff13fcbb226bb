"""
What jobs and runs say of the session they need, in the core's words.
"""

from __future__ import annotations

from typing import Any, Final

from headrace.core.batch import AutomationProject
from headrace.core.errors import InvalidError
from headrace.core.plan import SessionUse
from headrace.dialects.intuned.checks import seconds, whole
from headrace.dialects.intuned.session_wire import SessionBody, ValidateBody
from headrace.dialects.intuned.wire import DEFAULT_TIMEOUT_SECONDS, JobAuthSession, Number, RunAuthSession

DEFAULT_TRIES: Final = 3
GIVEN: Final = "given"
SESSION_PROXY: Final = "session_proxy"
"""Names of sealed inputs: what a session is made with, and the proxy that a request names for it."""

_MOST = 2**31 - 1


def session_of_job(session: JobAuthSession | None, project: AutomationProject) -> SessionUse | None:
    """
    Give what the runs of a job need; None while the project has sessions off. A job's session is always made again.

    Raises:
        InvalidError: the project needs one, and none is named.
    """
    if not project.auth_sessions:
        return None
    if session is None:
        raise _none_named(project, "auth_session")
    return SessionUse(
        name=session.id,
        check_attempts=_tries(session.check_attempts),
        create_attempts=_tries(session.create_attempts),
    )


def session_of_run(session: RunAuthSession | None, project: AutomationProject, *, run_id: str) -> SessionUse | None:
    """
    Give what a single run needs; one that is made for it alone is named after it.

    Raises:
        InvalidError: the project needs one, and none is named; or the project's are made by people alone.
    """
    if not project.auth_sessions:
        return None
    if session is None:
        raise _none_named(project, "authSession")
    if session.brought is not None and project.recorded_sessions:
        raise by_hand(project)
    return SessionUse(
        name=session.id or run_id,
        check_attempts=_tries(session.check_attempts),
        create_attempts=_tries(session.create_attempts),
        recreate=session.auto_recreate is not False,
        timeout_seconds=seconds(session.request_timeout) or DEFAULT_TIMEOUT_SECONDS,
        proxy=SESSION_PROXY if session.proxy else None,
        on_lost="cancel",
    )


def session_proxy_of(session: RunAuthSession | ValidateBody | None, use: SessionUse | None) -> dict[str, str]:
    """
    Give the sealed input with the proxy that a request names for its session.
    """
    return {SESSION_PROXY: session.proxy} if use is not None and session is not None and session.proxy else {}


def making(name: str, body: SessionBody, *, again: bool) -> tuple[SessionUse, dict[str, Any]]:
    """
    Say how a session is made with the parameters of *body*, *again* when it is there; and its sealed inputs.
    """
    use = SessionUse(
        name=name,
        operation="update" if again else "create",
        check_attempts=_tries(body.check_attempts),
        create_attempts=_tries(body.create_attempts),
        given=GIVEN,
    )
    return use, {GIVEN: {"parameters": bytes(body.parameters).decode(), "proxy": body.proxy}}


def validating(name: str, body: ValidateBody) -> tuple[SessionUse, dict[str, Any]]:
    """
    Say how a session is validated; and the sealed inputs.
    """
    use = SessionUse(
        name=name,
        operation="validate",
        check_attempts=_tries(body.check_attempts),
        create_attempts=_tries(body.create_attempts),
        recreate=body.auto_recreate is not False,
        timeout_seconds=seconds(body.request_timeout) or DEFAULT_TIMEOUT_SECONDS,
        proxy=SESSION_PROXY if body.proxy else None,
    )
    return use, session_proxy_of(body, use)


def by_hand(project: AutomationProject) -> InvalidError:
    """
    Say that no code can make a project's sessions.
    """
    return InvalidError(
        f"The sessions of project {project.name!r} are recorded by a person, and this server has no recorder.",
        "Record it in a browser of yours and send its state to auth-sessions/<id>/state; or set `authSessions.type` to API.",
    )


def _tries(value: Number | None) -> int:
    return whole(value, "attempts", most=_MOST) or DEFAULT_TRIES


def _none_named(project: AutomationProject, field: str) -> InvalidError:
    return InvalidError(
        f"Project {project.name!r} has auth sessions on, and `{field}` names none.",
        "Give its `id`.",
        field=field,
    )
