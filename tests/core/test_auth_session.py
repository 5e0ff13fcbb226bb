"""
When a kept login may be used, and what need not be found out twice.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from headrace.core.auth_session import AuthSession, SessionKind, SessionStatus
from headrace.core.outcome import Cause
from headrace.core.plan import SessionUse

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
BAD = Cause("auth session", "Its check failed.")
LOGIN = AuthSession(
    id=UUID(int=1),
    workspace_id=UUID(int=2),
    project="shop",
    name="ada",
    kind=SessionKind.CREDENTIALS,
    status=SessionStatus.READY,
    parameters=b"{}",
    state=b"{}",
    proxy=None,
    generation=1,
    checked_at=NOON,
    failed_at=None,
    failure=None,
    failed_remaking=False,
    created_at=NOON,
    updated_at=NOON,
)


@pytest.mark.parametrize(
    ("login", "asked_at", "now", "holds"),
    [
        (LOGIN, NOON - SECOND, NOON + SECOND, True),
        (LOGIN, NOON + SECOND, NOON + 2 * SECOND, False),  # every job begins with a check of its own
        (LOGIN, NOON - SECOND, NOON + MINUTE + SECOND, False),  # too long ago
        (replace(LOGIN, checked_at=None), NOON - SECOND, NOON, False),  # in doubt
        (replace(LOGIN, state=None), NOON - SECOND, NOON, False),
        (replace(LOGIN, status=SessionStatus.EXPIRED), NOON - SECOND, NOON, False),
        (replace(LOGIN, status=SessionStatus.PENDING), NOON - SECOND, NOON, True),  # an update has not replaced it yet
    ],
)
def test_a_login_holds_after_a_check_that_was_made_for_whoever_asks(
    login: AuthSession, asked_at: datetime, now: datetime, *, holds: bool
) -> None:
    assert login.holds(asked_at=asked_at, now=now, good_for=MINUTE) is holds


@pytest.mark.parametrize(
    ("login", "recreate", "known"),
    [
        (LOGIN, True, True),
        (replace(LOGIN, checked_at=NOON - SECOND), True, False),
        (replace(LOGIN, checked_at=None, failure=BAD, failed_at=NOON, failed_remaking=True), True, BAD),
        (replace(LOGIN, checked_at=None, failure=BAD, failed_at=NOON), False, BAD),
        (
            replace(LOGIN, checked_at=None, failure=BAD, failed_at=NOON),
            True,
            False,
        ),  # nobody has tried to make it again
        (replace(LOGIN, checked_at=None, failure=BAD, failed_at=NOON - SECOND, failed_remaking=True), True, False),
        (replace(LOGIN, checked_at=None, failure=BAD, failed_at=NOON, parameters=None), True, BAD),
    ],
)
def test_whoever_waited_learns_what_was_found_meanwhile(
    login: AuthSession, known: Cause | bool, *, recreate: bool
) -> None:
    assert login.known_since(NOON, SessionUse(name="ada", recreate=recreate)) == known
