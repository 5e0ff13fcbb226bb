"""
Jobs that are a list of items: what an item is, how one ends, and what becomes of it then.

An item is a step of its own kind: it has a state, attempts under a fencing token and a cause; and beside them an input, a policy and a
result. Inputs and results are kept as the bytes of their JSON, because a value that a program made may hold what a database's own JSON
type refuses (the character NUL, half of a surrogate pair).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.core.outcome import Cancelled, Cause, Failed, Interrupted, Outcome, Succeeded, backoff
from headrace.core.plan import FanOut
from headrace.core.state import StepState

_LONGEST_NAME_BYTES = 240  # with an extension behind it, no more than file systems take
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_JITTER = 0.25  # of the pause, added: items that failed together do not come back together


def is_item_name(name: str) -> bool:
    """
    Tell whether an item may be called so; whether there is anything of that name is not asked.
    """
    return 0 < len(name.encode(errors="replace")) <= _LONGEST_NAME_BYTES and not _CONTROL.search(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """
    One item to be run.

    Attributes:
        id: the dialect's id of it, unique over the server.
        name: what is called, such as the automation's name.
        input: JSON object, as bytes.
        timeout_seconds: of one try.
        max_attempts: tries in all, at least 1.
    """

    id: str
    name: str
    input: bytes
    timeout_seconds: float
    max_attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """
    One item as it stands.

    Attributes:
        ordinal: place in the job's list; items that were added while it ran come after the others.
        parent: ordinal of the item that asked for this one; None for those the job began with.
        attempt: fencing token of the last try.
        failures: tries that failed.
        crashes: tries that ended without a word.
        due_at: a retryable item waits until then.
        result: JSON value of a completed item, as bytes.
        appended: JSON list of the items it asked for, each with `id` (None when it was not added), `name` and `input`; None for none.
    """

    job_id: UUID
    ordinal: int
    id: str
    name: str
    state: StepState
    parent: int | None
    input: bytes
    timeout_seconds: float
    max_attempts: int
    attempt: int
    failures: int
    crashes: int
    due_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    cause: Cause | None
    output: dict[str, Any]
    result: bytes | None
    appended: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOutRecord:
    """
    How far a fan-out is.

    Attributes:
        total: items so far; rises when items are added.
        live: items admitted or running.
        pause_requested_at: no more items are started since; None when none asked.
        stop_cause: why it pauses or was ended, where nobody asked for that.
        awaits: the job that has to end before more items are started.
    """

    total: int
    completed: int
    failed: int
    cancelled: int
    live: int = 0
    pause_requested_at: datetime | None = None
    stop_cause: Cause | None = None
    awaits: UUID | None = None

    @property
    def unfinished(self) -> int:
        return self.total - self.completed - self.failed - self.cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An item that another one asked for while it ran."""

    name: str
    input: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnd:
    """
    What a try found out about the login that it used or worked on.

    Attributes:
        valid: whether the check found it good, as it is or made again.
        generation: of the state that was looked at.
        state: JSON of the new state, as bytes; None when none was made.
        remade: whether making it was tried.
    """

    valid: bool
    generation: int = 0
    state: bytes | None = None
    remade: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemEnd:
    """
    How one try of an item ended.

    Attributes:
        result: JSON value, as bytes; only of success.
        wanted: further items; those of a try that did not succeed are dropped.
        session: what was found out about its login; None when nobody looked.
        noted: small JSON values that stay with an item whose try is given back.
    """

    outcome: Outcome
    result: bytes | None = None
    wanted: tuple[Wanted, ...] = field(default=())
    session: SessionEnd | None = None
    noted: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemSettlement:
    """What becomes of an item after one try."""

    state: StepState
    due_at: datetime | None = None


def settle_item(
    outcome: Outcome, plan: FanOut, *, failures: int, max_attempts: int, now: datetime, chance: float
) -> ItemSettlement:
    """
    Say what an item becomes after one try ended with *outcome*.

    Args:
        outcome: how the try ended.
        plan: the job's, for the pause before the next try.
        failures: tries that failed before this one; interrupted ones do not count.
        max_attempts: tries that the item may have.
        now: the time of the ending.
        chance: evenly spread between 0 and 1.
    """
    match outcome:
        case Succeeded():
            return ItemSettlement(StepState.COMPLETED)
        case Cancelled():
            return ItemSettlement(StepState.CANCELLED)
        case Interrupted():
            return ItemSettlement(StepState.PENDING)
        case Failed(fatal=False) if failures + 1 < max_attempts:
            pause = backoff(failures + 1, base_seconds=plan.retry_base_seconds, limit_seconds=plan.retry_limit_seconds)
            return ItemSettlement(StepState.RETRYABLE, due_at=now + pause * (1 + _JITTER * chance))
        case Failed():
            return ItemSettlement(StepState.FAILED)
