"""
One asked-for execution and its parts, as the store hands them out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.core.fan_out import FanOutRecord, NewItem
from headrace.core.outcome import Cause
from headrace.core.state import JobState, StepState


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """
    One step as it stands.

    Attributes:
        output: small JSON values for the record and later steps: counts per stream, export summary, usage.
        attempt: the job's fencing token under which the step last ran; 0 before.
    """

    ordinal: int
    name: str
    kind: str
    state: StepState = StepState.PENDING
    attempt: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cause: Cause | None = None
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    One job as it stands.

    Attributes:
        seq: order of submission over the whole server.
        public_id: short id of the dialect; unique enough for people, not for the store.
        root: the dialect's unique path of the job; opaque.
        details: plain JSON values that the dialect keeps with the job and shows again; no secrets.
        attempt: fencing token, raised by every claim.
        crashes: attempts that ended without a word.
        failures: attempts that failed and were tried again.
        items: how far a fan-out is; None for a job of steps, and for one that was refused.
    """

    id: UUID
    seq: int
    workspace_id: UUID
    workspace: str
    tenant: str
    dialect: str
    definition: str
    public_id: str
    root: str
    name: str
    state: JobState
    key: str | None = None
    priority: int = 0
    attempt: int = 0
    crashes: int = 0
    failures: int = 0
    trigger: str = "api"
    started_by: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    cause: Cause | None = None
    created_at: datetime
    due_at: datetime | None = None
    admitted_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime
    cancel_requested_at: datetime | None = None
    steps: tuple[StepRecord, ...] = ()
    items: FanOutRecord | None = None

    @property
    def final(self) -> bool:
        return self.state.final

    @property
    def current_step(self) -> StepRecord | None:
        """
        The step that tells how far the job is: the last one that has begun.
        """
        begun = [step for step in self.steps if step.state is not StepState.PENDING]
        return begun[-1] if begun else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """
    What a dialect asks to be run; see `Job` for the fields both share.

    Attributes:
        sealed: inputs by the names the plan refers to; encrypted at rest, never shown again.
        fingerprint: digest of the request as it was asked, without ids and times that differ each time; tells a repeat of an
            idempotency key from another request under it.
        items: of a plan with a fan-out, in the order in which they start.
        done: steps that are not run: they completed in an earlier job, as these records say.
    """

    id: UUID
    workspace_id: UUID
    tenant: str
    dialect: str
    definition: str
    public_id: str
    root: str
    name: str
    trigger: str = "api"
    started_by: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    sealed: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    fingerprint: bytes = b""
    workspace: str = ""
    items: tuple[NewItem, ...] = ()
    done: tuple[StepRecord, ...] = ()
