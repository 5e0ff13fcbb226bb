"""
How an attempt ended, as a value; and what a job becomes by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from headrace.core.state import JobState

REFUSED_CONNECTIONS = "refused_connections"
"""In a cause's evidence, or the output of a success: ids of the connections whose accounts refused their credentials."""


class Blame(StrEnum):
    """Who can mend it."""

    CUSTOMER = "customer"  # reconnects an account, grants a permission
    DEVELOPER = "developer"  # owns the connector, the script or the definition
    OPERATOR = "operator"  # runs this server
    NOBODY = "nobody"  # it was asked for


@dataclass(frozen=True, slots=True)
class Cause:
    """
    Why something ended as it did; the sentence stands first wherever a person looks.

    Attributes:
        stage: name of the step, such as `sync`; empty when no step had begun.
        sentence: one sentence, free of secrets.
        who: who can mend it.
        instruction: the next move; empty when there is none.
        evidence: plain JSON values such as `exit_code`, `signal`, `last_error_line`, `peak_memory_bytes`.
    """

    stage: str
    sentence: str
    who: Blame = Blame.DEVELOPER
    instruction: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The step did what it was asked for; *output* is what later steps and the record need, as JSON values."""

    output: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    cause: Cause
    fatal: bool = False  # trying again cannot help
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Ended because somebody asked for it."""

    cause: Cause
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Ended by our own shutdown: not its fault, the attempt is given back."""


Outcome = Succeeded | Failed | Cancelled | Interrupted


def refused_by(outcome: Succeeded | Failed, connections: Sequence[str]) -> Succeeded | Failed:
    """
    Note the connections whose accounts refused; a target may end well although its account did.
    """
    if not connections:
        return outcome
    more = {REFUSED_CONNECTIONS: list(connections)}
    if isinstance(outcome, Succeeded):
        return replace(outcome, output={**outcome.output, **more})
    return replace(outcome, cause=replace(outcome.cause, evidence={**outcome.cause.evidence, **more}))


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a job after one attempt: its next state, and when it may run again."""

    state: JobState
    due_at: datetime | None = None
    finished_at: datetime | None = None


def backoff(failures: int, *, base_seconds: float = 2.0, limit_seconds: float = 300.0) -> timedelta:
    """
    Give the pause before the next try after *failures* failed ones: doubling, with a ceiling.
    """
    return timedelta(seconds=min(limit_seconds, base_seconds * 2 ** max(0, failures - 1)))


def settle(outcome: Outcome, *, failures: int, max_attempts: int, now: datetime) -> Settlement:
    """
    Say what a job becomes after one attempt ended with *outcome*.

    Args:
        outcome: how the attempt ended.
        failures: tries that failed before this one; interrupted ones do not count.
        max_attempts: tries the plan allows, at least 1.
        now: the time of the ending.
    """
    match outcome:
        case Succeeded():
            return Settlement(JobState.COMPLETED, finished_at=now)
        case Cancelled():
            return Settlement(JobState.CANCELLED, finished_at=now)
        case Interrupted():
            return Settlement(JobState.WAITING, due_at=now)
        case Failed(fatal=False) if failures + 1 < max_attempts:
            return Settlement(JobState.SCHEDULED, due_at=now + backoff(failures + 1))
        case Failed():
            return Settlement(JobState.FAILED, finished_at=now)
